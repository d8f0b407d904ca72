"""Rows that somebody else prepared: files of questions and answers, and tokenised data sets."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geffect.data.batches import IGNORED
from geffect.data.encoding import Example
from geffect.data.reading import records
from geffect.errors import DataError


def read_texts(path: str | Path) -> list[dict]:
    """The rows of a file: JSON lines, one JSON list of objects, CSV or parquet.

    Raises:
        DataError: as of `reading.records`.
        DamagedError: it is not a complete parquet file.
    """
    return [record.values for record in records(path)]


def tokenised(rows: Iterable[Example | Mapping[str, Any]], what: str) -> list[Example]:
    """Examples, or the rows of a tokenised data set as examples.

    A row has `input_ids` and `labels` (-100 where there is none), lists or tensors, and perhaps
    `attention_mask`. What it hides is left out, and so are tokens after the last label, which no
    label sees. As everywhere in transformers, a label at the very first position is not predicted.

    Args:
        rows: of a list, a `datasets.Dataset`, a torch `Dataset`.
        what: names the rows in errors.

    Raises:
        DataError: there are no rows; one lacks a column or has no label, labels other than its
            tokens, or labels that are not one stretch.
    """
    examples = [
        row if isinstance(row, Example) else _example(row, f"{what}, row {number}")
        for number, row in enumerate(rows)
    ]
    if not examples:
        raise DataError(f"{what}: no rows; a G-effect needs at least one")
    return examples


def _example(row: Mapping[str, Any], where: str) -> Example:
    columns = {}
    for name in ("input_ids", "labels"):
        if name not in row:
            raise DataError(f"{where}: no {name}; give rows of input_ids and labels, or Examples")
        columns[name] = _numbers(row[name])
    ids, labels = columns.values()
    mask = _numbers(row["attention_mask"]) if "attention_mask" in row else [1] * len(ids)
    if not len(ids) == len(labels) == len(mask):
        raise DataError(f"{where}: input_ids and labels differ in length; fix the row")
    seen = [(i, y) for i, y, shown in zip(ids, labels, mask, strict=True) if shown]
    labelled = [n for n, (_, y) in enumerate(seen) if y != IGNORED and n > 0]
    if not labelled:
        raise DataError(f"{where}: no label token; fix the row")
    first, last = labelled[0], labelled[-1]
    if len(labelled) != last - first + 1:
        raise DataError(f"{where}: its labels are not one stretch; make a row of each answer")
    if any(seen[n][0] != seen[n][1] for n in labelled):
        raise DataError(f"{where}: a label is another token than its input; shift neither of them")
    return Example(tuple(i for i, _ in seen[: last + 1]), first)


def _numbers(values: Any) -> list[int]:
    return [int(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]
