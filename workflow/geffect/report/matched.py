"""The main table at matched retention, and the traces of the searches behind it."""

from collections.abc import Iterable, Mapping

import pandas as pd

from geffect.names import CELL
from geffect.report import tables

ROW = CELL[:-1]


def matched_table(
    metrics: pd.DataFrame, records: Iterable[tuple[Mapping, Mapping]], status: pd.DataFrame
) -> pd.DataFrame:
    """The metrics at matched retention, averaged over seeds.

    Args:
        metrics: CELL, `metric`, `dataset`, `value` of `matched.parquet` of every cell, and of the
            reference models at their own weights.
        records: (cell, content of its matched.json).
        status: CELL, `status` (`tables.status`).

    Returns:
        One row per (model, split, objective, regularizer): these four, `a` (the share of the
        original model, averaged over seeds of status ok; missing for reference models) and `a_sd`,
        the metrics of `tables.MAIN_COLUMNS` with `_sd`, `n_seeds` and `status` as in the main
        table.

    Raises:
        ValueError: a column is missing, a row appears twice, or a status is unknown.
    """
    nothing = pd.DataFrame(columns=[*CELL, "step", "term", "dataset", "component", "geffect"])
    main = tables.main_table(metrics, nothing, status)
    shares = pd.DataFrame(
        [{**cell, "a": record["a"]} for cell, record in records], columns=[*CELL, "a"]
    )
    ok = shares.merge(status.query("status == 'ok'")[CELL], on=CELL).astype({"a": "float64"})
    by_row = ok.groupby(ROW, sort=False)["a"]
    means = by_row.mean().to_frame("a").assign(a_sd=by_row.std(ddof=1)).reset_index()
    table = main[ROW].merge(means, how="left", on=ROW)
    values = [*tables.MAIN_COLUMNS, *(f"{name}_sd" for name in tables.MAIN_COLUMNS)]
    return pd.concat([table, main[[*values, "n_seeds", "status"]]], axis=1)


def traces(records: Iterable[tuple[Mapping, Mapping]]) -> pd.DataFrame:
    """Every point that the searches tried.

    Args:
        records: (cell, content of its matched.json).

    Returns:
        CELL, `order` (1, 2, ... as they were tried), `a`, `es_exact_retain`, `target`, `holds`
        (whether the target is reached), `chosen` (whether this is the cell's a).
    """
    rows = [
        {
            **cell,
            "order": order,
            **point,
            "target": record["target"],
            "holds": _reaches(point["es_exact_retain"], record["target"]),
            "chosen": point["a"] == record["a"],
        }
        for cell, record in records
        for order, point in enumerate(record["trace"], start=1)
    ]
    columns = [*CELL, "order", "a", "es_exact_retain", "target", "holds", "chosen"]
    return pd.DataFrame(rows, columns=columns)


def _reaches(value: float | None, target: float) -> bool:
    return value is not None and value >= target


def caption(records: Iterable[tuple[Mapping, Mapping]], share: float) -> str:
    """What the table shows, and where a search does not say what it seems to say.

    Args:
        records: (cell, content of its matched.json).
        share: of the original's ES that was asked for.
    """
    trace = traces(records)
    falls = [_fall(rows["es_exact_retain"]) for rows in _by_a(trace)]
    nothing = [rows["target"].le(0).any() for rows in _by_a(trace)]
    more = ""
    if any(falls):
        number = sum(fall > 0 for fall in falls)
        more += f" ES is not monotone along the line in {number} of {len(falls)} cells: on the way"
        more += f" to the original it falls by {max(falls):.2g} at most (matched_trace.csv)."
    if any(nothing):
        more += f" The original's ES is 0 in {sum(nothing)} of {len(nothing)} cells: there is no "
        more += "retention to match."
    return (
        "At matched retention: the largest change that keeps ES exact on retained rows at "
        f"{share:.0%} of the original's. a: share of the original model.{more}"
    )


def _fall(strengths: pd.Series) -> float:
    """By how much strengths in the order of a fall at most below an earlier one."""
    return float((strengths.cummax() - strengths).max())


def _by_a(trace: pd.DataFrame) -> list[pd.DataFrame]:
    """The points of every cell that have a strength, in the order of a."""
    rows = trace[trace["es_exact_retain"].notna()].astype({"es_exact_retain": "float64"})
    return [cell.sort_values("a") for _, cell in rows.groupby(CELL, sort=False)]
