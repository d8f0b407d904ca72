"""Statement 2: unlearning affects the bottom layers more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from geffect.names import EFFECT_DATASETS, NO_REGULARIZER, THIRDS
from geffect.report import blocks
from geffect.report.statements.comparisons import median_over
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import (
    CHANGE,
    GEFFECT,
    CannotTell,
    Claim,
    SameFinding,
    Value,
)

NAME = "Unlearning affects the bottom layers more"
BOTTOM, *OTHERS = THIRDS
Sizes = Callable[[Runs, str, int, str], pd.Series]


def effects(runs: Runs, objective: str, seed: int, dataset: str) -> pd.Series:
    """The sizes of raw e by component, a measured step counting for the updates up to the next."""
    found = runs.effects(objective, seed, dataset)
    counts = np.append(np.diff(found.index.to_numpy()), 0)
    return found.abs().mul(counts, axis=0).sum(skipna=False)


def changes(runs: Runs, objective: str, seed: int, dataset: str) -> pd.Series:
    """The sizes of the attributed changes of risk by component, summed over the run."""
    return runs.changes(objective, seed, dataset).abs().sum(skipna=False)


def by_third(sizes: pd.Series) -> pd.Series:
    """The size of every third, as the paper has it."""
    return sizes[list(THIRDS)]


def by_block(sizes: pd.Series) -> pd.Series:
    """The mean size of the blocks of every third.

    Raises:
        CannotTell: there are no rows of single blocks.
        SameFinding: every third is one block.
    """
    members = blocks.by_third(sizes.index)
    if not all(members.values()):
        raise CannotTell("the tables have no rows of single blocks")
    if all(len(names) == 1 for names in members.values()):
        raise SameFinding("one block in each third: the same as a")
    return pd.Series({third: sizes[names].mean() for third, names in members.items()})


def _ratios(
    runs: Runs, sizes: Sizes, grouped: Callable[[pd.Series], pd.Series]
) -> Mapping[int, Value]:
    objectives = runs.standing()
    if not objectives:
        raise CannotTell("no run without a regularizer is in the grid")
    found: dict[int, list[tuple[str, float]]] = {}
    left_out: dict[str, None] = {}
    members: dict[str, list[str]] = {}
    lacking = []
    for objective in objectives:
        try:
            seeds = runs.seeds((objective, NO_REGULARIZER))
        except CannotTell as error:
            lacking.append(str(error))
            continue
        for seed in seeds:
            if runs.untouched(objective, seed):
                left_out[objective] = None
                continue
            for dataset in EFFECT_DATASETS:
                of = sizes(runs, objective, seed, dataset)
                members = members or blocks.by_third(of.index)
                size = grouped(of)
                most = size[OTHERS].max()
                if np.isfinite(size).all() and most > 0:
                    ratio = float(size[BOTTOM] / most)
                    found.setdefault(seed, []).append((objective, ratio))
    by_construction = f"{', '.join(left_out)}: the loss leaves some blocks as they are"
    if not found:
        why = [*lacking, *([by_construction] if left_out else [])]
        raise CannotTell("; ".join(why) or "no effect is finite and above zero")
    return {
        seed: Value(
            median_over(ratios, "").value,
            facts={
                **{f"blocks in {third}": len(names) for third, names in members.items()},
                "compared for each seed (runs × data sets)": len(ratios),
                "shallow comes first in": sum(r > 1 for _, r in ratios),
                **(
                    {f"objectives not counted ({by_construction})": len(left_out)}
                    if left_out
                    else {}
                ),
            },
        )
        for seed, ratios in found.items()
    }


def _claims(
    part: str, claim: str, of_thirds: str, grouped: Callable[[pd.Series], pd.Series]
) -> tuple:
    whats = (
        (GEFFECT, effects, "sum over the run of |e|"),
        (CHANGE, changes, "sum over the run of |attributed change of risk by the component|"),
    )
    return tuple(
        (
            Claim(
                2,
                part,
                by,
                claim,
                f"{what}, {of_thirds} of shallow over the greater one of middle and deep; the "
                "median over both data sets and all objectives (one variant of each, without a "
                "regularizer) that reach all blocks",
                threshold=1,
                margin=0.1,
                bounds=(0, math.inf),
            ),
            lambda runs, sizes=sizes: _ratios(runs, sizes, grouped),
        )
        for by, sizes, what in whats
    )


CLAIMS = (
    *_claims("a", "the shallow third of the blocks is affected most", "that", by_third),
    *_claims(
        "b", "a block of the shallow third is affected most", "the mean over the blocks", by_block
    ),
)
