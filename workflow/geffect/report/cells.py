"""Frames of cells, one below the other: checks, order, and one row per cell.

A cell is named by the columns `CELL`. Results follow the order in which cells first appear (the
order of the configuration), except that the reference models come first within their model and
split.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from geffect.names import CELL, REFERENCES

ROW = CELL[:-1]
"""What names a row of a table that is averaged over seeds."""
STATUSES = ["ok", "missing", "diverged"]
"""From best to worst: a row over several seeds shows the worst one."""


def status(cells: list[dict], training: Sequence[pd.DataFrame | None]) -> pd.DataFrame:
    """CELL and `status` of each cell: by its training log ok or diverged; without one, missing."""
    states = [
        "missing" if log is None else "diverged" if log["diverged"].any() else "ok"
        for log in training
    ]
    return pd.DataFrame([{**cell, "status": s} for cell, s in zip(cells, states, strict=True)])


def diverged_steps(cells: list[dict], training: Sequence[pd.DataFrame | None]) -> dict[tuple, int]:
    """CELL -> the step that ended the run, for those that diverged."""
    return {
        tuple(cell[key] for key in CELL): int(log["step"].iloc[-1])
        for cell, log in zip(cells, training, strict=True)
        if log is not None and log["diverged"].any()
    }


def checked(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    """The frame with a fresh index; an empty one gets the columns.

    Raises:
        ValueError: a column is missing.
    """
    if frame.empty:
        return frame.reindex(columns=list(dict.fromkeys([*frame.columns, *columns])))
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"the {name} frame has no column {missing[0]!r}")
    # Cells concatenated one below the other repeat their index.
    return frame.reset_index(drop=True)


def refuse_duplicates(frame: pd.DataFrame, keys: list[str], name: str) -> None:
    """Raises ValueError for the first row that has the same keys as another one."""
    twice = frame.loc[frame.duplicated(keys), keys]
    if len(twice):
        row = ", ".join(f"{key}={value}" for key, value in twice.iloc[0].items())
        raise ValueError(f"the {name} frame has a row twice: {row}")


def in_order(*frames: pd.DataFrame) -> pd.DataFrame:
    """The distinct cells, by model and split, references first, else by first appearance."""
    filled = [frame[CELL] for frame in frames if len(frame)]
    cells = pd.concat(filled or [frame[CELL] for frame in frames], ignore_index=True)
    cells = cells.drop_duplicates(ignore_index=True)
    reference = {name: position for position, name in enumerate(REFERENCES)}
    order = pd.DataFrame(
        {
            "model": cells.groupby("model", sort=False).ngroup(),
            "split": cells.groupby(["model", "split"], sort=False).ngroup(),
            "reference": cells["objective"].map(reference).fillna(len(reference)),
            "row": cells.groupby(ROW, sort=False).ngroup(),
        }
    )
    return cells.loc[order.sort_values(list(order), kind="stable").index].reset_index(drop=True)


def states(cells: pd.DataFrame, metrics: pd.DataFrame, status: pd.DataFrame) -> pd.Series:
    """The status of each of some cells in a table of metrics.

    Args:
        cells: CELL, with a fresh index.
        metrics: CELL, `value`. A cell of status ok without a finite one is missing.
        status: CELL, `status`. A cell that is not listed is ok.
    """
    state = cells[CELL].merge(status, how="left", on=CELL)["status"].fillna("ok")
    measured = metrics.loc[np.isfinite(metrics["value"].astype("float64")), CELL]
    found = cells[CELL].merge(measured.drop_duplicates(), how="left", on=CELL, indicator="found")
    return state.mask(state.eq("ok") & ~found["found"].eq("both"), "missing")


def wide(metrics: pd.DataFrame, names: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """One row per cell, one float64 column per name; missing where a metric is not there."""
    refuse_duplicates(metrics, [*CELL, "metric", "dataset"], "metrics")
    wide = metrics.pivot(index=CELL, columns=["metric", "dataset"], values="value")
    wide = wide.reindex(columns=pd.MultiIndex.from_tuples(names.values()))
    return wide.set_axis(list(names), axis=1).astype("float64").reset_index()


def over_seeds(
    cells: pd.DataFrame,
    values: list[str],
    proof: str,
    status: pd.DataFrame,
    more: Sequence[str] = (),
) -> pd.DataFrame:
    """Averages over the seeds of status ok.

    Args:
        cells: CELL, `more`, the columns `values`.
        values: what is averaged.
        proof: one of them; a cell that is ok by its training log, but has no such number, is
            missing.
        status: CELL, `status`; a cell not listed is ok.
        more: what names a row besides ROW.

    Returns:
        One row per ROW and `more`, in the order of the cells: these, `values` (means), each with
        `_sd` (sample standard deviation), `n_seeds` that entered, and `status` (the worst).
    """
    cells = cells.merge(status, how="left", on=CELL)
    state = cells["status"].fillna("ok")
    state = state.mask(state.eq("ok") & cells[proof].isna(), "missing")
    cells[values] = cells[values].astype("float64").where(state.eq("ok"))
    cells = cells.assign(n_seeds=state.eq("ok").astype("int64"), status=state.map(STATUSES.index))
    rows = cells.groupby([*ROW, *more], sort=False, dropna=False)
    means, spread = rows[values].mean(), rows[values].std(ddof=1).add_suffix("_sd")
    worst = rows["status"].max().map(dict(enumerate(STATUSES)))
    return pd.concat([means, spread, rows["n_seeds"].sum(), worst], axis=1).reset_index()


def by_cell(metrics: pd.DataFrame, names: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """One row per cell and one column per name; missing where a metric is not there.

    Args:
        metrics: CELL, `metric`, `dataset`, `value`.
        names: column -> (metric, dataset).

    Returns:
        CELL and the columns `names` (float64).

    Raises:
        ValueError: a column is missing, or a row appears twice.
    """
    metrics = checked(metrics, [*CELL, "metric", "dataset", "value"], "metrics")
    return in_order(metrics).merge(wide(metrics, names), how="left", on=CELL)
