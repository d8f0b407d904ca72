"""The refusals that PO trains towards."""

from importlib import resources
from pathlib import Path

from geffect.errors import DataError


def read_refusals(path=None) -> list[str]:
    """The refusals for PO: the project's own 100, or the lines of a text file (.txt or .jsonl).

    Raises:
        DataError: there is no such file, or no line in it.
    """
    if path is None:
        text = resources.files("geffect").joinpath("refusals.txt").read_text(encoding="utf-8")
    elif Path(path).is_file():
        text = Path(path).read_text(encoding="utf-8")
    else:
        raise DataError(f"{path}: no such file; data.refusals is a path or null")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: holds no refusal; write one per line")
    return lines
