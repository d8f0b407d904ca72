"""Reading the rows of data tables, apart from where they came from."""

from collections.abc import Sequence

import pandas as pd

from geffect import frames


def read_rows(path) -> list[dict]:
    """The rows of one table: parquet, or JSON with a row a line (as TOFU's files)."""
    path = str(path)
    lines = path.endswith((".json", ".jsonl"))
    frame = pd.read_json(path, lines=True, dtype=False) if lines else frames.read(path)
    return [
        {k: v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def trainable(retain: Sequence[dict], held_out: int) -> list[dict]:
    """The retain rows that unlearning may use: those after the held-out ones."""
    return [row for row in retain if row["row"] >= held_out]


def texts(rows: Sequence[dict], refusals: Sequence[str]) -> list[str]:
    """Every text of the rows and refusals, to train a tokenizer on."""
    return [row[name] for row in rows for name in ("question", "answer")] + list(refusals)
