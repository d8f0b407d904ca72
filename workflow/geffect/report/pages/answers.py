"""What the runs of one (model, split) did, in numbers and in sentences, fit to be compared.

Runs are compared by the seeds that they share, at matched retention or at an equal rise of R_u;
layers by block; tokens by objectives that have weights of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from geffect.names import (
    CELL,
    COMPONENTS,
    NO_REGULARIZER,
    OBJECTIVE,
    REFERENCES,
    RETAIN,
    THIRDS,
    TOTAL,
    UNEXPLAINED,
    UNLEARN,
)
from geffect.report import blocks, seeds
from geffect.report.changes import cumulated_change, over_runs
from geffect.report.statements.runs import RISE, Curve
from geffect.report.statements.verdict import CannotTell, number

RUN = ["objective", "regularizer"]
NOTICEABLE = RISE
"""Nats per token: a smaller change of a risk is not spoken of."""
NOT_REACHED, TOO_EARLY, UNKNOWN = "not reached", "passed too early", "not measured"
"""Why a run has no number at an equal rise of R_u."""
STRENGTHS = {"es_unlearn": ("es_exact", UNLEARN), "es_retain": ("es_exact", RETAIN)}
MATCHED = STRENGTHS | {"mu": ("mu", "all")}
NUMBERS = ["change_unlearn", "es_unlearn", "change_retain", "es_retain", "at_equal", "rise"]
LAYERS = ["attributed_retain", "most", "share", "reaches"]
COLUMNS = [*RUN, "status", "seeds", *NUMBERS, "why", *LAYERS, "from_step"]


@dataclass(frozen=True)
class Tables:
    """What the answers are read from, of one (model, split).

    Attributes:
        main: tables/main.csv.
        metrics: tables/metrics.csv.
        geffect: tables/geffect.csv.
        risk: `risk.parquet` of all cells, with their keys.
        tokens: as `tokens.most_damaging` returns.
        base: the variant that stands for each objective.
        matched: `matched.parquet` of all cells, with their keys; None where it was not asked for.
        shares: tables/matched_trace.csv.
        es_retain: the share of ES on D_r at which retention is matched.
        tag: the template's own words that stand before every answer and are part of the loss; ""
            where there are none.
    """

    main: pd.DataFrame
    metrics: pd.DataFrame
    geffect: pd.DataFrame
    risk: pd.DataFrame
    tokens: pd.DataFrame
    base: Sequence[str]
    matched: pd.DataFrame | None = None
    shares: pd.DataFrame | None = None
    es_retain: float = math.nan
    tag: str = ""

    def at(self, model: str, split: str, base: Sequence[str], tag: str = "") -> Tables:
        """The rows of one (model, split), and what is known of it besides."""

        def here(frame: pd.DataFrame | None) -> pd.DataFrame | None:
            if frame is None or frame.empty:
                return frame
            return frame[frame["model"].eq(model) & frame["split"].eq(split)]

        names = ("main", "metrics", "geffect", "risk", "tokens", "matched", "shares")
        frames: dict[str, Any] = {name: here(getattr(self, name)) for name in names}
        return Tables(**frames, base=base, es_retain=self.es_retain, tag=tag)


@dataclass(frozen=True)
class Group:
    """Runs that are compared with one another.

    Attributes:
        seeds: by which they are compared.
        rise: nats by which R_u has risen where `at_equal` of `rows` is read (`_common_rise`); NaN
            without such a level.
        rows: COLUMNS: `seeds` with which the run finished; measured changes of risk over the run
            (nats) and extraction strength after it, means over the group's seeds; `at_equal`, the
            measured change of R_r where R_u has risen by the group's `rise`, or else `why` there is
            none (NOT_REACHED, TOO_EARLY, UNKNOWN); `rise`, the greatest rise of R_u that all seeds
            reach; `attributed_retain`, the attributed change of R_r, of all terms (nats); `most`,
            the block (or embed, lm) that it rose most through, with its `share`; `reaches`, the
            blocks that the objective moves where it leaves others as they are by construction;
            `from_step`, the first measured step at which R_r has risen by NOTICEABLE nats. What
            cannot be said is missing, or an empty text.
        thirds: (objective, regularizer) -> component -> share of the attributed change of R_r, of
            those in which it is a noticeable rise.
        blocks: third -> number of its blocks.
        tokens: (objective, regularizer) -> the texts that damage retention most.
        steps: (objective, regularizer) -> the first and last step that `tokens` are the mean of.
        matched: RUN, `a`, the metrics MATCHED, and `es_unlearn_sd` over seeds, at matched
            retention; by ES on D_u. None where it was not asked for.
        as_little: the runs of `matched` whose ES on D_u seeds do not tell apart from the least.
        references: `objective` and the metrics MATCHED, of the original and the retain model.
        as_harmless: the objectives whose `at_equal` seeds do not tell apart from the least.
        tag: as of `Tables`.
    """

    seeds: list[int]
    rise: float
    rows: pd.DataFrame
    thirds: Mapping[tuple[str, str], pd.Series]
    blocks: Mapping[str, int]
    tokens: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)
    steps: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    matched: pd.DataFrame | None = None
    as_little: Sequence[str] = ()
    es_retain: float = math.nan
    references: pd.DataFrame = field(default_factory=pd.DataFrame)
    as_harmless: Sequence[str] = ()
    tag: str = ""


def groups(tables: Tables) -> list[Group]:
    """The variants that stand for their objectives; then, where there are further ones, all."""
    main = tables.main[~tables.main["objective"].isin(REFERENCES)]
    base = main[main["objective"].isin(tables.base)]
    found = [base] if len(base) else []
    return [_group(tables, rows) for rows in (*found, *([main] if len(base) < len(main) else []))]


def _group(tables: Tables, main: pd.DataFrame) -> Group:
    runs = list(main[RUN].itertuples(index=False, name=None))
    status = dict(zip(runs, main["status"], strict=True))
    strengths = _wide(tables.metrics, STRENGTHS)
    done = {run: _seeds(strengths, run) for run in runs}
    common, compared = seeds.comparable({run: done[run] for run in runs if done[run]})
    risk = tables.risk[tables.risk["seed"].isin(common)] if len(tables.risk) else tables.risk
    risk = _among(risk, compared)
    curves = {run: _curves(risk, run) for run in compared}
    rise = _common_rise([curves[run] for run in compared if run[1] == NO_REGULARIZER])
    rows, thirds, at_equal = [], {}, {}
    members = blocks.by_third(tables.risk["component"]) if len(tables.risk) else {}
    for run in runs:
        row: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)
        row |= dict(zip(RUN, run, strict=True)) | {"status": status[run], "seeds": done[run]}
        row |= {"most": "", "reaches": "", "why": UNKNOWN}
        if run in compared:
            mine = _of(strengths, run)
            row |= mine[mine["seed"].isin(common)][list(STRENGTHS)].mean().to_dict()
            harms, why = _at(curves[run], rise)
            row |= _ends(curves[run]) | {"why": why}
            if harms:
                row["at_equal"] = float(np.mean(harms))
            if harms and run[1] == NO_REGULARIZER:
                at_equal[run[0]] = harms
            own = _of(risk, run)
            row |= {"from_step": _from_step(own), "reaches": _reaches(tables.geffect, run)}
            parts = _attributed(own)
            row["attributed_retain"] = parts.reindex(COMPONENTS).sum(min_count=1)
            if row["attributed_retain"] >= NOTICEABLE:
                shares = parts / row["attributed_retain"]
                single = shares[["embed", *blocks.in_order(shares.index), "lm"]]
                thirds[run] = shares[list(COMPONENTS)]
                row |= {"most": single.idxmax(), "share": float(single.max())}
        rows.append(row)
    mine = tables.tokens
    mine = mine[mine["seed"].isin(common)] if len(mine) else mine
    return Group(
        common,
        rise,
        pd.DataFrame(rows, columns=COLUMNS),
        thirds,
        {third: len(names) for third, names in members.items()},
        {run: found for run in compared if (found := _texts(mine, run))},
        {run: _span(of) for run in compared if len(of := _of(mine, run))},
        *_matched(tables, compared, common),
        tables.es_retain,
        _references(tables.main),
        _alike(at_equal),
        tables.tag,
    )


def _of(frame: pd.DataFrame, run: tuple[str, str]) -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame[frame["objective"].eq(run[0]) & frame["regularizer"].eq(run[1])]


def _among(frame: pd.DataFrame, runs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    chosen = [run in runs for run in frame[RUN].itertuples(index=False, name=None)]
    return frame.loc[chosen]  # without rows, frame[[]] would choose no columns


def _wide(metrics: pd.DataFrame, names: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """RUN, `seed` and a column per name, of the cells with finite numbers."""
    if metrics.empty:
        return pd.DataFrame(columns=[*RUN, "seed", *names])
    wide = metrics.pivot(index=[*RUN, "seed"], columns=["metric", "dataset"], values="value")
    wide = wide.reindex(columns=pd.MultiIndex.from_tuples(names.values()))
    wide = wide.set_axis(list(names), axis=1).astype("float64").reset_index()
    return wide[np.isfinite(wide[list(STRENGTHS)]).all(axis=1)]


def _seeds(strengths: pd.DataFrame, run: tuple[str, str]) -> list[int]:
    return sorted(int(seed) for seed in _of(strengths, run)["seed"])


def _curves(risk: pd.DataFrame, run: tuple[str, str]) -> list[Curve]:
    """The measured changes of both risks along a run, one for every seed."""
    rows = _of(risk, run)
    found = []
    rows = rows[rows["component"].eq(TOTAL) & rows["term"].eq(OBJECTIVE)] if len(rows) else rows
    for _, mine in cumulated_change(rows).groupby("seed"):
        by = mine.pivot(index="step", columns="dataset", values="change")
        unlearn, retain = (by[dataset].to_numpy() for dataset in (UNLEARN, RETAIN))
        found.append(Curve(by.index.to_numpy(), unlearn, retain, np.full(len(by), math.nan)))
    return found


def _ends(curves: Sequence[Curve]) -> dict[str, float]:
    if not curves:
        return {}
    return {
        "change_unlearn": float(np.mean([curve.unlearn[-1] for curve in curves])),
        "change_retain": float(np.mean([curve.retain[-1] for curve in curves])),
        "rise": _rise(curves),
    }


def _common_rise(runs: Sequence[Sequence[Curve]]) -> float:
    """The deepest rise of R_u at which at least half of the runs, and at least two, can be read
    with all their seeds; those that hardly forget (less than NOTICEABLE) do not count.

    The least rise of all would be that of a single laggard, at which no other has done harm yet.
    """
    forget = [curves for curves in runs if curves and _rise(curves) >= NOTICEABLE]
    needed = max(math.ceil(len(forget) / 2), 2)
    levels = sorted(map(_rise, forget), reverse=True)
    found = (
        level for level in levels if sum(not _at(curves, level)[1] for curves in forget) >= needed
    )
    return next(found, math.nan)


def _rise(curves: Sequence[Curve]) -> float:
    """The greatest rise of R_u that all seeds of a run reach; missing where one's is."""
    # Python's own min looks at the order of the seeds where one of them is missing.
    return float(np.min([curve.rise for curve in curves]))


