"""The five keys of a cell as columns, and as which cell a reference model stands in a table."""

import pandas as pd

CELL = ["model", "split", "objective", "regularizer", "seed"]


def cell_name(key) -> str:
    """How a cell is called in logs, from an object with its five keys."""
    return f"{key.model} {key.split} {key.objective}+{key.regularizer} seed{key.seed}"


def with_cell(frame: pd.DataFrame, key) -> pd.DataFrame:
    """The frame behind the five columns CELL, filled from a mapping (the seed as an integer)."""
    values = {name: int(key[name]) if name == "seed" else str(key[name]) for name in CELL}
    return frame.assign(**values)[[*CELL, *frame.columns]]


def reference_cell(key) -> dict:
    """The cell under which a reference evaluation stands, from its model, corpus, split, seed."""
    objective = "original" if key["corpus"] == "full" else "retain_model"
    named = {"objective": objective, "regularizer": "none"}
    return {name: named.get(name) or key[name] for name in CELL}
