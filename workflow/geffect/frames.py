"""Tables: on disk, with the five keys of a cell, and as which cell a reference model stands."""

import pandas as pd

from geffect import files
from geffect.errors import DamagedError, DataError

CELL = ["model", "split", "objective", "regularizer", "seed"]


def write(frame: pd.DataFrame, path) -> None:
    """Writes a table as parquet: whole or not at all."""
    with files.written(path) as partial:
        frame.to_parquet(partial, index=False)


def read(path) -> pd.DataFrame:
    """A parquet table.

    Raises:
        DataError: there is none.
        DamagedError: it is cut off or no parquet.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such table; run what makes it first") from error
    except (OSError, ValueError) as error:
        raise DamagedError(path, "is damaged (no whole parquet file)") from error


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
