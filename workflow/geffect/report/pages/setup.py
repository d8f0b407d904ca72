"""How the runs of one (model, split) were made, for readers: from their records and data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from geffect.errors import DamagedError
from geffect.names import NO_REGULARIZER
from geffect.report import seeds
from geffect.report.symbols import text, written

LENGTH = 8
"""Bytes in front of the header of a safetensors file, which say how long it is."""


def model_facts(folder: str | Path) -> dict[str, Any]:
    """What a `save_pretrained` folder says of its model, without loading it.

    Returns:
        `architecture` (of its config) and `parameters` (elements of all stored tensors; tied ones
        count once).

    Raises:
        DamagedError: a file cannot be read.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shapes = [shape for path in sorted(folder.glob("*.safetensors")) for shape in _shapes(path)]
    except (OSError, ValueError) as error:
        raise DamagedError(folder, f"cannot be read ({error})") from error
    parameters = sum(math.prod(shape) for shape in shapes)
    return {"architecture": config["model_type"], "parameters": parameters}


def _shapes(path: Path) -> list[list[int]]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path.name} has no header")
        header = json.loads(file.read(length))
    return [entry["shape"] for name, entry in header.items() if name != "__metadata__"]


class Rows(NamedTuple):
    """What a (model, split) is made of.

    Attributes:
        forget, held_out: numbers of rows, of D_u and of the held-out ones.
        measured: `geffect.retain_rows`, the rows of D_r that G-effects are measured on.
        most: `evaluation.max_rows`, of each set that are evaluated; None for all.
    """

    forget: int
    held_out: int
    measured: str = "held_out"
    most: int | None = None


def described(
    records: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    model: Mapping[str, Any],
    blocks: int,
    rows: Rows,
    updates: int | None,
) -> list[tuple[str, str]]:
    """(what, how) of the runs of one (model, split), in a few lines.

    Args:
        records: (cell, content of its provenance.json) of each.
        model: as `model_facts` returns.
        blocks: the model's number of blocks; 0 where nothing was measured.
        rows: of the data.
        updates: of a run that came to its end; None where there is none.
    """
    settings = [record["settings"] for _, record in records]
    found = [
        ("Model", _model(model, blocks)),
        ("Data", _data(rows)),
    ]
    if settings:
        used = sorted({int(cell["seed"]) for cell, _ in records})
        found += [
            ("Runs", f"{len(records)}, with {seeds.said(used)}"),
            ("Unlearning", _training(settings, updates)),
            ("Objectives", _variants(records, "objective")),
        ]
        regularizers = _variants(records, "regularizer")
        found += [("Regularizers", regularizers)] if regularizers else []
        found += [("Precision", _each(s["compute"]["precision"] for s in settings))]
    return found


def _each(values: Any) -> str:
    """All that a setting is among the runs."""
    return " or ".join(dict.fromkeys(text(value) for value in values))


def _model(model: Mapping[str, Any], blocks: int) -> str:
    count = model["parameters"]
    size = next(
        (f"{count / unit:.3g} {name}" for unit, name in _UNITS if count >= unit), f"{count}"
    )
    return f"{model['architecture']}, {blocks or 'an unknown number of'} blocks, {size} parameters"


_UNITS = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"))


def _data(rows: Rows) -> str:
    said = f"{rows.forget} rows to forget (D_u); {rows.held_out} held out from it, to keep (D_r)"
    if rows.measured != "held_out":
        said += "; G-effects on D_r are on retain rows of the training data instead"
    return said if rows.most is None else f"{said}; evaluated on at most {rows.most} rows of each"


def _training(settings: Sequence[Mapping], updates: int | None) -> str:
    of = [s["training"] for s in settings]
    parts = [
        *([f"{updates} updates"] if updates else []),
        f"batches of {_each(t['batch_size'] for t in of)}",
        f"AdamW with learning rate {_each(t['learning_rate'] for t in of)}",
        f"warm-up over epochs: {_each(t['warmup_epochs'] for t in of)}",
        f"then a schedule that is {_each(t['schedule'] for t in of)}",
        f"weight decay {_each(t['weight_decay'] for t in of)}",
        f"measured every {_each(s['checkpoint_every'] for s in settings)} updates",
    ]
    if adapters := _each(f"rank {t['lora']['rank']}" for t in of if t.get("lora")):
        parts.append(f"low-rank adapters (LoRA) of {adapters}")
    if any(s.get("selection") for s in settings):
        parts.append("some variants with chosen tokens only")
    return ", ".join(parts)


def _variants(records: Sequence[tuple[Mapping, Mapping]], kind: str) -> str:
    """The variants with their hyper-parameters, each once."""
    found: dict[str, None] = {}
    for cell, record in records:
        loss = record["settings"][kind]
        if loss is None or cell[kind] == NO_REGULARIZER:
            continue
        values = [written(key, value) for key, value in loss["hyper"].items()]
        if "coefficient" in loss:
            values.insert(0, f"λ = {text(loss['coefficient'])}")
        said = f"{cell[kind]} ({', '.join(values)})" if values else cell[kind]
        found[said] = None
    return ", ".join(found)
