"""Job records: what ran where, and how it ended; and the claim that keeps two jobs off one cell.

A record is a JSON file beside a job's log, which is replaced as a whole. While it says `running`
and its owner is alive, no other job may take it. A killed job leaves `running` with a dead owner.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from geffect import IMPORTED, files
from geffect.errors import GeffectError, JobError, UnreachableError
from geffect.jobs import slurm

MIB = 2**20
_GRACE, _PAUSE = 60.0, 2.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
# Jobs import geffect first of all, or are forks of a process that has.
_STARTED = IMPORTED


def _start() -> None:
    global _STARTED
    _STARTED = time.monotonic()


os.register_at_fork(after_in_child=_start)


def record_path(log_path: str | Path) -> Path:
    """The path of the record of the job with this log."""
    path = Path(log_path)
    return path.with_name(path.name.removesuffix(".log") + ".json")


def write_whole(path: str | Path, text: str) -> None:
    """Writes a text: readers see the old or the new one, however many processes write at once."""
    with files.written(path, _own_name(Path(path))) as partial:
        partial.write_text(text, encoding="utf-8")


def read(path: str | Path) -> dict | None:
    """Reads a record; None if there is none.

    Raises:
        JobError: the file is not a record.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise JobError(f"{path}: not a record of a job ({error}); delete it") from error


def now() -> str:
    """The time in UTC, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def this_process() -> dict:
    """What identifies this process: `host`, `pid`, `process` (its start), `slurm_job` (or None)."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process": process_start(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def process_start(pid: int) -> str | None:
    """When a process of this host started, as the kernel puts it; None if it has ended."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        state, _, start = ended.stdout.strip().partition(" ")
        return None if not state or state.startswith("Z") else start.strip()
    try:
        # The name in parentheses may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def alive(owner: dict, in_slurm: Callable[[Iterable[str]], set[str]] = slurm.alive) -> bool:
    """Whether the process that a record names still runs.

    Args:
        owner: a record, or `this_process()` of another time.
        in_slurm: ids of Slurm jobs -> those of them that are alive.

    Raises:
        UnreachableError: this host cannot tell.
    """
    here = this_process()
    if owner["host"] == here["host"]:
        return process_start(owner["pid"]) == owner["process"]
    if owner["slurm_job"] is None:
        raise UnreachableError(f"{describe(owner)} cannot be checked from {here['host']}")
    if owner["slurm_job"] == here["slurm_job"]:
        return False  # a requeued job keeps its id
    return owner["slurm_job"] in in_slurm([owner["slurm_job"]])


def describe(owner: dict) -> str:
    """A record's owner in words."""
    process = f"process {owner['pid']} on {owner['host']}"
    return f"Slurm job {owner['slurm_job']}, {process}" if owner["slurm_job"] else process


def usage() -> dict:
    """What this process took so far: `wall_seconds`, `peak_memory_mib`, `peak_gpu_mib`.

    The last is that of the fullest GPU; None where no GPU is used.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
    return {
        "wall_seconds": round(time.monotonic() - _STARTED, 1),
        "peak_memory_mib": round(peak / MIB),
        "peak_gpu_mib": _peak_gpu(),
    }


def _peak_gpu() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    devices = range(torch.cuda.device_count())
    return round(max(torch.cuda.max_memory_reserved(device) for device in devices) / MIB)


@contextlib.contextmanager
def recorded(path: str | Path, name: str) -> Iterator[None]:
    """Claims a record for this process, and records in it how the block ends.

    A record holds `name`, `state` (running, done, failed), `error` (one line, or None), the owner
    (`this_process`), `slurm_log`, `started`, `ended`, `attempt` (counted since the job was last
    done), and after its end `usage`.

    Raises:
        JobError: the job that the record names is, or may be, still alive.
    """
    path = Path(path)
    record = claim(path, name, _refuse_living_job)
    try:
        yield
    except BaseException as error:
        end(path, record, "failed", _one_line(error))
        raise
    end(path, record, "done", None)


def end(path: str | Path, record: dict, state: str, error: str | None) -> None:
    """Writes how what a record was claimed for has ended: `done` or `failed`."""
    ended = {"state": state, "error": error, "ended": now(), **usage()}
    write_whole(path, json.dumps({**record, **ended}, indent=2) + "\n")


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (Ctrl-C)"
    text = " ".join(str(error).split())
    if isinstance(error, GeffectError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def claim(path: str | Path, name: str, refuse_living: Callable[[dict, Path, str], None]) -> dict:
    """Takes a record that is free or has a dead owner, and returns it; of any number of processes
    that try at once, one succeeds.

    Args:
        refuse_living: is given an owner, the file that names it, and `name`; raises if the owner
            is alive.

    Whoever creates the claim file of an attempt owns the attempt. A claim file is removed only
    after a record of its attempt has been written. So a job that creates one too late, after
    another job had held and removed it, sees that the record has changed.
    """
    path, owner = Path(path), this_process()
    while True:
        last = read(path)
        if last is not None and last["state"] == "running":
            refuse_living(last, path, name)
        # Attempts at the same thing: what is made again after it was done begins with the first.
        first = attempt = 1 if last is None or last["state"] == "done" else last["attempt"] + 1
        while not _created(_claim_file(path, attempt), owner):
            rival = read(_claim_file(path, attempt))
            if rival is None:
                break
            refuse_living(rival, _claim_file(path, attempt), name)
            attempt += 1
        else:
            if read(path) == last:
                break
            _claim_file(path, attempt).unlink(missing_ok=True)
    record = {
        "name": name,
        "state": "running",
        "error": None,
        **owner,
        "slurm_log": owner["slurm_job"] and slurm.log_path(owner["slurm_job"]),
        "started": now(),
        "ended": None,
        "attempt": attempt,
    }
    write_whole(path, json.dumps(record, indent=2) + "\n")
    for number in range(first, attempt + 1):
        _claim_file(path, number).unlink(missing_ok=True)
    return record


def still_there(owner: dict) -> bool:
    """Whether an owner is alive; waits a while for one that Slurm is clearing away.

    Raises:
        UnreachableError: it cannot be told from this host.
    """
    patience = time.monotonic() + _GRACE
    while alive(owner):
        # A job that ran out of time is retried while Slurm is still clearing it away.
        if alive(owner, _working) or time.monotonic() > patience:
            return True
        time.sleep(_PAUSE)
    return False


def _refuse_living_job(owner: dict, path: Path, name: str) -> None:
    try:
        if not still_there(owner):
            return
    except UnreachableError as error:
        raise JobError(
            f"{name}: may still be written by {describe(owner)}, since {error}; if that has "
            f"ended, delete {path}"
        ) from error
    stop = f"scancel {owner['slurm_job']}" if owner["slurm_job"] else f"kill {owner['pid']}"
    raise JobError(
        f"{name}: is being written by {describe(owner)}; wait for it, or end it ({stop}; ./restart "
        "ends everything that a killed run has left behind)"
    )


def _working(ids: Iterable[str]) -> set[str]:
    return slurm.alive(ids, ending=False)


def _claim_file(path: Path, attempt: int) -> Path:
    return path.with_name(f"{path.name}.claim-{attempt}")


def _created(claim: Path, owner: dict) -> bool:
    """Creates a claim file with its content in one step; False if there is one already."""
    own = _own_name(claim)
    own.write_text(json.dumps(owner), encoding="utf-8")
    try:
        os.link(own, claim)
    except FileExistsError:
        return False
    finally:
        own.unlink()
    return True


def _own_name(path: Path) -> Path:
    """A name beside a path that no other process or thread uses."""
    own = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    return path.with_name(f".{path.name}.{own}")
