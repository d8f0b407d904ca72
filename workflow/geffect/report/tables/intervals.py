"""The main table's metrics with their 95% intervals."""

import pandas as pd

from geffect.report.cells import ROW
from geffect.report.results import Results
from geffect.report.tables import main

TITLE = "95% intervals"
CAPTION = (
    "95% intervals of the main table: over seeds (Student's t, cut at the range of a metric, 0 to "
    "1) where there are several, else over evaluated rows (bootstrap). Intervals over rows do not "
    "cover what another seed would change, so they are too narrow for comparing objectives. Seeds "
    "that agree exactly have an interval of no width, which does not prove that others would agree."
)
CATEGORY = "Results"
READS = ["metrics", "geffect", "risk", "training"]
FORMATS = ["csv", "md", "tex"]

NAMES = [*main.MAIN_COLUMNS, *main.CHANGES]
COLUMNS = main.COLUMNS


def table(results: Results) -> pd.DataFrame:
    """ROW, the metrics and changes of risk with `_low` and `_high` of each, `n_seeds`, `status`."""
    whole = main.table(results)
    ends = [f"{name}{end}" for name in NAMES for end in ("", "_low", "_high")]
    return whole[[*ROW, *ends, "n_seeds", "status"]]
