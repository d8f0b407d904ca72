"""Published numbers beside those of the run."""

import numpy as np
import pandas as pd

from geffect.report import published
from geffect.report.cells import ROW
from geffect.report.results import Results
from geffect.report.tables import main
from geffect.report.writing import Column

TITLE = "Published numbers"
CAPTION = (
    "Ours beside published numbers: the difference (ours less theirs), and whether theirs lies in "
    "our 95% interval, which is over seeds where there are several, else over evaluated rows. "
    "Published numbers have an uncertainty of their own, so a value outside is not a contradiction "
    "yet, and one inside a wide interval is no confirmation."
)
CATEGORY = "Results"
READS = ["metrics", "geffect", "risk", "training", "published"]
FORMATS = ["csv", "md", "tex"]

COLUMNS = {"ours": Column("ours"), "theirs": Column("theirs"), "inside": Column("in our interval")}


def table(results: Results) -> pd.DataFrame:
    """`compared` of all cells and the published file of the run."""
    rows = published.read(results.path("published"), main.VALUES)
    return compared(main.table(results), pd.DataFrame(rows))


def compared(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Two tables side by side, a row per published number.

    Args:
        ours: as `main.main_table` returns it.
        theirs: ROW, and some of its columns `VALUES`.

    Returns:
        ROW, `metric` (the name of the column), `ours`, `ours_low` and `ours_high` (its 95%
        interval), `theirs`, `difference` (ours - theirs), `inside` ("yes" or "no"; missing without
        an interval). In the order of the published rows.
    """
    names = [name for name in theirs if name in main.VALUES]
    long = theirs.assign(place=range(len(theirs))).melt(
        ["place", *ROW], names, var_name="metric", value_name="theirs"
    )
    long = long[long["theirs"].notna()].sort_values("place", kind="stable")
    parts = []
    for name in names:
        part = ours[[*ROW, name, f"{name}_low", f"{name}_high"]]
        parts.append(part.set_axis([*ROW, "ours", "ours_low", "ours_high"], axis=1))
        parts[-1] = parts[-1].assign(metric=name)
    joined = long.merge(pd.concat(parts), how="left", on=[*ROW, "metric"])
    low, high = joined["ours_low"], joined["ours_high"]
    inside = joined["theirs"].between(low, high).map({True: "yes", False: "no"})
    joined["difference"] = joined["ours"] - joined["theirs"]
    joined["inside"] = inside.where(np.isfinite(low) & np.isfinite(high))
    order = [*ROW, "metric", "ours", "ours_low", "ours_high", "theirs", "difference", "inside"]
    return joined[order].reset_index(drop=True)
