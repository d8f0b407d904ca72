"""Memorization and membership inference."""

import pandas as pd

from geffect.names import ATTACKS
from geffect.report import cells
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Memorization and membership inference"
CAPTION = (
    "Memorization and membership inference. An AUC near 0.5 says that this attack fails, not that "
    "no attack succeeds."
)
CATEGORY = "Results"
READS = ["metrics"]
FORMATS = ["csv", "md", "tex"]

PRIVACY = {
    "em_unlearn": ("em", "unlearn"),
    "em_retain": ("em", "retain"),
    **{f"mia_{attack}": (f"mia_{attack}", "unlearn") for attack in ATTACKS},
    "privleak": ("privleak", "unlearn"),
}
COLUMNS = {
    "em_unlearn": Column("EM unlearn ↓", "fixed"),
    "em_retain": Column("EM retain ↑", "fixed"),
    "mia_loss": Column("AUC loss → 0.5", "fixed"),
    "mia_zlib": Column("AUC zlib → 0.5", "fixed"),
    "mia_min_k": Column("AUC min-k → 0.5", "fixed"),
    "mia_min_k_plus_plus": Column("AUC min-k++ → 0.5", "fixed"),
    "mia_gradient_norm": Column("AUC gradient norm → 0.5", "fixed"),
    "mia_reference": Column("AUC reference → 0.5", "fixed"),
    "privleak": Column("PrivLeak % → 0"),
}


def table(results: Results) -> pd.DataFrame:
    """`privacy` of all cells."""
    return privacy(results.frame("metrics"))


def privacy(metrics: pd.DataFrame) -> pd.DataFrame:
    """Spread out exact memorization, the AUCs of membership inference, and privleak.

    Args:
        metrics: as for `nine_parts`.

    Returns:
        One row per cell: CELL and the columns `PRIVACY` (float64, missing where not measured:
        membership needs holdout rows, the reference attack another model than the retain model).

    Raises:
        ValueError: a column is missing, or a row appears twice.
    """
    return cells.by_cell(metrics, PRIVACY)