def _at(curves: Sequence[Curve], rise: float) -> tuple[list[float], str]:
    """The change of R_r at a rise of R_u, seed by seed; or nothing, and why."""
    known = all(np.isfinite([curve.unlearn, curve.retain]).all() for curve in curves)
    if math.isnan(rise) or not curves or not known:
        return [], UNKNOWN
    if _rise(curves) < rise:
        return [], NOT_REACHED
    try:
        return [curve.harm_at(rise)[0] for curve in curves], ""
    except CannotTell:
        return [], TOO_EARLY


def _references(main: pd.DataFrame) -> pd.DataFrame:
    """The original and the retain model, with the metrics MATCHED; missing where not evaluated."""
    rows = main[main["objective"].isin(REFERENCES)]
    names = {"es_exact_unlearn": "es_unlearn", "es_exact_retain": "es_retain", "mu": "mu"}
    return rows.reindex(columns=["objective", *names]).rename(columns=names)


def _alike(values: Mapping[str, Sequence[float]]) -> list[str]:
    """The runs that seeds do not tell apart from the one of the least mean; none of one seed."""
    if not values:
        return []
    least = min(values, key=lambda run: float(np.mean(values[run])))
    if len(values[least]) < 2:
        return []
    others = [run for run in values if run != least]
    return [run for run in others if not seeds.told_apart(values[run], values[least])]


