"""The records of a file, one after another: JSON lines, JSON, CSV or parquet. Imports no torch.

One batch of records is in memory at a time; a JSON file that is not one object a line is the
exception.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from geffect.errors import DamagedError, DataError

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_BATCH = 1024  # rows of a parquet file that are read at once
_LONGEST_CELL = 2**31 - 1  # a book in a cell; the limit of `csv` itself is 128 KiB


class Record(NamedTuple):
    """A record of a file, and where it stands in it (`line 3` or `row 2`), for errors."""

    where: str
    values: dict[str, Any]


def records(path: str | Path, rows: Sequence[str] = ()) -> Iterator[Record]:
    """The records of a file, in its order.

    Args:
        path: its suffix says what it holds. JSON may be one object a line, a list of objects, or,
            with `rows`, one object.
        rows: names of lists of records in the file's own records; these lists, one after another,
            are read instead of what is around them.

    Raises:
        DataError: there is no such file, it is of another kind, not readable, or holds no record;
            naming the line (from 1), or the row (from 0) where a file has no lines.
        DamagedError: it is not a complete parquet file.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: not a table that is known; name a file {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the path")
    if path.suffix == ".csv":
        found = _csv(path)
    elif path.suffix == ".parquet":
        found = _parquet(path)
    else:
        found = _json(path, whole=bool(rows))
    nothing = True
    for where, values in _inside(path, found, rows) if rows else found:
        nothing = False
        if not isinstance(values, dict):
            raise DataError(f"{path}, {where}: not an object with names; fix the row")
        yield Record(where, values)
    if nothing:
        raise DataError(f"{path}: no rows; name a file that has some")


def _inside(
    path: Path, found: Iterator[tuple[str, Any]], rows: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    for where, values in found:
        for name in rows:
            inner = values.get(name) if isinstance(values, dict) else None
            if not isinstance(inner, list):
                known = list(values) if isinstance(values, dict) else []
                raise DataError(
                    f"{path}, {where}: no list {name!r} (rows)"
                    f"{DataError.suggestion(name, known) if known else '; fix the row'}"
                )
            for number, record in enumerate(inner):
                yield f"{name}[{number}]", record


def _lines(path: Path) -> Iterator[str]:
    """The decoded lines of a text file; a byte order mark is no part of the first one."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: not UTF-8; save the file as UTF-8"
                ) from error


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(_lines(path), strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            where, start = f"line {start}", reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = cells
                twice = [name for n, name in enumerate(header) if name in header[:n]]
                if twice:
                    raise DataError(f"{path}: column {twice[0]!r} is there twice; remove one")
            elif len(cells) != len(header):
                raise DataError(
                    f"{path}, {where}: {len(cells)} cells, but the header has {len(header)}; quote "
                    "cells that contain commas"
                )
            else:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {start}: not CSV ({error}); fix the file") from error


def _json(path: Path, whole: bool) -> Iterator[tuple[str, Any]]:
    lines = enumerate(_lines(path), start=1)
    number, first = next(((n, line) for n, line in lines if line.strip()), (0, ""))
    if first.lstrip().startswith("[") or whole:
        try:
            content = json.loads(first + "".join(line for _, line in lines) if first else "[]")
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error}); fix the file") from error
        for row, values in enumerate(content if isinstance(content, list) else [content]):
            yield f"row {row}", values
        return
    while first:
        if first.strip():
            try:
                yield f"line {number}", json.loads(first)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error}); fix it") from error
        number, first = next(lines, (0, ""))


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    row = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for number, name in enumerate(names):
                if name in names[:number]:
                    raise DataError(f"{path}: column {name!r} is there twice; remove one")
            for batch in file.iter_batches(_BATCH):
                for values in batch.to_pylist():
                    yield f"row {row}", values
                    row += 1
    except (ArrowException, OSError) as error:
        raise DamagedError(path, "is damaged (not a complete parquet file)") from error
