"""The eight statements of the paper, judged from a run; the one registry of them.

A statement is a name and one or more claims; a claim is words, a quantity, a threshold and a
function of `Runs` that computes the quantity by seed. docs/statements.md describes them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import pandas as pd

from geffect.names import CELL
from geffect.report.statements import harm, layers, npo, po_rmu, retain_objectives, weighted
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import (
    ALL_SPLITS,
    BY,
    CHANGE,
    FAILS,
    GEFFECT,
    HOLDS,
    OPEN,
    SAME,
    VERDICTS,
    Claim,
    Judged,
    judge,
    together,
)

NAMES = {
    1: harm.NAME,
    2: layers.NAME,
    **npo.NAMES,
    6: weighted.NAME,
    7: po_rmu.NAME,
    8: retain_objectives.NAME,
}
CLAIMS = (
    *harm.CLAIMS,
    *layers.CLAIMS,
    *npo.CLAIMS,
    *weighted.CLAIMS,
    *po_rmu.CLAIMS,
    *retain_objectives.CLAIMS,
)
"""(claim, function of `Runs` that computes its quantity by seed) of every claim."""

EVERYWHERE = (6,)
"""The statements that the paper makes of all splits."""

COLUMNS = [
    *CELL[:2],
    "statement",
    "name",
    "part",
    "by",
    "verdict",
    "part_verdict",
    "claim",
    "quantity",
    "wanted",
    "value",
    "low",
    "high",
    "interval",
    "seeds",
    "reason",
]


def table(
    cells: Sequence[Mapping],
    geffect: pd.DataFrame,
    risk: pd.DataFrame,
    instances: pd.DataFrame,
    training: pd.DataFrame,
    variants: Mapping[tuple[str, str], Mapping[str, Mapping[str, Mapping]]],
    splits: Sequence[str],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Judges every statement in every (model, split) of a grid.

    Args:
        cells: the grid's cells, as mappings with the keys CELL.
        geffect, risk, instances, training: as for `Runs`, of any number of cells.
        variants: (model, split) -> as for `Runs`.
        splits: the splits that "at all splits" means.
        resamples, seed: of the bootstrap over instances.

    Returns:
        A row per (model, split), claim: COLUMNS. `verdict` is that on the whole statement by the
        same means (`by`), `part_verdict` that on this claim. Rows of split "all" judge the
        statements that are made of all splits.
    """
    rows = []
    for model, split in dict.fromkeys((cell["model"], cell["split"]) for cell in cells):
        chosen = [c for c in cells if (c["model"], c["split"]) == (model, split)]
        runs = Runs(
            chosen, geffect, risk, instances, training, variants[model, split], resamples, seed
        )
        judged = [judge(claim, partial(function, runs)) for claim, function in CLAIMS]
        rows += [row | _with_gaps(row, runs) for row in _rows(model, split, judged)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    across = [_across(model, of, splits) for model, of in frame.groupby("model", sort=False)]
    return pd.concat([frame, *across], ignore_index=True)


def _with_gaps(row: Mapping, runs: Runs) -> dict:
    """The reason, and which seeds of the grid are not behind a quantity."""
    seeds = {cell["seed"] for cell in runs.cells}
    if not 0 < row["seeds"] < len(seeds):
        return {}
    gaps = ", ".join(runs.gaps()) or "not every run has every seed"
    return {"reason": f"{row['reason']}; {row['seeds']} of {len(seeds)} seeds ({gaps})"}


def _rows(model: str, split: str, judged: Sequence[Judged]) -> list[dict]:
    parts: dict[tuple[int, str], list[str]] = {}
    for one in judged:
        parts.setdefault((one.claim.statement, one.claim.by), []).append(one.verdict)
    return [
        {
            "model": model,
            "split": split,
            **{name: asdict(one.claim)[name] for name in ("statement", "part", "by", "quantity")},
            "name": NAMES[one.claim.statement],
            "verdict": together(parts[one.claim.statement, one.claim.by]),
            "part_verdict": one.verdict,
            "claim": one.claim.text,
            "wanted": one.claim.rule,
            **{name: getattr(one, name) for name in ("value", "low", "high", "seeds", "reason")},
            "interval": one.interval or "none",
        }
        for one in judged
    ]


def _across(model: str, rows: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    found = []
    for statement in EVERYWHERE:
        for by in BY:
            of = rows[rows["statement"].eq(statement) & rows["by"].eq(by)]
            verdicts = of.groupby("split", sort=False)["verdict"].first().to_dict()
            missing = [split for split in splits if split not in verdicts]
            verdict = together([*verdicts.values(), *([OPEN] if missing else [])])
            shown = [f"{split}: {verdict}" for split, verdict in verdicts.items()]
            shown += [f"{split}: not in the grid" for split in missing]
            found.append(
                {
                    "model": model,
                    "split": ALL_SPLITS,
                    "statement": statement,
                    "name": NAMES[statement],
                    "part": "",
                    "by": by,
                    "verdict": verdict,
                    "part_verdict": verdict,
                    "claim": "the statement holds at all splits",
                    "quantity": "number of splits at which it holds",
                    "wanted": f"= {len(splits)}",
                    "value": float(list(verdicts.values()).count(HOLDS)),
                    "low": math.nan,
                    "high": math.nan,
                    "interval": "none",
                    "seeds": int(of["seeds"].max()),
                    "reason": "; ".join(shown),
                }
            )
    return pd.DataFrame(found, columns=COLUMNS)


__all__ = [
    "ALL_SPLITS",
    "BY",
    "CHANGE",
    "CLAIMS",
    "COLUMNS",
    "FAILS",
    "GEFFECT",
    "HOLDS",
    "NAMES",
    "OPEN",
    "SAME",
    "VERDICTS",
    "Claim",
    "Judged",
    "Runs",
    "judge",
    "table",
    "together",
]
