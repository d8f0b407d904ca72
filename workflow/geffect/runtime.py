"""What every job sets up before it computes: threads, logging, progress, provenance."""

import contextlib
import hashlib
import json
import logging
import os
import platform
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from geffect import files, jobs
from geffect.errors import DamagedError, GeffectError

log = logging.getLogger("geffect")

_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "pandas", "snakemake")


@contextlib.contextmanager
def job(name: str, log_path, threads: int | None = None):
    """Logs to stderr and to `log_path`, keeps the record beside it (`jobs.recorded`), fixes
    torch's threads, turns errors into one line.

    The thread count comes from the configuration and never from the scheduler, since one thread
    and two give different bits.

    Raises:
        SystemExit: with status 1, after a `GeffectError` was logged as one line; also where
            another job that is still alive holds the same record.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    log.propagate = False
    started = time.monotonic()
    with contextlib.ExitStack() as handlers:
        handlers.enter_context(_logged_to(logging.StreamHandler(sys.stderr), name))
        try:
            with jobs.recorded(jobs.record_path(log_path), name):
                # Only now: a job that is refused must not empty the log of the one at work.
                file = logging.FileHandler(log_path, mode="w")
                handlers.enter_context(_logged_to(file, name))
                if threads is not None:
                    _fix_threads(threads)
                yield
                log.info("done in %.1f s", time.monotonic() - started)
        except GeffectError as error:
            log.error("error: %s", error)
            if isinstance(error, DamagedError) and _run_folder(log_path) in error.path.parents:
                log.error("renamed to %s: the next run makes it anew", files.set_aside(error.path))
            raise SystemExit(1) from None
        except Exception:
            log.exception("failed")
            raise


@contextlib.contextmanager
def _logged_to(handler: logging.Handler, name: str):
    handler.setFormatter(logging.Formatter(f"[%(asctime)s {name}] %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    try:
        yield
    finally:
        handler.close()
        log.removeHandler(handler)


def _fix_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False


class Progress:
    """Logs how far a loop has come, at most every few seconds and at its end."""

    def __init__(self, what: str, total: int, every: float = 5.0):
        self.what, self.total, self.every = what, total, every
        self.started = self.last = time.monotonic()

    def step(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if done < self.total and now - self.last < self.every:
            return
        self.last = now
        elapsed = now - self.started
        left = elapsed / max(done, 1) * (self.total - done)
        log.info(
            "%s %d/%d%s (%.0f s, %.0f s left)",
            self.what,
            done,
            self.total,
            f", {note}" if note else "",
            elapsed,
            left,
        )


def sha256(path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder, pattern: str = "*.safetensors") -> dict[str, str]:
    """SHA-256 of each matching file of a folder, by name."""
    return {p.name: sha256(p) for p in sorted(Path(folder).glob(pattern)) if p.is_file()}


def hash_content(content) -> str:
    """SHA-256 of what JSON can hold, in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def work(log_path) -> Path:
    """Where a job that logs to `results/RUN/logs/JOB.log` may leave its state: work/JOB."""
    run = _run_folder(log_path)
    return run / "work" / Path(log_path).with_suffix("").relative_to(run / "logs")


def _run_folder(log_path) -> Path:
    return next(parent.parent for parent in Path(log_path).parents if parent.name == "logs")


def made_of(inputs, params, wildcards) -> dict:
    """What a job's outputs depend on: wildcards, settings, code, and its inputs' hashes."""

    def hashed(path):
        if isinstance(path, list):
            return [hashed(item) for item in path]
        return hash_folder(path, "*") if Path(path).is_dir() else sha256(path)

    return {
        "wildcards": dict(wildcards.items()),
        "settings": {name: value for name, value in params.items() if name != "code"},
        "code": params.code,
        "inputs": {name: hashed(path) for name, path in inputs.items()},
    }


def record(made_of: dict) -> dict:
    """What a job was made of (`made_of`), for a file: `cell`, `settings`, `code`, the hashes of
    `data` and, by the role of a model, of its `weights`; and `provenance`.
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
    """Where and with what this process runs: git commit, package versions, host, device, GPUs;
    and what it took so far: wall seconds, peak memory (`jobs.usage`).
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
        **jobs.usage(),
    }
