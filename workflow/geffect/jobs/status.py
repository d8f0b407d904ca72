"""The state of a run's grid, at any time: what is done, running or failed, and why.

    geffect status results/paper            # the grid
    geffect status results/paper --failed   # what failed, why, and where the logs are

Reads files, job records and what Slurm says, and changes nothing; exits with status 1 if something
failed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geffect import files
from geffect.errors import GeffectError, UnreachableError
from geffect.jobs import manifest, records, slurm

STATES = ("done", "diverged", "running", "failed", "killed", "missing")
PROVENANCE = "provenance.json"  # as rule unlearn calls it
BAD = ("failed", "killed")


@dataclass(frozen=True)
class Job:
    """One job of the grid.

    Args:
        state: one of `STATES`. missing: its files are not there, and no job is making them.
        record: its job record; None if no attempt ever started.
        unsure: its record says running, but this host cannot see whether it is.
        log: the path of its log.
        unrecorded: its last attempt, if that failed before it wrote a record
            (`snakemake_internals.failed_jobs`).
    """

    group: str
    row: str
    stage: str
    state: str
    record: dict | None
    unsure: bool
    log: str
    unrecorded: dict | None = None


def read_status(root: str | Path) -> list[Job]:
    """The jobs of a run, in the order of its manifest.

    Raises:
        JobError: there is no manifest.
    """
    content = manifest.load(root)
    entries = list(manifest.stages(content))
    latest = [records.read(records.record_path(Path(root) / entry["log"])) for *_, entry in entries]
    liveness = _Liveness(latest)
    jobs = []
    for (group, row, stage, entry), record in zip(entries, latest, strict=True):
        log = str(Path(root) / entry["log"])
        state, unsure = _state(root, entry["files"], record, liveness)
        unrecorded = content["unrecorded"].get(entry["log"])
        if state == "missing" and unrecorded:
            state = "failed"
        jobs.append(Job(group, row, stage, state, record, unsure, log, unrecorded))
    return jobs


class _Liveness:
    """Whether owners of records are alive, with a single question to Slurm."""

    def __init__(self, latest: list[dict | None]):
        host = records.this_process()["host"]
        running = [r for r in latest if r is not None and r["state"] == "running"]
        elsewhere = {r["slurm_job"] for r in running if r["slurm_job"] and r["host"] != host}
        self._error, self._alive = None, set()
        try:
            # A job that is about to end without having closed its record has been killed.
            self._alive = slurm.alive(elsewhere, ending=False)
        except UnreachableError as error:
            self._error = error

    def _in_slurm(self, ids: Iterable[str]) -> set[str]:
        if self._error:
            raise self._error
        return self._alive & set(ids)

    def __call__(self, owner: dict) -> bool | None:
        """None where it cannot be told from here."""
        try:
            return records.alive(owner, self._in_slurm)
        except UnreachableError:
            return None


def _state(
    root: str | Path, outputs: list[str], record: dict | None, liveness: _Liveness
) -> tuple[str, bool]:
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


def grid(jobs: list[Job]) -> str:
    """The grid for readers: a table per group, a row per model or cell; counts at the end."""
    parts = []
    for group in dict.fromkeys(job.group for job in jobs):
        chosen = [job for job in jobs if job.group == group]
        columns = list(dict.fromkeys(job.stage for job in chosen))
        rows: dict[str, dict[str, str]] = {}
        for job in chosen:
            rows.setdefault(job.row, {})[job.stage] = _short(job)
        lines = [[group, *columns]]
        lines += [[name, *(row.get(c, "") for c in columns)] for name, row in rows.items()]
        parts.append(_aligned(lines))
    return "\n\n".join([*parts, counts(jobs)])


def counts(jobs: list[Job]) -> str:
    """How many jobs of each stage are in each state."""
    lines = []
    for stage in dict.fromkeys(job.stage for job in jobs):
        number = Counter(job.state for job in jobs if job.stage == stage)
        states = ", ".join(f"{number[state]} {state}" for state in STATES if number[state])
        lines.append([f"{stage}:", states])
    return _aligned(lines)


def failures(jobs: list[Job]) -> str:
    """What failed or was killed: which attempt, why, and where its logs are; "" if nothing did."""
    failed = [_Failure.of(job) for job in jobs if job.state in BAD]
    states, accounting = {}, ""
    try:
        states = slurm.states(f.slurm_job for f in failed if f.error is None and f.slurm_job)
    except UnreachableError as error:
        accounting = f"; {error}"
    return "\n".join(failure.report(states, accounting) for failure in failed)


@dataclass(frozen=True)
class _Failure:
    """The last attempt of a job that failed.

    Args:
        title: which job, and how it failed.
        who: the owner in words.
        error: why it failed, as far as it is known already.
        log: the path of its log; None if it never wrote one.
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
        assert record is not None
        title += f"{job.state} in attempt {record['attempt']}"
        number, path = record["slurm_job"], record["slurm_log"]
        path = path or (number and slurm.log_path(number))
        return cls(title, records.describe(record), record["error"], number, path, job.log)

    def report(self, states: dict[str, set[str]], accounting: str) -> str:
        lines = [self.title, f"  why: {self.error or self._death(states, accounting)}"]
        lines += [f"  log: {self.log}"] if self.log else []
        lines += [f"  Slurm log: {self.slurm_log}"] if self.slurm_log else []
        return "\n".join(lines)

    def _death(self, states: dict[str, set[str]], accounting: str) -> str:
        job = self.slurm_job
        if job is None and self.log is None:
            return f"{self.who} ended before it could write why; see what it printed"
        if job is None:
            return (
                f"{self.who} is gone without a word: killed by a signal (by hand, or by the system "
                "when memory ran short), or the host restarted"
            )
        why = slurm.reason(states.get(job, set()), self.slurm_log)
        why = why or slurm.last_error(self.slurm_log)
        if why is not None:
            return f"{why}; {self.who}"
        says = f"says {', '.join(sorted(states[job]))}" if job in states else "says nothing"
        return f"{self.who} is gone; its Slurm log does not say why and sacct {says}{accounting}"


def _short(job: Job) -> str:
    if job.state != "running":
        return job.state
    record = job.record
    assert record is not None
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
    """The command `geffect status`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="geffect status", description=__doc__.partition("\n")[0])
    parser.add_argument("root", help="the folder of a run, such as results/paper")
    parser.add_argument("--failed", action="store_true", help="only what failed, and why")
    given = parser.parse_args(arguments)
    try:
        jobs = read_status(given.root)
        print((failures(jobs) or "nothing failed") if given.failed else grid(jobs))
        for run in manifest.at_work(given.root):
            print(f"at work: {run}; it may retry what failed")
    except GeffectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return int(any(job.state in BAD for job in jobs))


if __name__ == "__main__":
    sys.exit(main())
