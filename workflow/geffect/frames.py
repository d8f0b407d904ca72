"""Tables on disk, and the five keys of a cell in them."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from geffect import files
from geffect.errors import DamagedError, DataError
from geffect.names import CELL, FULL, NO_REGULARIZER, ORIGINAL, RETAIN_MODEL

log = logging.getLogger(__name__)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Writes a table as parquet, completely or not at all."""
    with files.written(path) as partial:
        frame.to_parquet(partial, index=False)


def read(path: str | Path, **where: Any) -> pd.DataFrame:
    """Reads a parquet table, or those of its rows whose columns `where` have one value each.

    Raises:
        DataError: there is no such file.
        DamagedError: it is truncated or not parquet.
    """
    try:
        filters = [(column, "==", value) for column, value in where.items()]
        return pd.read_parquet(path, filters=filters or None)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such table; run the rule that makes it first"
        ) from error
    except (OSError, ValueError) as error:
        raise DamagedError(path, "is damaged (not a complete parquet file)") from error


def cell_name(key: Any) -> str:
    """The name of a cell in logs, from an object with its five keys."""
    return f"{key.model} {key.split} {key.objective}+{key.regularizer} seed{key.seed}"


def with_cell(frame: pd.DataFrame, key: Mapping) -> pd.DataFrame:
    """The frame with the five columns CELL in front, from a mapping (the seed as an integer)."""
    values = {name: int(key[name]) if name == "seed" else str(key[name]) for name in CELL}
    return frame.assign(**values)[[*CELL, *frame.columns]]


def write_cell(tables: Mapping[str, pd.DataFrame], key: Mapping, paths: Mapping) -> None:
    """Writes the tables of a cell, with its keys in front, each to the path of the same name."""
    for name, frame in tables.items():
        write(with_cell(frame, key), paths[name])
        log.info("wrote %s", paths[name])


def reference_cell(key: Mapping) -> dict:
    """The cell keys of a reference evaluation, from its model, corpus, split and seed."""
    objective = ORIGINAL if key["corpus"] == FULL else RETAIN_MODEL
    named = {"objective": objective, "regularizer": NO_REGULARIZER}
    return {name: named.get(name) or key[name] for name in CELL}


def key_of(wildcards: Any) -> dict:
    """The cell keys that a job's wildcards stand for: those of a cell or of a reference model."""
    key = dict(wildcards.items())
    return reference_cell(key) if "corpus" in key else key