def _attributed(risk: pd.DataFrame) -> pd.Series:
    """Component -> attributed change of R_r over the run, of all terms, the mean over seeds."""
    rows = risk[risk["dataset"].eq(RETAIN) & risk["term"].ne(UNEXPLAINED)] if len(risk) else risk
    if rows.empty:
        return pd.Series(dtype="float64")
    parts = rows[rows["component"].ne(TOTAL)]
    sums = over_runs(parts, ["component"], ["predicted_change"])["predicted_change"]
    return sums / rows["seed"].nunique()


def _reaches(geffect: pd.DataFrame, run: tuple[str, str]) -> str:
    """The layers that an objective moves, where it leaves others as they are by construction; ""
    where it moves all.
    """
    rows = _of(geffect, run)
    rows = rows[rows["term"].eq(OBJECTIVE)] if len(rows) else rows
    if rows.empty:
        return ""
    wide = rows.pivot(index=["seed", "dataset"], columns="component", values="cumulated")
    names, zero = blocks.in_order(wide.columns), blocks.untouched(wide)
    if not zero or not names:
        return ""
    numbers = [blocks.number(name) for name in names if name not in zero]
    return f"{numbers[0]}–{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"


def _from_step(risk: pd.DataFrame) -> float:
    if risk.empty:
        return math.nan
    chosen = risk["component"].eq(TOTAL) & risk["term"].eq(OBJECTIVE)
    sums = cumulated_change(risk[chosen & risk["dataset"].eq(RETAIN)])
    risen = sums.groupby("step")["change"].mean(skipna=False)
    late = risen[risen >= NOTICEABLE]
    return float(late.index[0]) if len(late) else math.nan


