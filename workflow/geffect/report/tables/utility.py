"""Model Utility and the nine numbers that it is the harmonic mean of."""

import pandas as pd

from geffect.names import UTILITY_PARTS
from geffect.report import cells
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Model Utility and its nine parts"
CAPTION = (
    "Model Utility and its nine parts: which of them a run loses, which their harmonic mean hides."
)
CATEGORY = "Results"
READS = ["metrics"]
FORMATS = ["csv", "md", "tex"]

UTILITY_SETS = ("retain", "real_authors", "world_facts")
NINE_PARTS = {
    f"{metric}_{dataset}": (metric, dataset)
    for metric, dataset in sorted(UTILITY_PARTS, key=lambda part: UTILITY_SETS.index(part[1]))
}

COLUMNS = {name: Column(f"{name.replace('_', ' ').capitalize()} ↑", "fixed") for name in NINE_PARTS}
COLUMNS["mu"] = Column("MU ↑", "fixed")


def table(results: Results) -> pd.DataFrame:
    """`nine_parts` of all cells."""
    return nine_parts(results.frame("metrics"))


def nine_parts(metrics: pd.DataFrame) -> pd.DataFrame:
    """Spread out the nine numbers that Model Utility is the harmonic mean of.

    Args:
        metrics: CELL, `metric`, `dataset`, `value`.

    Returns:
        One row per cell: CELL, `probability_*`, `rouge_*`, `truth_ratio_*` for the data sets
        retain, real_authors and world_facts, and `mu` (float64, missing where not measured).

    Raises:
        ValueError: a column is missing, or a row appears twice.
    """
    return cells.by_cell(metrics, NINE_PARTS | {"mu": ("mu", "all")})
