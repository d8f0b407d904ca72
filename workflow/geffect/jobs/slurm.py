"""What Slurm says about jobs: which are alive, where a job logs, why it ended."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from geffect.errors import UnreachableError

_ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
# States of sacct that name a cause; they count before what a log says.
_CAUSES = {
    "OUT_OF_MEMORY": "out of memory",
    "TIMEOUT": "time limit",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "PREEMPTED": "preempted",
    "DEADLINE": "deadline",
}
# The same in Slurm logs, often the only place that shows a kill for memory.
_LOG_CAUSES = {
    "out of memory": r"oom.?kill|out.of.memory|exceeded (job|step|memory).*(limit|kill)",
    "time limit": r"DUE TO TIME LIMIT",
    "node failure": r"NODE.?FAIL",
    "preempted": r"DUE TO PREEMPTION",
    "cancelled": r"CANCELLED AT",
    "killed": r"^srun: error: .*: Killed\s*$",
}
_TAIL = 64 * 1024


def alive(ids: Iterable[str], ending: bool = True) -> set[str]:
    """Those of the given jobs that wait or run, or (if `ending`) are about to end.

    Raises:
        UnreachableError: squeue does not answer.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return set()
    try:
        states = _queue("--jobs", ",".join(wanted))
    except UnreachableError as error:
        if "Invalid job id" in str(error):  # an answer: forgotten, so ended
            return set()
        raise
    return {job for job, state in states.items() if ending or state != "COMPLETING"}


def alive_by_name(names: Iterable[str]) -> set[str]:
    """The ids of all jobs with these names that wait, run, or are about to end.

    Raises:
        UnreachableError: squeue does not answer.
    """
    wanted = sorted(set(names))
    return set(_queue("--name", ",".join(wanted))) if wanted else set()


def cancel(ids: Iterable[str]) -> None:
    """Cancels jobs; returns before they are gone.

    Raises:
        UnreachableError: scancel fails.
    """
    _answer("scancel", *sorted(ids))


def log_path(job: str) -> str | None:
    """The file that a job's output goes to; None where Slurm does not say."""
    try:
        shown = _answer("scontrol", "show", "job", job)
    except UnreachableError:
        return None
    path = re.search(r"^\s*StdOut=(\S.*)$", shown, re.MULTILINE)
    return path and path[1]


def states(ids: Iterable[str]) -> dict[str, set[str]]:
    """Job -> the states that sacct knows of it and of its steps, such as TIMEOUT.

    Raises:
        UnreachableError: there is no accounting.
    """
    wanted = sorted(set(ids))
    of_job: dict[str, set[str]] = {}
    if wanted:
        shown = _answer("sacct", "-n", "-P", "-o", "JobIDRaw,State", "-j", ",".join(wanted))
        for line in shown.splitlines():
            job, _, state = line.partition("|")
            of_job.setdefault(job.partition(".")[0], set()).update(state.split()[:1])
    return of_job


def reason(known: set[str], log: str | Path | None) -> str | None:
    """Why a killed job ended, in one line; None if neither sacct nor its log says.

    Args:
        known: its `states`; empty where there is no accounting.
        log: its Slurm log, or None.
    """
    for state, cause in _CAUSES.items():
        if state in known:
            return f"{cause} (sacct: {state})"
    lines = _tail(log)
    for cause, pattern in _LOG_CAUSES.items():
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return f"{cause} (Slurm log: {line.strip()})"
    return "cancelled (sacct: CANCELLED)" if "CANCELLED" in known else None


def last_error(log: str | Path | None) -> str | None:
    """The last line of the last Python traceback in a Slurm log; None if there is none."""
    lines = _tail(log)
    starts = [n for n, line in enumerate(lines) if line.startswith("Traceback (most recent call")]
    after = lines[starts[-1] + 1 :] if starts else []
    return next((line.strip() for line in after if line[:1].strip()), None)


def _tail(log: str | Path | None) -> list[str]:
    if log is None:
        return []
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _queue(*chosen: str) -> dict[str, str]:
    shown = _answer("squeue", "--noheader", "--states", "all", "--format", "%A %T", *chosen)
    pairs = [line.split() for line in shown.splitlines() if line.strip()]
    return {job: state for job, state in pairs if state not in _ENDED}


def _answer(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{command[0]} does not answer here ({error})") from error
    if result.returncode:
        reason = " ".join(result.stderr.split()) or f"exit status {result.returncode}"
        raise UnreachableError(f"{command[0]} failed ({reason})")
    return result.stdout
