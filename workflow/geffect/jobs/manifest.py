"""The manifest of a run's grid, the processes that work on it, and what a killed one left behind.

`{root}/grid.json` holds `groups` (what is to be made, each job with its files and its log, relative
to the root), `runs` (those that have started but not ended), and `unrecorded`: the jobs that failed
in the last run before they wrote a record, log -> `slurm_job`, `slurm_log`, `why`.

`{root}/run.json` is the record (`records`) of the last of these runs, and the claim that keeps all
others off the folder, wherever they are started.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from geffect.errors import JobError, UnreachableError
from geffect.jobs import records, slurm

_PATIENCE = 600.0


def manifest_path(root: str | Path) -> Path:
    """Where the manifest of a run lies."""
    return Path(root) / "grid.json"


def load(root: str | Path) -> dict:
    """The manifest of a run.

    Raises:
        JobError: there is none.
    """
    manifest = records.read(manifest_path(root))
    if manifest is None:
        raise JobError(
            f"{manifest_path(root)}: there is no such file; name the folder of a run that has been "
            "started, such as results/paper"
        )
    return manifest


def begin(root: str | Path, groups: list[dict], slurm_run: str | None) -> None:
    """Claims the folder of a run, writes its manifest and adds this process to the runs.

    Args:
        groups: `name` and `rows`; a row is `name` and `stages`; stage -> `files` and `log`.
        slurm_run: the name that all Slurm jobs of this process have; None if it starts none.

    Raises:
        JobError: another run is, or may be, at work in the folder.
    """
    Path(root).mkdir(parents=True, exist_ok=True)
    records.claim(_claim_path(root), f"the run started in {os.getcwd()}", _refuse_living_run)
    last = records.read(manifest_path(root))
    runs = [] if last is None else last["runs"]
    this = {
        **records.this_process(),
        "directory": os.getcwd(),
        "started": records.now(),
        "slurm_run": slurm_run,
    }
    _write(root, {"groups": groups, "runs": [*runs, this], "unrecorded": {}})


def end(root: str | Path, errors: Mapping[str, dict] = MappingProxyType({})) -> None:
    """Removes this process from the runs.

    Args:
        errors: of the jobs that failed in it, by the path of their log (`slurm_job`,
            `slurm_log`, `why`).
    """
    manifest, this = load(root), records.this_process()
    runs = [run for run in manifest["runs"] if not this.items() <= run.items()]
    began = [run["started"] for run in manifest["runs"] if this.items() <= run.items()]
    logs = {Path(root, entry["log"]): entry["log"] for *_, entry in stages(manifest)}
    unrecorded = {
        logs[Path(path)]: error
        for path, error in errors.items()
        if Path(path) in logs
        and not _recorded(records.read(records.record_path(path)), error, *began[:1])
    }
    _write(root, {**manifest, "runs": runs, "unrecorded": unrecorded})
    own = records.read(_claim_path(root))
    if own is not None and this.items() <= own.items():
        failed = f"failed jobs: {len(errors)}" if errors else None
        records.end(_claim_path(root), own, "failed" if errors else "done", failed)


def _recorded(record: dict | None, error: dict, began: str = "") -> bool:
    """Whether a record is that of the attempt that ended in an error, in a run since `began`."""
    if record is None or error["why"]:
        return False
    if error["slurm_job"]:
        return record["slurm_job"] == error["slurm_job"]
    return record["started"] >= began  # by the same clock: no Slurm job, so this host


def at_work(root: str | Path) -> list[str]:
    """A description of each run that is, or may be, at work."""
    living = []
    for run in load(root)["runs"]:
        who = f"{records.describe(run)}, since {run['started']}"
        try:
            living += [who] if records.alive(run) else []
        except UnreachableError:
            living.append(f"{who}, not seen from here")
    return living


def refuse_living(root: str | Path, elsewhere_is_dead: bool, directory: str | None = None) -> None:
    """Checks that no run is at work.

    Args:
        elsewhere_is_dead: assume that runs which cannot be checked from this host are over.
        directory: check only runs that were started there.

    Raises:
        JobError: a run is, or may be, at work.
    """
    for run in load(root)["runs"]:
        if directory not in (None, run["directory"]):
            continue
        who = f"{root}: started {run['started']} by {records.describe(run)}"
        try:
            if records.alive(run):
                raise JobError(
                    f"{who}, which is alive; stop it first (kill -INT {run['pid']}), or wait"
                )
        except UnreachableError as error:
            if not elsewhere_is_dead:
                raise JobError(
                    f"{who}; {error}: check there, and if it is gone pass --force"
                ) from error


def stop_left_overs(root: str | Path, say: Callable[[str], None]) -> None:
    """Ends the jobs that dead processes of the run have left behind, and waits until they are gone.

    These are their Slurm jobs, and those that run on this host without Slurm. `say` is called with
    a line about each step.

    Raises:
        JobError: some do not end.
        UnreachableError: Slurm does not answer.
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
        say(f"ending {record['name']}: {records.describe(record)}")
        os.kill(record["pid"], signal.SIGTERM)
    _wait(lambda: {str(r["pid"]) for r in local if records.alive(r)}, "processes")
    _claim_path(root).unlink(missing_ok=True)
    _write(root, {**manifest, "runs": []})


def stages(manifest: dict) -> Iterator[tuple[str, str, str, dict]]:
    """(group, row, stage, its entry) of all jobs of a manifest, in its order."""
    for group in manifest["groups"]:
        for row in group["rows"]:
            for stage, entry in row["stages"].items():
                yield group["name"], row["name"], stage, entry


def _claim_path(root: str | Path) -> Path:
    return Path(root) / "run.json"


def _refuse_living_run(owner: dict, path: Path, name: str) -> None:
    known = owner.get("name", "another run")  # a claim that is being made has no name yet
    if records.this_process().items() <= owner.items():
        return
    try:
        if not records.still_there(owner):
            return
    except UnreachableError as error:
        raise JobError(
            f"{path.parent}: {known} ({records.describe(owner)}) may be at work there, since "
            f"{error}; if it has ended, delete {path}"
        ) from error
    raise JobError(
        f"{path.parent}: {known} ({records.describe(owner)}) is at work there; wait for it, stop "
        f"it (kill -INT {owner['pid']}), or choose another `run` or `results`"
    )


def _running_here(root: str | Path, manifest: dict) -> Iterator[dict]:
    host = records.this_process()["host"]
    for *_, entry in stages(manifest):
        record = records.read(records.record_path(Path(root) / entry["log"]))
        if record is None or record["state"] != "running" or record["host"] != host:
            continue
        if records.alive(record):
            yield record


def _wait(left: Callable[[], set[str]], what: str) -> None:
    pause, end = 0.1, time.monotonic() + _PATIENCE
    while remaining := left():
        if time.monotonic() > end:
            raise JobError(f"{what} {' '.join(sorted(remaining))} do not end; end them by hand")
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _write(root: str | Path, manifest: dict) -> None:
    records.write_whole(manifest_path(root), json.dumps(manifest, indent=1) + "\n")
