"""All tables of a run on one page, to sort and to search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from geffect.report.pages import render

ROWS = 2000
"""A longer table is cut here, and says so."""


def page(run: str, tables: Sequence[tuple[str, str, pd.DataFrame]], configuration: str) -> str:
    """The page as HTML.

    Args:
        run: the run's name.
        tables: (name, what to look for and what not to conclude, frame) of each.
        configuration: the run's configuration, as text.
    """
    return render(
        "tables.html",
        title=f"Tables of run {run}",
        tables=[
            {
                "name": name,
                "caption": caption,
                "columns": [
                    {"name": column, "number": pd.api.types.is_numeric_dtype(frame[column])}
                    for column in frame
                ],
                "rows": [
                    [_cell(value) for value in row]
                    for row in frame.head(ROWS).itertuples(index=False)
                ],
                "of": len(frame),
            }
            for name, caption, frame in tables
        ],
        limit=ROWS,
        configuration=configuration,
    )


def _cell(value: Any) -> dict[str, Any]:
    """The text of a cell, and the number by which it sorts."""
    if pd.isna(value):
        return {"text": "–", "number": None}
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return {"text": str(value), "number": None}
    text = f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)
    exact = repr(float(value)) if math.isfinite(value) else None
    return {"text": text.replace("-", "−"), "number": exact}
