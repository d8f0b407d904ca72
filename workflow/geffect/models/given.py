"""Models that somebody fine-tuned elsewhere, taken as they are. Imports no torch."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from geffect import files
from geffect.errors import GeffectError

FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model")
"""What belongs to a model folder, beside whatever a training has left there."""


def parts(folder: str | Path) -> list[Path]:
    """The files of a model folder, in the order of their names."""
    found = {path for pattern in FILES for path in Path(folder).glob(pattern) if path.is_file()}
    return sorted(found)


def link(folder: str | Path, into: str | Path, together: bool = False) -> None:
    """Makes a model folder of links to the files of another one.

    Args:
        folder: whose files are linked.
        into: the new folder.
        together: whether both are moved together, if at all.
    """
    with files.written_folder(into) as partial:
        for path in parts(Path(folder).absolute()):
            target = os.path.relpath(path, Path(into).absolute()) if together else path
            (partial / path.name).symlink_to(target)


def seen(folder: str | Path) -> dict[str, dict[str, Any]]:
    """For every file of a model folder by its name, `sha256` and what shows a change of it."""
    return {path.name: {"sha256": files.sha256(path), **_marks(path)} for path in parts(folder)}


def hashes(folder: str | Path, record: str | Path) -> dict[str, str]:
    """SHA-256 of every file of a model folder, by name.

    A file that is marked as it was when it was `seen` is not read again.

    Args:
        record: the file of a record whose `seen` is what that function gave, if there is one.
    """
    try:
        known = files.read_json(record)["seen"]
    except (GeffectError, KeyError, TypeError):
        known = {}
    return {path.name: _hash(path, known.get(path.name, {})) for path in parts(folder)}


def _hash(path: Path, known: Mapping[str, Any]) -> str:
    marks = _marks(path)
    if known == {"sha256": known.get("sha256"), **marks}:
        return str(known["sha256"])
    return _hash_now(path, *marks.values())


@cache
def _hash_now(path: Path, *marks: int) -> str:
    return files.sha256(path)


def _marks(path: Path) -> dict[str, int]:
    """A copy that keeps its times shows by the time of its entry, which nobody can set."""
    status = path.stat()
    return {"size": status.st_size, "modified": status.st_mtime_ns, "changed": status.st_ctime_ns}
