"""The refusals that PO trains on."""

from pathlib import Path

from geffect.errors import DataError


def refusals_path(path: str | Path | None = None) -> Path:
    """The file with the refusals: `path`, or the project's own."""
    return Path(path) if path is not None else Path(__file__).parent / "refusals.txt"


def read_refusals(path: str | Path | None = None) -> list[str]:
    """The refusals for PO: the project's own 100, or the lines of a text file (.txt or .jsonl).

    Raises:
        DataError: there is no such file, or it is empty, or not UTF-8.
    """
    file = refusals_path(path)
    if not file.is_file():
        raise DataError(f"{file}: no such file; data.refusals is a path or null")
    try:
        text = file.read_text(encoding="utf-8")
    except ValueError as error:
        raise DataError(f"{file}: not UTF-8 (data.refusals); save it as UTF-8") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{file}: contains no refusals; write one per line")
    return lines
