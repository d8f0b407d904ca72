"""The state of a run's grid, at any time: what is done, runs, failed and why.

    python -m geffect.status results/paper            # the grid
    python -m geffect.status results/paper --failed   # what failed, why, and where the logs are

Looks only: files, job records, and what Slurm says; exits with 1 where something failed.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geffect import files, jobs, runs, slurm
from geffect.errors import GeffectError, UnreachableError

STATES = ("done", "diverged", "running", "failed", "killed", "missing")
PROVENANCE = "provenance.json"  # as rule unlearn calls it
BAD = ("failed", "killed")


@dataclass(frozen=True)
class Job:
    """One job of the grid.

    Args:
        state: one of `STATES`. missing: its files are not there, and nobody works on them.
        record: its job record, None where none was ever begun.
        unsure: running by its record, but this host cannot see whether it is.
        log: the path of its log.
        unrecorded: its last attempt, where that failed before its record began (`runs.errors`).
    """

    group: str
    row: str
    stage: str
    state: str
    record: dict | None
    unsure: bool
    log: str
    unrecorded: dict | None = None


def look(root) -> list[Job]:
    """The jobs of a run, in the order of its manifest.

    Raises:
        JobError: there is no manifest.
    """
    manifest = runs.load(root)
    entries = list(runs.stages(manifest))
    records = [jobs.read(jobs.record_path(Path(root) / entry["log"])) for *_, entry in entries]
    liveness = _Liveness(records)
    found = []
    for (group, row, stage, entry), record in zip(entries, records, strict=True):
        log = str(Path(root) / entry["log"])
        state, unsure = _state(root, entry["files"], record, liveness)
        unrecorded = manifest["unrecorded"].get(entry["log"])
        if state == "missing" and unrecorded:
            state = "failed"
        found.append(Job(group, row, stage, state, record, unsure, log, unrecorded))
    return found


class _Liveness:
    """Whether owners of records are alive, with a single question to Slurm."""

    def __init__(self, records: list[dict | None]):
        here = jobs.this_process()["host"]
        running = [r for r in records if r is not None and r["state"] == "running"]
        away = {r["slurm_job"] for r in running if r["slurm_job"] and r["host"] != here}
        self._error, self._alive = None, set()
        try:
            # What is about to end without having closed its record has been killed.
            self._alive = slurm.alive(away, ending=False)
        except UnreachableError as error:
            self._error = error

    def _in_slurm(self, ids: list[str]) -> set[str]:
        if self._error:
            raise self._error
        return self._alive & set(ids)

    def __call__(self, owner: dict) -> bool | None:
        """None where it cannot be told from here."""
        try:
            return jobs.alive(owner, self._in_slurm)
        except UnreachableError:
            return None


def _state(root, outputs: list[str], record: dict | None, liveness: _Liveness) -> tuple[str, bool]:
    if record is not None and record["state"] == "running":
        alive = liveness(record)
        return ("killed", False) if alive is False else ("running", alive is None)
    if record is not None and record["state"] == "failed":
        return "failed", False
    paths = [Path(root) / name for name in outputs]
    if not all(path.exists() for path in paths):
        return "missing", False
    return ("diverged" if any(map(_diverged, paths)) else "done"), False


def _diverged(path: Path) -> bool:
    """Whether a job's output says so; its model may have been removed since (`keep_models`)."""
    return path.name == PROVENANCE and bool(files.read_json(path)["diverged"])


def grid(found: list[Job]) -> str:
    """The grid for readers: a table per group, a row per model or cell; counts at the end."""
    parts = []
    for group in dict.fromkeys(job.group for job in found):
        chosen = [job for job in found if job.group == group]
        columns = list(dict.fromkeys(job.stage for job in chosen))
        rows: dict[str, dict[str, str]] = {}
        for job in chosen:
            rows.setdefault(job.row, {})[job.stage] = _short(job)
        lines = [[group, *columns]]
        lines += [[name, *(row.get(c, "") for c in columns)] for name, row in rows.items()]
        parts.append(_aligned(lines))
    return "\n\n".join([*parts, counts(found)])


