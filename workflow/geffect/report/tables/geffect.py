"""The G-effects of every cell, cumulated over its run."""

import pandas as pd

from geffect.names import CELL
from geffect.report import cells
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Cumulated G-effects"
CAPTION = (
    "e, the inner product of the gradients of a term and of a risk, summed over the run, by term, "
    "data set and component. Compare signs and shares of one objective; its size says nothing "
    "about another objective's."
)
CATEGORY = "G-effects"
READS = ["geffect"]
FORMATS = ["csv"]

COLUMNS = {"cumulated": Column("Σ e (e × updates)")}


def table(results: Results) -> pd.DataFrame:
    """`cumulated` of all cells."""
    return cumulated(results.frame("geffect"))


def cumulated(geffect: pd.DataFrame) -> pd.DataFrame:
    """Sum e(t_i) * (t_{i+1} - t_i) over the measured steps of every cell, term and component.

    The last step of a run has no interval and contributes nothing. A run measured at one step
    only has no interval at all: its value is missing, as it is where a contributing e is.

    Args:
        geffect: columns CELL, `step` (optimiser updates), `term`, `dataset`, `component`,
            `geffect`; rows in any order.

    Returns:
        One row per group in order of first appearance: CELL, `term`, `dataset`, `component`,
        `cumulated` (float64, e times updates).

    Raises:
        ValueError: a column is missing, or a group holds the same step twice.
    """
    keys = [*CELL, "term", "dataset", "component"]
    geffect = cells.checked(geffect, [*keys, "step", "geffect"], "geffect")
    cells.refuse_duplicates(geffect, [*keys, "step"], "geffect")
    group = geffect.groupby(keys, sort=False, dropna=False).ngroup()
    rows = geffect.assign(group=group).sort_values(["group", "step"])
    interval = rows.groupby("group")["step"].shift(-1) - rows["step"]
    contribution = (rows["geffect"] * interval).astype("float64")[interval.notna()]
    sums = contribution.groupby(rows["group"]).sum(skipna=False)
    result = geffect[keys].drop_duplicates().reset_index(drop=True)
    return result.assign(cumulated=sums.reindex(result.index).astype("float64"))
