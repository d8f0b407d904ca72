"""The facts about TOFU: its splits, its pinned revision, the hashes of its files.

Light enough to be imported wherever a workflow is planned.
"""

import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from geffect.errors import DataError
from geffect.files import sha256
from geffect.models.snapshots import snapshot

SPLITS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
REVISION = "324592d84ae4f482ac7249b9285c2ecdb53e3a68"
AUTHORS, QUESTIONS = 200, 20
HOLDOUT = {split: split.replace("forget", "holdout") for split in SPLITS}


def row_count(data: Mapping) -> int:
    """The number of rows of `full` that the configuration's `data` asks for.

    Raises:
        DataError: TOFU has fewer authors or questions.
    """
    if data["source"] == "fictional":
        return data["fictional"]["authors"] * data["fictional"]["questions"]
    subset = data["subset"]
    if subset is None:
        return AUTHORS * QUESTIONS
    first, last, questions = (subset[k] for k in ("first_authors", "last_authors", "questions"))
    if first + last > AUTHORS or questions > QUESTIONS:
        raise DataError(
            f"data.subset: {first} + {last} authors × {questions} questions, but TOFU has "
            f"{AUTHORS} × {QUESTIONS}; ask for fewer"
        )
    return (first + last) * questions


def forget_count(rows: int, split: str) -> int:
    """|D_u|: how many of `rows` rows a split forgets."""
    return round(rows * int(split.removeprefix("forget")) / 100)


def check_counts(rows: int, splits: Sequence[str], held_out: int) -> None:
    """Checks that `rows` rows leave some to forget, to hold out and to retain in every split.

    Raises:
        DataError: a split is empty or overlaps the held-out rows.
    """
    for split in splits:
        size = forget_count(rows, split)
        if size == 0:
            raise DataError(f"{split}: of {rows} rows there are none to forget; use more")
        if held_out + size > rows:
            raise DataError(
                f"data.held_out_rows: the first {held_out} rows overlap {split} (the last {size} "
                f"of {rows}); lower it"
            )
        if held_out + size == rows:
            raise DataError(
                f"data.held_out_rows: with {split} it leaves no retain row to train on; lower it"
            )


def data_directory(data: Mapping) -> str | None:
    """TOFU's folder: GEFFECT_TOFU from the environment, else `data.directory`."""
    return os.environ.get("GEFFECT_TOFU") or data["directory"]


def file_hashes() -> dict[str, str]:
    """SHA-256 of the TOFU files that are used, at `REVISION`."""
    return json.loads(resources.files("geffect.data").joinpath("tofu_sha256.json").read_text())


def verify_folder(folder: str | Path, hashes: dict[str, str] | None = None) -> None:
    """Checks that a folder holds TOFU's files, unaltered; the holdout files may be missing.

    Raises:
        DataError: the folder or a file is missing, truncated or altered (the first such file).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set data.directory or GEFFECT_TOFU to TOFU's")
    for name, expected in (hashes or file_hashes()).items():
        path = folder / name
        if not path.is_file() and name.removesuffix(".json") in HOLDOUT.values():
            continue  # only membership inference needs these
        if not path.is_file():
            raise DataError(f"{path}: missing; copy it from locuslab/TOFU at {REVISION}")
        if sha256(path) != expected:
            raise DataError(
                f"{path}: truncated or altered (its SHA-256 is not the one at {REVISION}); "
                "copy it again"
            )


def download(repository: str, revision: str) -> Path:
    """Downloads TOFU's files from the hub and returns their folder.

    Raises:
        HubError: the hub cannot be reached, or has no such repository or revision.
    """
    otherwise = "check data.hub, or set data.source: directory and name TOFU's in data.directory"
    return snapshot(repository, revision, list(file_hashes()), otherwise, "dataset")
