"""What a job's outputs depend on, and where and with what it ran."""

import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from geffect.files import hash_folder, sha256
from geffect.jobs.records import usage

_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "pandas", "snakemake")


def made_of(inputs: Any, params: Any, wildcards: Any) -> dict:
    """What a job's outputs depend on: `wildcards`, `settings`, `code`, and hashes of `inputs`."""

    def hashed(path: Any) -> Any:
        if isinstance(path, list):
            return [hashed(item) for item in path]
        return hash_folder(path, "*") if Path(path).is_dir() else sha256(path)

    made = made_with(params, wildcards)
    return {
        "wildcards": made["cell"],
        "settings": made["settings"],
        "code": made["code"],
        "inputs": {name: hashed(path) for name, path in inputs.items()},
    }


def made_with(params: Any, wildcards: Any) -> dict:
    """The part of a record that planning compares with what is asked for (`jobs.stale`): `cell`,
    `settings` and `code`.
    """
    return {
        "cell": dict(wildcards.items()),
        "settings": {name: value for name, value in params.items() if name != "code"},
        "code": params.code,
    }


def record(made_of: dict) -> dict:
    """The content of a job's record.

    Returns:
        From `made_of`: `cell`, `settings`, `code`, the hashes of `data` and, by the role of a
        model, of its `weights`; and everything that `provenance` returns.
    """
    inputs = made_of["inputs"]
    folders = {name: hashes for name, hashes in inputs.items() if isinstance(hashes, dict)}
    return {
        "cell": made_of["wildcards"],
        "settings": made_of["settings"],
        "code": made_of["code"],
        "data": {name: hashes for name, hashes in inputs.items() if name not in folders},
        "weights": {
            role: {name: h for name, h in hashes.items() if name.endswith(".safetensors")}
            for role, hashes in folders.items()
            if hashes  # a folder of checkpoints has no files of its own
        },
        **provenance(),
    }


def run_record(made_of: dict, model: str | Path, diverged: tuple[int, str] | None) -> dict:
    """`record` of an unlearning run, with the weights it left and the step at which it diverged."""
    content = record(made_of)
    content["weights"]["unlearned"] = hash_folder(model)
    return {**content, "diverged": diverged}


def packages() -> dict[str, str]:
    """Name -> version of the packages that results may depend on."""
    return {d.name: d.version for d in metadata.distributions() if d.name in _PACKAGES}


def _git(*arguments: str) -> str | None:
    result = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() if result.returncode == 0 else None


def provenance() -> dict:
    """Where and with what this process runs, and what it took so far.

    Returns:
        `git`, `packages` and `python` (versions), `host`, `device`, `gpu`, and `records.usage`.
    """
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    status = _git("status", "--porcelain")
    dirty = None if status is None else bool(status)
    return {
        "git": {"commit": _git("rev-parse", "HEAD"), "dirty": dirty},
        "packages": packages(),
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "device": gpu or platform.machine(),
        "gpu": {"name": gpu, "count": torch.cuda.device_count()},
        **usage(),
    }
