"""Every metric of every cell and reference model, with its interval."""

import pandas as pd

from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "All metrics"
CAPTION = (
    "Every metric with the ends of its 95% bootstrap interval over rows, which says nothing about "
    "the spread over seeds."
)
CATEGORY = "Results"
READS = ["metrics"]
FORMATS = ["csv"]

COLUMNS = {"low": Column("95% low"), "high": Column("95% high")}


def table(results: Results) -> pd.DataFrame:
    """The metrics as they were computed."""
    return results.frame("metrics")
