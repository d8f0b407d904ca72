"""The main table at matched retention, where objectives can be compared."""

from collections.abc import Iterable, Mapping

import pandas as pd

from geffect.names import CELL, REFERENCES
from geffect.report.cells import ROW, checked, in_order, states
from geffect.report.results import Results
from geffect.report.tables.main import COLUMNS as MAIN_LOOK
from geffect.report.tables.main import MAIN_COLUMNS, main_table
from geffect.report.tables.matched_trace import traces
from geffect.report.writing import Column

TITLE = "Unlearning at matched retention"
CAPTION = (
    "At matched retention: every run is mixed with the original model, just so far that ES exact "
    "on retained rows keeps the share of the original's that the configuration asks for. All "
    "retain alike then, so objectives can be compared by what they forget. Rows with fewer seeds "
    "than others are not ranked. a: the share of the original model."
)
CATEGORY = "Results"
READS = ["matched", "metrics", "training", "records"]
FORMATS = ["csv", "md", "tex"]
MARK_BEST = True

COLUMNS = {"a": Column("a")} | {name: MAIN_LOOK[name] for name in (*MAIN_COLUMNS, "n_seeds")}


def table(results: Results) -> pd.DataFrame:
    """`matched_table` of all cells, with the reference models as they are."""
    metrics = results.frame("metrics")
    references = metrics[metrics["objective"].isin(REFERENCES)]
    found = pd.concat([references, results.frame("matched")], ignore_index=True)
    return matched_table(found, results.records_of("matched"), results.status())


def note(results: Results) -> str:
    """What the caption says of these results: `about` them."""
    return about(results.records_of("matched"))


def matched_table(
    metrics: pd.DataFrame, records: Iterable[tuple[Mapping, Mapping]], status: pd.DataFrame
) -> pd.DataFrame:
    """The metrics at matched retention, averaged over seeds.

    Args:
        metrics: CELL, `metric`, `dataset`, `value` of `matched.parquet` of every cell, and of the
            reference models at their own weights.
        records: (cell, content of its matched.json).
        status: CELL, `status` (`results.Results.status`).

    Returns:
        One row per (model, split, objective, regularizer): these four, `a` (the share of the
        original model, averaged over the seeds that enter; missing for reference models) and
        `a_sd`, the metrics of `MAIN_COLUMNS` with `_sd`, `n_seeds` and `status` as in the main
        table.

    Raises:
        ValueError: a column is missing, a row appears twice, or a status is unknown.
    """
    nothing = pd.DataFrame(columns=[*CELL, "step", "term", "dataset", "component", "geffect"])
    metrics = checked(metrics, [*CELL, "metric", "dataset", "value"], "metrics")
    main = main_table(metrics, nothing, status)
    shares = pd.DataFrame(
        [{**cell, "a": record["a"]} for cell, record in records], columns=[*CELL, "a"]
    )
    cells = in_order(status, metrics).merge(shares, how="left", on=CELL)
    ok = states(cells, metrics, status).eq("ok")
    cells["a"] = cells["a"].astype("float64").where(ok)
    by_row = cells.groupby(ROW, sort=False)["a"]
    means = by_row.mean().to_frame("a").assign(a_sd=by_row.std(ddof=1)).reset_index()
    table = main[ROW].merge(means, how="left", on=ROW)
    values = [*MAIN_COLUMNS, *(f"{name}_sd" for name in MAIN_COLUMNS)]
    return pd.concat([table, main[[*values, "n_seeds", "status"]]], axis=1)


def about(records: Iterable[tuple[Mapping, Mapping]]) -> str:
    """The share of ES that was asked for, and where a search does not say what it seems to say.

    Args:
        records: (cell, content of its matched.json).
    """
    records = list(records)
    trace = traces(records)
    falls = [_fall(rows["es_exact_retain"]) for rows in _by_a(trace)]
    nothing = [rows["target"].le(0).any() for rows in _by_a(trace)]
    said = [f"Asked for: {records[0][1]['settings']['es_retain']:.0%}."] if records else []
    if any(falls):
        number = sum(fall > 0 for fall in falls)
        said.append(
            f"ES is not monotone along the line in {number} of {len(falls)} cells: on the way to "
            f"the original it falls by {max(falls):.2g} at most (matched_trace.csv)."
        )
    if any(nothing):
        said.append(
            f"The original's ES is 0 in {sum(nothing)} of {len(nothing)} cells: there is no "
            "retention to match."
        )
    return " ".join(said)


def _fall(strengths: pd.Series) -> float:
    """By how much strengths in the order of a fall at most below an earlier one."""
    return float((strengths.cummax() - strengths).max())


def _by_a(trace: pd.DataFrame) -> list[pd.DataFrame]:
    """The points of every cell that have a strength, in the order of a."""
    rows = trace[trace["es_exact_retain"].notna()].astype({"es_exact_retain": "float64"})
    return [cell.sort_values("a") for _, cell in rows.groupby(CELL, sort=False)]