def answer_tag(records: Sequence[Mapping[str, Any]]) -> str:
    """The template's own words that are part of the loss, by the first of some provenance.json."""
    template = records[0]["settings"]["template"] if records else {}
    return template["answer_tag"] if template.get("label_answer_tag") else ""


def _texts(tokens: pd.DataFrame, run: tuple[str, str]) -> list[str]:
    mine = _of(tokens, run)
    if mine.empty:
        return []
    return mine.groupby("text", sort=False)["share"].sum().nlargest(5).index.tolist()


def _span(tokens: pd.DataFrame) -> tuple[int, int]:
    return int(tokens["first_step"].min()), int(tokens["last_step"].max())


def _matched(
    tables: Tables, compared: Sequence[tuple[str, str]], common: Sequence[int]
) -> tuple[pd.DataFrame | None, list[str]]:
    if tables.matched is None or tables.shares is None:
        return None, []
    values = _wide(tables.matched, MATCHED)
    chosen = tables.shares[tables.shares["chosen"].eq(True)].drop_duplicates(CELL)
    rows = values.merge(chosen[[*RUN, "seed", "a"]], on=[*RUN, "seed"])
    rows = _among(rows[rows["seed"].isin(common)], compared)
    counts = rows.groupby(RUN, sort=False)["seed"].transform("size")
    whole = rows[counts.eq(len(common))]
    by_run = whole.sort_values("seed").groupby(RUN, sort=False)
    means = by_run[["a", *MATCHED]].mean()
    means["es_unlearn_sd"] = by_run["es_unlearn"].std()
    means = means.sort_values("es_unlearn", kind="stable").reset_index()
    alike = _alike({name(run): list(of) for run, of in by_run["es_unlearn"]})
    return means, alike


# --- Sentences.


def name(run: tuple[str, str]) -> str:
    """An objective and its regularizer, as the pages write them."""
    return run[0] if run[1] == NO_REGULARIZER else f"{run[0]}+{run[1]}"


def sentences(group: Group) -> list[tuple[str, str]]:
    """(question, answer) of one group; all but the first are of runs without a regularizer."""
    forgets = ("Which objective forgets?", " ".join(_best(group)))
    rows = group.rows
    plain = rows[rows["regularizer"].eq(NO_REGULARIZER)].dropna(
        subset=["change_unlearn", "change_retain"]
    )
    if plain.empty:
        why = "No run without a regularizer has finished with all of its changes of risk known."
        return [forgets, ("No further answers", why)]
    harm = plain.loc[plain["change_retain"].idxmax()]
    found = [
        ("Which harms retention?", _harms(group, plain)),
        ("How far do the runs go?", _furthest(plain, harm)),
        ("In which layers?", _layers(group, plain, harm)),
        ("From which step on?", _steps(plain)),
        ("Through which tokens?", _tokens(group, plain, harm)),
    ]
    return [forgets, *((question, " ".join(lines)) for question, lines in found)]


