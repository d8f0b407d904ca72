"""Files and folders that are either complete or absent; their hashes; errors for damaged ones.

Whatever is written has a temporary name beside its own until it is complete and on disk.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from geffect.errors import DamagedError, DataError, DiskError

MODEL_FILES = ("config.json", "*.safetensors")
_STEP = "step-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def missing_files(folder: str | Path, patterns: Iterable[str] = MODEL_FILES) -> list[str]:
    """The patterns, by default of a model's files, that match nothing in a folder."""
    return [pattern for pattern in patterns if not any(Path(folder).glob(pattern))]


@contextlib.contextmanager
def written(path: str | Path, partial: str | Path | None = None) -> Iterator[Path]:
    """Yields a name to write a file under; it becomes `path` when the block ends without error.

    `partial` overrides that name, which is necessary where several processes may write at once.

    Raises:
        DiskError: the file system is full.
    """
    path = Path(path)
    partial = Path(partial or path.with_name(path.name + ".partial"))
    try:
        with _room(path):
            yield partial
            _sync(partial)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def written_folder(folder: str | Path) -> Iterator[Path]:
    """Yields an empty folder to write into; it replaces `folder` when the block ends without error.

    Raises:
        DiskError: the file system is full.
    """
    folder = Path(folder)
    partial = folder.with_name(folder.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with _room(folder):
            partial.mkdir(parents=True)
            yield partial
            for path in partial.rglob("*"):
                if path.is_file():
                    _sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(text: str, path: str | Path) -> None:
    """Writes a text file, completely or not at all."""
    with written(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(content: Any, path: str | Path) -> None:
    """Writes JSON with sorted keys, one entry per line, completely or not at all."""
    write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", path)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: there is no such file.
        DamagedError: it is truncated.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: there is no such file; run the rule that makes it first"
        ) from error
    except ValueError as error:
        raise DamagedError(path, "is damaged (not a complete JSON file)") from error


def step_folder(folder: str | Path, step: int) -> Path:
    """The subfolder for a step of training."""
    return Path(folder) / f"{_STEP}{step:05d}"


def by_step(folder: str | Path) -> list[tuple[int, Path]]:
    """(step, subfolder) of every existing subfolder that `step_folder` names, in order of steps."""
    paths = Path(folder).glob(f"{_STEP}*[0-9]")
    return sorted((int(path.name.removeprefix(_STEP)), path) for path in paths)


def set_aside(path: str | Path) -> Path:
    """Renames a damaged file or folder, so that the job that made it runs again; returns the name.

    A damaged checkpoint takes all checkpoints of its run along, since one job makes them all.
    """
    path = Path(path)
    path = path.parent if path.name.startswith(_STEP) else path
    aside = path.with_name(path.name + ".damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    os.replace(path, aside)
    return aside


def full(error: Exception) -> bool:
    """Whether an error says that there is no room left on a disk."""
    # safetensors raises an error of its own, with the number only in its text.
    of_system = getattr(error, "errno", None) in _FULL
    return of_system or any(f"(os error {number})" in str(error) for number in _FULL)


@contextlib.contextmanager
def _room(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if full(error):
            raise DiskError(
                f"{path}: the disk is full or a quota is reached; free some space, then run again"
            ) from error
        raise


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: str | Path, pattern: str = "*.safetensors") -> dict[str, str]:
    """SHA-256 of each matching file of a folder, by name."""
    return {p.name: sha256(p) for p in sorted(Path(folder).glob(pattern)) if p.is_file()}


def hash_content(content: Any) -> str:
    """SHA-256 of what JSON can hold, in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
