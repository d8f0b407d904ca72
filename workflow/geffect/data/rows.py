"""Reading the rows of data tables, wherever they came from."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from geffect import frames
from geffect.errors import DamagedError


def read_rows(path: str | Path) -> list[dict]:
    """The rows of a table: parquet, or JSON with one row per line (like TOFU's files).

    What a row does not have is None.
    """
    frame = _read_lines(path) if str(path).endswith((".json", ".jsonl")) else frames.read(path)
    return [plain(row) for row in frame.to_dict("records")]


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a data frame with lists for arrays, and with None for what it does not have."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value


def _read_lines(path: str | Path) -> pd.DataFrame:
    try:
        return pd.read_json(path, lines=True, dtype=False)
    except ValueError as error:
        raise DamagedError(path, "is damaged (not one JSON object a line)") from error


def trainable(retain: Sequence[dict], held_out_rows: int) -> list[dict]:
    """The retain rows that unlearning may use: those after the first `held_out_rows` of `full`."""
    return [row for row in retain if row["row"] >= held_out_rows]


def texts(rows: Sequence[dict], refusals: Sequence[str]) -> list[str]:
    """All texts of the rows, and the refusals, to train a tokenizer on."""
    return [row[name] for row in rows for name in ("question", "answer")] + list(refusals)