def _best(group: Group) -> list[str]:
    """By matched retention alone: last steps say how far a run goes, which is another question."""
    table = group.matched
    if table is None:
        return ["Not answered: no model was evaluated at matched retention (matched.evaluate)."]
    if table.empty:
        return ["Not answered: no run was evaluated at matched retention to the end."]
    runs = list(table[RUN].itertuples(index=False, name=None))
    first = f"{name(runs[0])} recites least of D_u ({table['es_unlearn'].iloc[0]:.0%})"
    last = f"{name(runs[-1])} most ({table['es_unlearn'].iloc[-1]:.0%})"
    where = f"At matched retention ({group.es_retain:.0%} of the original's ES on D_r)"
    first += _not_told_apart(group.as_little, group)
    return [f"{where}, {first}{f'; {last}' if len(runs) > 1 else ''}."]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]


def _not_told_apart(others: Sequence[str], group: Group) -> str:
    if not others:
        return ""
    return f", which {seeds.said(group.seeds)} do not tell apart from {_listed(others)}"


def _furthest(plain: pd.DataFrame, harm: pd.Series) -> list[str]:
    most, least = (plain.loc[getattr(plain["change_unlearn"], f)()] for f in ("idxmax", "idxmin"))
    said = f"By its last step, {most['objective']} has raised R_u most, by {_nats(most)}"
    said += _recites(most)
    if len(plain) > 1:
        said += f"; {least['objective']} least, by {_nats(least)}"
        said += _recites(least)
    harmed = f"No run has raised R_r by {NOTICEABLE} nats"
    if harm["change_retain"] >= NOTICEABLE:
        harmed = f"R_r has risen most in {harm['objective']}, by {_nats(harm, 'change_retain')}"
        if not pd.isna(harm["es_retain"]):
            harmed += f", which then recites {harm['es_retain']:.0%} of D_r"
    lines = [f"{said}.", f"{harmed}."]
    if len(plain) > 1:
        lines.append(
            "Runs stop at different depths of forgetting, so this ranks nothing; the two answers "
            "above do."
        )
    return lines


def _nats(row: pd.Series, column: str = "change_unlearn") -> str:
    return f"{number(row[column])} nats per token"


def _recites(row: pd.Series) -> str:
    return "" if pd.isna(row["es_unlearn"]) else f", and recites {row['es_unlearn']:.0%} of D_u"


def _harms(group: Group, plain: pd.DataFrame) -> list[str]:
    if len(plain) < 2:
        return ["There is no second objective to compare it with."]
    if math.isnan(group.rise):
        return [
            f"Not answered: there is no rise of R_u of at least {NOTICEABLE} nats at which half of "
            "the objectives can be compared. They forget less, or all before the second measured "
            "step."
        ]
    equal = plain.dropna(subset=["at_equal"]).sort_values("at_equal", kind="stable")
    where = (
        f"Where R_u has risen by {number(group.rise)} nats (the deepest rise at which at least "
        "half of the objectives can be compared)"
    )
    low, high = equal.iloc[0], equal.iloc[-1]
    lines = [
        f"{where}, R_r has risen least in {low['objective']} ({_signed(low['at_equal'])})"
        f"{_not_told_apart(group.as_harmless, group)}; most in {high['objective']} "
        f"({_signed(high['at_equal'])})."
    ]
    gaps = [
        f"{row['objective']} ({_gap(row, group)})"
        for _, row in plain[plain["at_equal"].isna()].iterrows()
    ]
    return [*lines, *([f"Not compared there: {_listed(gaps)}."] if gaps else [])]


def _gap(row: pd.Series, group: Group) -> str:
    """Why a run has no number at an equal rise of R_u."""
    if row["why"] == NOT_REACHED:
        seed = "with one seed its" if len(group.seeds) > 1 else "its"
        return f"{seed} R_u rises by {number(row['rise'])} nats only"
    if row["why"] == TOO_EARLY:
        return "it passes this height before the second measured step"
    return "its risks were not measured"


def _signed(value: float) -> str:
    return number(value) if value < 0 else f"+{number(value)}"


