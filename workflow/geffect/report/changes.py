"""Changes of risk from the start of a run: where one is missing, all that follows is unknown.

A step whose gradient is not finite leaves the intervals on both of its sides without numbers, and
the run goes on. The sum over such a run is not zero there but missing, in every table and figure.
"""

from collections.abc import Sequence

import pandas as pd

from geffect.names import CELL


def intervals(risk: pd.DataFrame) -> pd.DataFrame:
    """The rows that have an interval to the next measured step: all but those of a run's last one.

    Args:
        risk: rows of `risk.parquet` with their keys, those of the term `objective` among them: no
            other stands at the last step.
    """
    if risk.empty:
        return risk
    return risk[risk["step"] < risk.groupby(CELL)["step"].transform("max")]


def over_runs(risk: pd.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Changes of risk summed over whole runs (nats).

    Args:
        risk: as for `intervals`; CELL, `step`, `keys`, `columns`.
        keys: what a sum has of its own.
        columns: what is summed.

    Returns:
        By `keys`, in order of first appearance: the sums, missing where a summand is. Runs that
        were measured once are left out.
    """
    # A list, so that a sum of one column is a table too.
    return intervals(risk).groupby(list(keys), sort=False)[list(columns)].sum(skipna=False)


def cumulated_change(
    risk: pd.DataFrame, by: str = "dataset", column: str = "measured_change"
) -> pd.DataFrame:
    """The change of risk from the start of every run up to each of its measured steps.

    Args:
        risk: as for `intervals`; CELL, `step`, `by`, `column` up to the next step. Rows that have
            all but `column` in common are added up.
        by: what has curves of its own.
        column: what is summed.

    Returns:
        CELL, `step`, `by`, `change` (nats): 0 at the first step, and missing after a missing one.
    """
    if risk.empty:
        return pd.DataFrame(columns=[*CELL, "step", by, "change"])
    each = risk.groupby([*CELL, "step", by])[column].sum(skipna=False).unstack(by)
    runs = each.sort_index().groupby(level=CELL)
    sums = runs.transform(lambda values: values.shift(fill_value=0).cumsum(skipna=False))
    return sums.stack().rename("change").reset_index()
