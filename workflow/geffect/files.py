"""Files and folders that are whole or not there, and errors that say which is not.

What is written has a temporary name beside its own until it is complete and on the disk.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from geffect.errors import DamagedError, DataError, DiskError

MODEL_FILES = ("config.json", "*.safetensors")
_STEP = "step-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def lacking(folder, patterns=MODEL_FILES) -> list[str]:
    """Which of the files that a model consists of a folder lacks."""
    return [pattern for pattern in patterns if not any(Path(folder).glob(pattern))]


@contextlib.contextmanager
def written(path, partial=None) -> Iterator[Path]:
    """A name to write a file under, which becomes `path` when the block ends without error.

    `partial` is that name; it has to be given where several processes may write at once.

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
def written_folder(folder) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `folder` as `written` does.

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


def write_text(text: str, path) -> None:
    with written(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(content, path) -> None:
    """Writes JSON with sorted keys, a line per entry."""
    write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", path)


def read_json(path):
    """The content of a JSON file.

    Raises:
        DataError: there is no such file.
        DamagedError: it is cut off.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; run what makes it first") from error
    except ValueError as error:
        raise DamagedError(path, "is damaged (no whole JSON file)") from error


def step_folder(folder, step: int) -> Path:
    """Where a folder keeps what belongs to a step of training."""
    return Path(folder) / f"{_STEP}{step:05d}"


def by_step(folder) -> list[tuple[int, Path]]:
    """(step, folder) of all that `step_folder` names and that is there, the least step first."""
    found = Path(folder).glob(f"{_STEP}*[0-9]")
    return sorted((int(path.name.removeprefix(_STEP)), path) for path in found)


def set_aside(path) -> Path:
    """Renames something damaged, so that what made it runs again; returns its new name.

    One step of a run's checkpoints takes all of them along: they are made by one job.
    """
    path = Path(path)
    path = path.parent if path.name.startswith(_STEP) else path
    aside = path.with_name(path.name + ".damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    os.replace(path, aside)
    return aside


@contextlib.contextmanager
def _room(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # safetensors has an error of its own, which gives the number in its text only.
        full = getattr(error, "errno", None) in _FULL
        if full or any(f"(os error {number})" in str(error) for number in _FULL):
            raise DiskError(
                f"{path}: the disk is full or a quota is reached; free some space, then run again"
            ) from error
        raise


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