def _layers(group: Group, plain: pd.DataFrame, harm: pd.Series) -> list[str]:
    reach = dict(zip(plain["objective"], plain["reaches"], strict=True))
    shares = {
        objective: of
        for (objective, regularizer), of in group.thirds.items()
        if regularizer == NO_REGULARIZER
    }
    lines = []
    counts = pd.Series(group.blocks)
    whole = {objective: of for objective, of in shares.items() if not reach.get(objective)}
    if whole and len(counts) and counts.gt(0).all():
        per_block = [(of[list(THIRDS)] / counts).idxmax() for of in whole.values()]
        first = max(THIRDS, key=per_block.count)
        lines.append(
            f"Per block, the attributed change of R_r is greatest in the {first} third in "
            f"{per_block.count(first)} of the {len(whole)} objectives that are counted (shallow, "
            f"middle and deep have {', '.join(str(n) for n in counts)} blocks)."
        )
    if harm["objective"] in shares:
        of = shares[harm["objective"]]
        parts = []
        for component, share in of.items():
            blocks_here = group.blocks.get(str(component), 0)
            each = f" ({share / blocks_here:.0%} a block)" if blocks_here > 1 else ""
            parts.append(f"{component} {share:.0%}{each}")
        lines.append(f"In {harm['objective']}: {', '.join(parts)}.".replace("-", "−"))
    left = [f"{o} (layers {r})" for o, r in reach.items() if r and o in shares]
    if left:
        lines.append(
            f"Not counted: {_listed(left)}, which cannot change the layers above by construction."
        )
    changes = dict(zip(plain["objective"], plain["attributed_retain"], strict=True))
    little = [
        f"{o} ({_signed(c)})" for o, c in changes.items() if o not in shares and not math.isnan(c)
    ]
    if little:
        lines.append(
            f"Not counted: {_listed(little)}, where the attributed change of R_r is less than "
            f"{NOTICEABLE} nats, too little to be split."
        )
    unknown = [o for o, c in changes.items() if math.isnan(c)]
    if unknown:
        lines.append(f"Not counted: {_listed(unknown)}, whose change of R_r was not attributed.")
    return lines


def _steps(plain: pd.DataFrame) -> list[str]:
    late = plain.dropna(subset=["from_step"])
    if late.empty:
        return [f"R_r never rises by {NOTICEABLE} nats."]
    first, last = late["from_step"].min(), late["from_step"].max()
    names = ", ".join(late.loc[late["from_step"].eq(first), "objective"])
    said = f"R_r has risen by {NOTICEABLE} nats first at step {first:.0f} ({names})"
    if first != last:
        names = ", ".join(late.loc[late["from_step"].eq(last), "objective"])
        said += f" and last at step {last:.0f} ({names})"
    unharmed = plain.loc[plain["from_step"].isna(), "objective"]
    if len(unharmed):
        said += f"; it never does in {', '.join(unharmed)}"
    return [f"{said}. Only measured steps are looked at."]


def _tokens(group: Group, plain: pd.DataFrame, harm: pd.Series) -> list[str]:
    runs = [(objective, NO_REGULARIZER) for objective in plain["objective"]]
    weighted = plain[[bool(group.tokens.get(run)) for run in runs]]
    if weighted.empty:
        return ["Not measured (geffect.tokens), or no objective here weighs tokens of the answers."]
    chosen = weighted.loc[weighted["change_retain"].idxmax()]
    run = chosen["objective"], NO_REGULARIZER
    texts, (first, last) = group.tokens[run], group.steps[run]
    lines = [
        f"In {chosen['objective']} ({seeds.said(group.seeds)}, the mean over the measured steps "
        f"{first} to {last}), by weight × e_retain added up over D_u: "
        f"{', '.join(f'“{shown(text)}”' for text in texts)}."
    ]
    if said := of_tag(texts, group.tag):
        lines.append(said)
    if chosen["objective"] != harm["objective"]:
        lines.append(f"{harm['objective']}, which harms most, has no weights of answer tokens.")
    return lines


def of_tag(texts: Sequence[str], tag: str) -> str:
    """A sentence on the texts that can be pieces of the template's own words; "" without any."""
    pieces = [text for text in dict.fromkeys(texts) if text.strip() and text.strip() in tag]
    if not pieces:
        return ""
    return (
        f"{_listed([f'“{shown(text)}”' for text in pieces])} can be pieces of “{tag.strip()}”, the "
        "template's own words: they stand before every answer and are part of the loss, so they "
        "add up over all of D_u."
    )


def shown(text: str) -> str:
    """A token's text where no word stands beside it."""
    return text.replace("\n", "⏎").replace(" ", "␣") or "∅"
