"""The manifest of a run's grid, the processes that work on it, and what a killed one left behind.

`{root}/grid.json` holds `groups` (what is to be made, each job with its files and its log, relative
to the root), `runs`: those that have begun and not come to an end, and `unrecorded`: the jobs that
failed in the last run before their records began, a log -> `slurm_job`, `slurm_log`, `why`.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from geffect import jobs, slurm
from geffect.errors import JobError, UnreachableError

_PATIENCE = 600.0
_MESSAGE = r"^    message: (.*?)(?:For further error details|^    \w+( \w+)?:)"


def manifest_path(root) -> Path:
    """Where the manifest of a run lies."""
    return Path(root) / "grid.json"


def load(root) -> dict:
    """The manifest of a run.

    Raises:
        JobError: there is none.
    """
    manifest = jobs.read(manifest_path(root))
    if manifest is None:
        raise JobError(
            f"{manifest_path(root)}: not there; name the folder of a run, such as results/paper, "
            "in which something has been started"
        )
    return manifest


def begin(root, groups: list[dict], slurm_run: str | None) -> None:
    """Writes the manifest and enters this process among the runs.

    Args:
        groups: `name` and `rows`; a row is `name` and `stages`; stage -> `files` and `log`.
        slurm_run: the name that all Slurm jobs of this process have, None where it starts none.
    """
    last = jobs.read(manifest_path(root))
    runs = [] if last is None else last["runs"]
    this = {
        **jobs.this_process(),
        "directory": os.getcwd(),
        "started": jobs.now(),
        "slurm_run": slurm_run,
    }
    Path(root).mkdir(parents=True, exist_ok=True)
    _write(root, {"groups": groups, "runs": [*runs, this], "unrecorded": {}})


def end(root, errors: Mapping[str, dict] = MappingProxyType({})) -> None:
    """Removes this process from the runs.

    Args:
        errors: of the jobs that failed in it, by the path of their log (see `errors`).
    """
    manifest, here = load(root), jobs.this_process()
    runs = [run for run in manifest["runs"] if not here.items() <= run.items()]
    began = [run["started"] for run in manifest["runs"] if here.items() <= run.items()]
    logs = {Path(root, entry["log"]): entry["log"] for *_, entry in stages(manifest)}
    unrecorded = {
        logs[Path(path)]: error
        for path, error in errors.items()
        if Path(path) in logs
        and not _recorded(jobs.read(jobs.record_path(path)), error, *began[:1])
    }
    _write(root, {**manifest, "runs": runs, "unrecorded": unrecorded})


def _recorded(record: dict | None, error: dict, began: str = "") -> bool:
    """Whether a record is that of the attempt that ended in an error, in a run since `began`."""
    if record is None or error["why"]:
        return False
    if error["slurm_job"]:
        return record["slurm_job"] == error["slurm_job"]
    return record["started"] >= began  # by the same clock: no Slurm job, so this host


def errors(log) -> dict[str, dict]:
    """The jobs that failed, by the path of their log, from Snakemake's own log of a run.

    Each has `slurm_job` and `slurm_log` (of the last attempt, None where Slurm did not run it), and
    `why`, what Snakemake says of an attempt that never became a process (None where it became one).
    """
    found = {}
    text = Path(log).read_text(encoding="utf-8", errors="replace")
    for block in re.split(r"^Error in rule ", text, flags=re.MULTILINE)[1:]:
        logs = re.search(r"^    log: (.+) \(check log", block, re.MULTILINE)
        if logs is None:
            continue
        job = re.search(r"^    external_jobid: (\S+)", block, re.MULTILINE)
        own, *others = logs[1].split(", ")
        said = re.search(_MESSAGE, block, re.MULTILINE | re.DOTALL)
        why = " ".join(said[1].split()) if said and not job else "None"
        found[own] = {
            "slurm_job": job and job[1],
            "slurm_log": others[0] if job and others else None,
            "why": None if why == "None" else why,
        }
    return found


def at_work(root) -> list[str]:
    """The runs that are at work, or may be, in words."""
    found = []
    for run in load(root)["runs"]:
        who = f"{jobs.describe(run)}, since {run['started']}"
        try:
            found += [who] if jobs.alive(run) else []
        except UnreachableError:
            found.append(f"{who}, not seen from here")
    return found


def refuse_living(root, elsewhere_is_dead: bool, directory: str | None = None) -> None:
    """Returns if no run is at work.

    Args:
        elsewhere_is_dead: believe that runs are over which this host cannot look at.
        directory: look only at runs that were started there.

    Raises:
        JobError: one is, or may be.
    """
    for run in load(root)["runs"]:
        if directory not in (None, run["directory"]):
            continue
        who = f"{root}: started {run['started']} by {jobs.describe(run)}"
        try:
            if jobs.alive(run):
                raise JobError(
                    f"{who}, which is alive; stop it first (kill -INT {run['pid']}), or wait"
                )
        except UnreachableError as error:
            if not elsewhere_is_dead:
                raise JobError(
                    f"{who}; {error}: look there, and if it is gone give --force"
                ) from error


def stop_left_overs(root, say: Callable[[str], None]) -> None:
    """Cancels the Slurm jobs that the run's dead processes have left, ends those of their jobs
    that run on this host without Slurm, and returns when all are gone.

    Raises:
        JobError: they do not go.
        UnreachableError: Slurm gives no answer.
    """
    manifest = load(root)
    names = {run["slurm_run"] for run in manifest["runs"] if run["slurm_run"]}
    waiting = slurm.alive_by_name(names)
    if waiting:
        say(f"cancelling Slurm jobs {' '.join(sorted(waiting))}")
        slurm.cancel(waiting)
        _wait(lambda: slurm.alive_by_name(names), "Slurm jobs")
    local = list(_running_here(root, manifest))
    for record in local:
        say(f"ending {record['name']}: {jobs.describe(record)}")
        os.kill(record["pid"], signal.SIGTERM)
    _wait(lambda: {str(r["pid"]) for r in local if jobs.alive(r)}, "processes")
    _write(root, {**manifest, "runs": []})


def stages(manifest: dict) -> Iterator[tuple[str, str, str, dict]]:
    """(group, row, stage, its entry) of all jobs of a manifest, in its order."""
    for group in manifest["groups"]:
        for row in group["rows"]:
            for stage, entry in row["stages"].items():
                yield group["name"], row["name"], stage, entry


def _running_here(root, manifest: dict) -> Iterator[dict]:
    host = jobs.this_process()["host"]
    for *_, entry in stages(manifest):
        record = jobs.read(jobs.record_path(Path(root) / entry["log"]))
        if record is None or record["state"] != "running" or record["host"] != host:
            continue
        if jobs.alive(record):
            yield record


def _wait(left: Callable[[], set[str]], what: str) -> None:
    pause, end = 0.1, time.monotonic() + _PATIENCE
    while remaining := left():
        if time.monotonic() > end:
            raise JobError(f"{what} {' '.join(sorted(remaining))}: do not end; end them by hand")
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _write(root, manifest: dict) -> None:
    jobs.write_whole(manifest_path(root), json.dumps(manifest, indent=1) + "\n")
