"""The main table: metrics, cumulated G-effects and changes of risk, averaged over seeds."""

import numpy as np
import pandas as pd

from geffect.names import CELL, COMBINED, OBJECTIVE, TOTAL
from geffect.report import seeds
from geffect.report.cells import ROW, STATUSES, checked, in_order, refuse_duplicates, states, wide
from geffect.report.changes import over_runs
from geffect.report.results import Results
from geffect.report.tables.geffect import cumulated
from geffect.report.writing import Column

TITLE = "Unlearning and retention"
CAPTION = (
    "Unlearning and retention. Bold: the best of a model and split; italic (underlined in LaTeX): "
    "the second best; reference models aside, and rows with fewer seeds than others, which cannot "
    "be ranked with them. Objectives stop at different depths of forgetting, so look at both sides "
    "of a row. 95% intervals: tables/intervals."
)
CATEGORY = "Results"
READS = ["metrics", "geffect", "risk", "training"]
FORMATS = ["csv", "md", "tex"]

MARK_BEST = True

# Column of the main table -> (metric, dataset) in the metrics frame.
MAIN_COLUMNS = {
    "es_exact_retain": ("es_exact", "retain"),
    "es_exact_unlearn": ("es_exact", "unlearn"),
    "es_perturb_retain": ("es_perturb", "retain"),
    "es_perturb_unlearn": ("es_perturb", "unlearn"),
    "fq": ("fq", "unlearn"),
    "mu": ("mu", "all"),
    "prob_unlearn": ("probability", "unlearn"),
    "prob_retain": ("probability", "retain"),
}
EFFECTS = {"e_unlearn": "unlearn", "e_retain": "retain"}
CHANGES = {"change_unlearn": "unlearn", "change_retain": "retain"}
VALUES = [*MAIN_COLUMNS, *EFFECTS, *CHANGES]
BOUNDS = dict.fromkeys(MAIN_COLUMNS, (0.0, 1.0))
"""The range of every metric; effects and changes of risk have none."""

COLUMNS = {
    "es_exact_retain": Column("ES exact retain ↑", "fixed"),
    "es_exact_unlearn": Column("ES exact unlearn ↓", "fixed"),
    "es_perturb_retain": Column("ES perturb retain ↑", "fixed"),
    "es_perturb_unlearn": Column("ES perturb unlearn ↓", "fixed"),
    "fq": Column("FQ ↑", "scientific"),
    "mu": Column("MU ↑", "fixed"),
    "prob_unlearn": Column("Prob. unlearn ↓", "fixed"),
    "prob_retain": Column("Prob. retain ↑", "fixed"),
    # No direction: with AdamW the sign of e says little about what a run did.
    "e_unlearn": Column("Σ e unlearn"),
    "e_retain": Column("Σ e retain"),
    "change_unlearn": Column("ΔR unlearn (nats) ↑"),
    "change_retain": Column("ΔR retain (nats) ↓"),
    "n_seeds": Column("seeds"),
}


def table(results: Results) -> pd.DataFrame:
    """`main_table` of all cells."""
    metrics, geffect, risk = (results.frame(name) for name in ("metrics", "geffect", "risk"))
    return main_table(metrics, geffect, results.status(), risk)


