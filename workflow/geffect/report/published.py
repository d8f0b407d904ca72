"""Reads a CSV file of published numbers, and refuses one that cannot be compared with a run."""

import csv
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from geffect.errors import ConfigError, DataError
from geffect.names import CELL, NO_REGULARIZER, REFERENCES

KEYS = CELL[:-1]
"""What names a row: all keys but the seed."""


def read(
    path: str | Path,
    columns: Collection[str],
    known: Mapping[str, Collection[str]] | None = None,
) -> list[dict[str, Any]]:
    """The rows of a CSV file: KEYS, and the numbers of some columns (missing where empty).

    Args:
        path: the file, in UTF-8, with a header.
        columns: the names that columns of numbers may have.
        known: key -> the names that it may have, for some of KEYS; reference models are always
            known. None takes any.

    Raises:
        ConfigError: a column is missing, unknown or there twice, or a row has an unknown name, a
            cell that is not a finite number, or the same keys as another one.
        DataError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); check the path") from error
    _check_header(path, header, columns)
    rows: list[dict[str, Any]] = []
    places: dict[tuple, int] = {}
    for number, line in enumerate(lines, start=2):
        if not any(cell.strip() for cell in line):
            continue
        where = f"{path}: line {number}"
        if len(line) != len(header):
            raise ConfigError(
                f"{where}: {len(line)} cells, but the header has {len(header)}; mend the line"
            )
        row: dict[str, Any] = dict(zip(header, (cell.strip() for cell in line), strict=True))
        key = tuple(row[name] for name in KEYS)
        _check_key(where, row, known or {})
        if key in places:
            raise ConfigError(
                f"{where}: {', '.join(key)} is in line {places[key]} already; remove one"
            )
        places[key] = number
        for name in header:
            if name not in KEYS:
                row[name] = _number(where, name, row[name])
        rows.append(row)
    if not rows:
        raise ConfigError(f"{path}: has no rows; add some, or set report.published to null")
    return rows


def _check_header(path: str | Path, header: list[str], columns: Collection[str]) -> None:
    absent = [name for name in KEYS if name not in header]
    if absent:
        raise ConfigError(f"{path}: no column {absent[0]!r}; needed are {', '.join(KEYS)}")
    for name in header:
        if name not in KEYS and name not in columns:
            raise ConfigError(
                f"{path}: unknown column {name!r}{ConfigError.suggestion(name, columns)}"
            )
        if header.count(name) > 1:
            raise ConfigError(f"{path}: column {name!r} is there twice; remove one")
    if not set(header) - set(KEYS):
        raise ConfigError(f"{path}: no column with numbers; name one of {', '.join(columns)}")


def _check_key(where: str, row: Mapping[str, str], known: Mapping[str, Collection[str]]) -> None:
    for name, names in known.items():
        reference = name == "objective" and row[name] in REFERENCES
        if row[name] not in names and not reference:
            raise ConfigError(
                f"{where}: unknown {name} {row[name]!r}{ConfigError.suggestion(row[name], names)}"
            )
    if row["objective"] in REFERENCES and row["regularizer"] != NO_REGULARIZER:
        raise ConfigError(
            f"{where}: {row['objective']} has the regularizer {NO_REGULARIZER!r}; write that"
        )


def _number(where: str, name: str, text: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"{where}, column {name}: {text!r} is not a finite number; write one, or leave it empty"
        )
    return value
