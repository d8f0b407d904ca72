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

SPLITS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
REVISION = "324592d84ae4f482ac7249b9285c2ecdb53e3a68"
QUESTIONS = 20
HOLDOUT = {split: split.replace("forget", "holdout") for split in SPLITS}


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
    """Downloads TOFU's files from the hub and returns their folder."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=list(file_hashes())
        )
    )


def table_names(splits: Sequence[str]) -> list[str]:
    """The names of the data tables of a run over these splits."""
    others = [of[split] for of in (SPLITS, HOLDOUT) for split in splits]
    return ["full", *splits, *others, "held_out", "real_authors", "world_facts", "refusals"]