def main_table(
    metrics: pd.DataFrame,
    geffect: pd.DataFrame,
    status: pd.DataFrame,
    risk: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put metrics, cumulated G-effects and changes of risk side by side, averaged over seeds.

    Only seeds of status ok enter the averages. A column that some of these seeds lack (or have
    no finite number for) is averaged over the others; where none is left, it is missing.

    Args:
        metrics: CELL, `metric`, `dataset`, `value`, optionally `low` and `high`; the reference
            models are cells of objective `original` or `retain_model`.
        geffect: as for `cumulated`; the total of the term `combined` is used.
        status: CELL, `status` (ok, diverged, missing). A cell not listed is ok. A cell that is
            ok by this frame but has no finite metric is missing.
        risk: as for `attribution.attributed`; None leaves the changes of risk missing.

    Returns:
        One row per (model, split, objective, regularizer): these four, the columns `VALUES`
        (means over seeds), each of them with `_sd` (sample standard deviation, missing for a
        single seed), then with `_low` and `_high`, the ends of its 95% interval (`intervals`),
        `n_seeds` (seeds that entered), `status` (the worst over all seeds).

    Raises:
        ValueError: a column is missing, a row appears twice, or a status is unknown.
    """
    metrics = checked(metrics, [*CELL, "metric", "dataset", "value"], "metrics")
    geffect = checked(geffect, [*CELL, "step", "term", "dataset", "component"], "geffect")
    status = checked(status, [*CELL, "status"], "status")
    refuse_duplicates(status, CELL, "status")
    unknown = sorted(set(status["status"]) - set(STATUSES))
    if unknown:
        raise ValueError(f"unknown status {unknown[0]!r}, expected one of {', '.join(STATUSES)}")

    cells = in_order(status, metrics, geffect)
    cells["status"] = states(cells, metrics, status)
    cells = cells.merge(wide(metrics, MAIN_COLUMNS), how="left", on=CELL)
    for end in {"low", "high"} & set(metrics):
        ends = wide(metrics.assign(value=metrics[end]), MAIN_COLUMNS)
        ends = ends.rename(columns={name: f"{name}_{end}" for name in MAIN_COLUMNS})
        cells = cells.merge(ends, how="left", on=CELL)
    cells = cells.merge(_cumulated_totals(geffect), how="left", on=CELL)
    cells = cells.merge(_changes(pd.DataFrame() if risk is None else risk), how="left", on=CELL)
    enters = cells["status"].eq("ok")
    finite = np.isfinite(cells[VALUES]).mul(enters, axis=0)
    cells[VALUES] = cells[VALUES].where(finite)
    cells["n_seeds"] = enters.astype("int64")
    cells["status"] = cells["status"].map(STATUSES.index)

    rows = cells.groupby(ROW, sort=False, dropna=False)
    means = rows[VALUES].mean()
    spread = rows[VALUES].std(ddof=1)
    ends = intervals(cells, means, spread, rows[VALUES].count())
    worst = rows["status"].max().map(dict(enumerate(STATUSES)))
    found = [means, spread.add_suffix("_sd"), ends, rows["n_seeds"].sum(), worst]
    return pd.concat(found, axis=1).reset_index()


def intervals(
    cells: pd.DataFrame, means: pd.DataFrame, spread: pd.DataFrame, number: pd.DataFrame
) -> pd.DataFrame:
    """The ends of the 95% intervals: of Student's t over seeds where there are several, cut at the
    range of the metric (`seeds.within`), else those of the bootstrap over rows, which the
    evaluation of a single seed comes with.

    Args:
        cells: a row per cell: ROW, the columns `VALUES`, and `_low` and `_high` of those that have
            bootstrap intervals.
        means, spread, number: over the seeds of each row, by ROW: columns `VALUES`.

    Returns:
        By ROW, `_low` and `_high` of each of `VALUES`; missing where there is neither.
    """
    several = number.ge(2)
    half = seeds.half_width(spread, number)
    found = {}
    for name in VALUES:
        for end, sign in (("low", -1), ("high", 1)):
            column = f"{name}_{end}"
            bounds = BOUNDS.get(name, seeds.UNBOUNDED)
            ends = seeds.within(means[name] + sign * half[name], bounds).where(several[name])
            if column in cells:
                of_seed = cells[column].where(cells[name].notna())
                own = of_seed.groupby([cells[key] for key in ROW], sort=False, dropna=False).max()
                ends = ends.where(several[name], own)
            found[column] = ends
    return pd.DataFrame(found)[[f"{name}_{end}" for name in VALUES for end in ("low", "high")]]


def _cumulated_totals(geffect: pd.DataFrame) -> pd.DataFrame:
    chosen = geffect["term"].eq(COMBINED) & geffect["component"].eq(TOTAL)
    sums = cumulated(geffect[chosen])
    table = sums.pivot(index=CELL, columns="dataset", values="cumulated")
    table = table.reindex(columns=list(EFFECTS.values()))
    return table.set_axis(list(EFFECTS), axis=1).astype("float64").reset_index()


def _changes(risk: pd.DataFrame) -> pd.DataFrame:
    """The measured change of both risks over whole runs, in nats: a row per cell."""
    risk = checked(risk, [*CELL, "step", "term", "dataset", "component", "measured_change"], "risk")
    chosen = risk[risk["term"].eq(OBJECTIVE) & risk["component"].eq(TOTAL)]
    sums = over_runs(chosen, [*CELL, "dataset"], ["measured_change"]).reset_index()
    table = sums.pivot(index=CELL, columns="dataset", values="measured_change")
    table = table.reindex(columns=list(CHANGES.values()))
    return table.set_axis(list(CHANGES), axis=1).astype("float64").reset_index()
