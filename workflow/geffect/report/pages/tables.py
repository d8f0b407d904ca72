"""All tables of a run on one page, to sort and to search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from geffect.report import registry, writing
from geffect.report.pages import render
from geffect.report.statements.page import COLUMNS as OF_STATEMENTS

ROWS = 2000
"""A longer table is cut here, and says so."""
RUN = ["objective", "regularizer"]


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
        tables=[_table(*given) for given in tables],
        limit=ROWS,
        configuration=configuration,
    )


def _look(name: str) -> Mapping[str, writing.Column]:
    """How the columns of a table are shown, as its file says."""
    declared = registry.catalogue(registry.TABLE).get(name)
    if declared is None:
        return OF_STATEMENTS if name == "statements" else {}
    return getattr(declared.module(), "COLUMNS", {})


def _table(name: str, caption: str, frame: pd.DataFrame) -> dict[str, Any]:
    look = _look(name)
    rows = frame.head(ROWS).reset_index(drop=True)
    names = writing.visible(rows)
    texts = writing.for_readers(rows, look)
    texts.columns = pd.Index(names)
    columns = [
        {
            "name": writing.heading(column, look),
            "csv": [c for c in frame if c == column or _belongs(c, column)],
            "number": pd.api.types.is_numeric_dtype(rows[column]),
            "cells": [
                _cell(*pair, column in look)
                for pair in zip(rows[column], texts[column], strict=True)
            ],
        }
        for column in names
    ]
    for (row, column), rank in _best(name, rows, look).items():
        columns[names.index(column)]["cells"][row]["mark"] = ("best", "second")[rank]
    if set(RUN) <= set(rows):
        keys = [key for key in (*RUN, "seed") if key in rows]
        first = {"name": "run", "csv": keys, "number": False, "cells": _runs(rows, keys)}
        kept = zip(columns, names, strict=True)
        columns = [first, *(column for column, name in kept if name not in keys)]
    return {
        "name": name,
        "caption": f"{caption} {writing.legend(column['name'] for column in columns)}".strip(),
        "columns": columns,
        "rows": list(zip(*(column["cells"] for column in columns), strict=True)),
        "of": len(frame),
    }


def _best(
    name: str, rows: pd.DataFrame, look: Mapping[str, writing.Column]
) -> dict[tuple[int, str], int]:
    """The best and second best numbers, where the table's file wants them marked."""
    declared = registry.catalogue(registry.TABLE).get(name)
    if declared is None or not hasattr(declared.module(), "MARK_BEST"):
        return {}
    return writing.best(rows, look)


def _belongs(column: str, to: str) -> bool:
    return column in {f"{to}_{end}" for end in writing.ENDS}


def _runs(rows: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """What names a row, in one column that stays in sight."""
    found = []
    for values in rows[keys].itertuples(index=False, name=None):
        text = f"{values[0]}+{values[1]}"
        if len(values) > 2 and not pd.isna(values[2]):
            text += f" seed {int(values[2])}"
        found.append({"text": text, "number": None, "mark": ""})
    return found


def _cell(value: Any, text: str, known: bool) -> dict[str, Any]:
    """The text of a cell, the number by which it sorts, and room for a mark."""
    if pd.isna(value):
        return {"text": writing.MISSING, "number": None, "mark": ""}
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return {"text": str(text), "number": None, "mark": ""}
    exact = repr(float(value)) if math.isfinite(value) else None
    return {"text": text if known else text.replace("-", "−"), "number": exact, "mark": ""}
