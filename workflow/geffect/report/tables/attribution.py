"""The measured change of risk over whole runs, and what made it: by term and component."""

import pandas as pd

from geffect.names import CELL
from geffect.report.changes import over_runs
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Attributed change of risk"
CAPTION = (
    "How far each run moved both risks (measured change), and what every term and component did "
    "of it (attributed change, added up over the steps), in nats. The attributed changes of all "
    "terms and the residual, which is the term unexplained, make the measured one. An attribution, "
    "not a counterfactual: without a term, the others would have acted differently."
)
CATEGORY = "G-effects"
READS = ["risk"]
FORMATS = ["csv"]

COLUMNS = {
    "predicted_change": Column("attributed change (nats)"),
    "measured_change": Column("measured change (nats)"),
}


def table(results: Results) -> pd.DataFrame:
    """`attributed` of all cells."""
    return attributed(results.frame("risk"))


def attributed(risk: pd.DataFrame) -> pd.DataFrame:
    """The change of risk over whole runs, by term and component, in nats.

    Args:
        risk: rows of `risk.parquet` of any cells, with their keys.

    Returns:
        CELL, `dataset`, `term`, `component`, `predicted_change` (summed over the steps), and in
        rows of the component `total` the `measured_change`, which is the sum of `predicted_change`
        over all terms, `unexplained` among them. Both are missing where that of a step is.
    """
    keys = [*CELL, "dataset", "term", "component"]
    columns = ["predicted_change", "measured_change"]
    return over_runs(risk, keys, columns).reset_index()