def counts(found: list[Job]) -> str:
    """How many jobs of each stage are in which state."""
    lines = []
    for stage in dict.fromkeys(job.stage for job in found):
        number = Counter(job.state for job in found if job.stage == stage)
        states = ", ".join(f"{number[state]} {state}" for state in STATES if number[state])
        lines.append([f"{stage}:", states])
    return _aligned(lines)


def failures(found: list[Job]) -> str:
    """What failed or was killed: which attempt, why, and where its logs are; empty if nothing."""
    bad = [job for job in found if job.state in BAD]
    parts = [_Failure.of(job) for job in bad]
    known, accounting = {}, ""
    try:
        known = slurm.states(f.slurm_job for f in parts if f.error is None and f.slurm_job)
    except UnreachableError as error:
        accounting = f"; {error}"
    return "\n".join(part.told(known, accounting) for part in parts)


@dataclass(frozen=True)
class _Failure:
    """The last attempt of a job that failed.

    Args:
        title: which job, and how it failed.
        who: the owner in words.
        error: what is known already of why.
        log: the path of its log, None where it never came to write one.
    """

    title: str
    who: str
    error: str | None
    slurm_job: str | None
    slurm_log: str | None
    log: str | None

    @classmethod
    def of(cls, job: Job) -> "_Failure":
        title = f"{job.row} {job.stage}: "
        if last := job.unrecorded:
            number, path = last["slurm_job"], last["slurm_log"]
            title += "failed before it began"
            who = f"Slurm job {number}" if number else "its process"
            return cls(title, who, last["why"], number, path, None)
        record = job.record
        title += f"{job.state} in attempt {record['attempt']}"
        number, path = record["slurm_job"], record["slurm_log"]
        path = path or (number and slurm.log_path(number))
        return cls(title, jobs.describe(record), record["error"], number, path, job.log)

    def told(self, known: dict[str, set[str]], accounting: str) -> str:
        lines = [self.title, f"  why: {self.error or self._death(known, accounting)}"]
        lines += [f"  log: {self.log}"] if self.log else []
        lines += [f"  Slurm log: {self.slurm_log}"] if self.slurm_log else []
        return "\n".join(lines)

    def _death(self, known: dict[str, set[str]], accounting: str) -> str:
        job = self.slurm_job
        if job is None and self.log is None:
            return f"{self.who} ended before it could write why; see what it printed"
        if job is None:
            return (
                f"{self.who} is gone without a word: killed by a signal (by hand, or by the system "
                "when memory ran short), or the host restarted"
            )
        why = slurm.reason(known.get(job, set()), self.slurm_log)
        why = why or slurm.last_error(self.slurm_log)
        if why is not None:
            return f"{why}; {self.who}"
        states = f"says {', '.join(sorted(known[job]))}" if job in known else "says nothing"
        return f"{self.who} is gone; its Slurm log does not say why and sacct {states}{accounting}"


def _short(job: Job) -> str:
    if job.state != "running":
        return job.state
    record = job.record
    began = datetime.fromisoformat(record["started"])
    minutes = int((datetime.now(UTC) - began).total_seconds() // 60)
    lasts = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    where = f"Slurm {record['slurm_job']}" if record["slurm_job"] else record["host"]
    return f"running {lasts} ({where}{', not seen from here' if job.unsure else ''})"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m geffect.status", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("root", help="the folder of a run, such as results/paper")
    parser.add_argument("--failed", action="store_true", help="only what failed, and why")
    given = parser.parse_args(arguments)
    try:
        found = look(given.root)
        print((failures(found) or "nothing failed") if given.failed else grid(found))
        for run in runs.at_work(given.root):
            print(f"at work: {run}; it may try again what failed")
    except GeffectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return int(any(job.state in BAD for job in found))


if __name__ == "__main__":
    sys.exit(main())
