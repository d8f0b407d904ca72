"""What no public interface of Snakemake offers: the only place that touches its private parts.

Each function has a test of its own (tests/workflow/test_snakemake_internals.py), so that a change
in a new version of Snakemake shows here and nowhere else.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_NO_RECORD = "no record"
_MESSAGE = r"^    message: (.*?)(?:For further error details|^    \w+( \w+)?:)"


def have_jobs_import_from(folder: Path) -> None:
    """Has jobs take packages from a folder before those that are installed.

    They are processes of their own, in which Snakemake puts the folder of their script last.
    """
    known = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([known] if known else [])])


def note_what_outlives_its_snakemake(workflow: Any) -> None:
    """Makes a job's own process note what its files were made of (params, code, inputs).

    Usually the Snakemake that started the job notes this once the job has ended; the job's own
    process, which is another Snakemake, only removes the mark "incomplete". If the first one is
    killed before that, finished files are left without a note, and such files are never compared
    with the configuration again, whatever changes. Here the job's own process writes the note too.
    """
    from snakemake.persistence import PersistenceBase
    from snakemake.settings.types import ExecMode

    if workflow.exec_mode == ExecMode.DEFAULT:
        return
    finished_without_note = PersistenceBase.finished

    async def finished(persistence: Any, job: Any) -> None:
        """Does what the main process does once a job has ended."""
        settings = workflow.workflow_settings
        own_mode, settings.exec_mode = settings.exec_mode, ExecMode.DEFAULT
        try:
            await finished_without_note(persistence, job)
        finally:
            settings.exec_mode = own_mode

    PersistenceBase.finished = finished


def compare_with_records(
    record_of: Callable[[Any], str | None],
    differences: Callable[[Any], list | None],
    say: Callable[[list[tuple[Any, list | None]], list[str]], None],
) -> None:
    """Lets planning ask the records beside results where Snakemake has no notes of its own on them.

    Its notes on what files were made with lie in `.snakemake` of the folder it was started in, by
    the names of files, so they know nothing of results that have been copied, or replaced. Its
    notes count where they are on the very files that are there, whose times they hold.

    Args:
        record_of: the file of a job's record, None for a job that has none.
        differences: what the record of a job does not have in common with the job (`where`,
            `before`, `now`), None where there is no record.
        say: is called once it is known what is to be done: with the jobs whose settings or code
            have changed, each with the differences that are known (None where nothing says how its
            results were made); and with the files of all jobs if there is nothing to do.
    """
    from snakemake.dag import DAG
    from snakemake.persistence import NO_PARAMS_CHANGE, ParamsChange, PersistenceBase

    own = {
        name: getattr(PersistenceBase, name)
        for name in (
            *("has_metadata", "has_outdated_metadata", "params_changed"),
            *("input_changed", "code_changed", "software_stack_changed"),
        )
    }

    def notes_count(persistence: Any, job: Any) -> bool:
        if not own["has_metadata"](persistence, job):
            return False
        if own["has_outdated_metadata"](persistence, job):
            return False
        return all(_time(path) in (None, persistence.metadata(path).endtime) for path in job.output)

    @cache  # asked for several times while planning, when no record changes
    def change(persistence: Any, job: Any) -> Any:
        """What has changed by the record; None where Snakemake's own notes count."""
        if record_of(job) is None or notes_count(persistence, job):
            return None
        found = differences(job)
        if found is None and own["has_metadata"](persistence, job):
            return None
        if found is None and not any(map(os.path.exists, job.output)):
            return None
        if found is None:
            return ParamsChange({_NO_RECORD}, set(), set(job.output))
        return ParamsChange(
            {f"{where} = {before}" for where, before, _ in found},
            {f"{where} = {now}" for where, _, now in found},
            set(job.output) if found else set(),
        )

    def has_metadata(persistence: Any, job: Any) -> bool:
        return change(persistence, job) is not None or own["has_metadata"](persistence, job)

    def has_outdated_metadata(persistence: Any, job: Any) -> bool:
        return change(persistence, job) is None and own["has_outdated_metadata"](persistence, job)

    def params_changed(persistence: Any, job: Any, file: Any = None) -> Any:
        found = change(persistence, job)
        if found is None:
            return own["params_changed"](persistence, job, file)
        return found if file is None or file in found.files else NO_PARAMS_CHANGE

    def unless_by_record(name: str) -> Callable:
        def changed(persistence: Any, job: Any, file: Any = None) -> Any:
            if change(persistence, job) is None:
                return own[name](persistence, job, file)
            return iter(()) if file is None else False

        return changed

    PersistenceBase.has_metadata = has_metadata
    PersistenceBase.has_outdated_metadata = has_outdated_metadata
    PersistenceBase.params_changed = params_changed
    for name in ("input_changed", "code_changed", "software_stack_changed"):
        setattr(PersistenceBase, name, unless_by_record(name))

    init = DAG.init

    async def init_and_say(dag: Any, *arguments: Any, **options: Any) -> None:
        await init(dag, *arguments, **options)
        needed = list(dag.needrun_jobs())
        changed = []
        for job in needed:
            found = None
            if record_of(job) is not None and any(map(os.path.exists, job.output)):
                found = differences(job)
            by_notes = dag.reason(job).params_changed
            if found or by_notes:
                unknown = by_notes and _NO_RECORD in by_notes.only_old
                changed.append((job, None if unknown else found or []))
        say(changed, [] if needed else [str(path) for job in dag.jobs for path in job.output])

    DAG.init = init_and_say


def _time(path: str) -> float | None:
    """The time that Snakemake notes of a file or folder; None where there is none."""
    stamp = os.path.join(path, ".snakemake_timestamp") if os.path.isdir(path) else path
    try:
        return os.stat(stamp).st_mtime
    except FileNotFoundError:
        return None


def check_given(arguments: Sequence[str]) -> None:
    """Checks what --configfile and --config say, before Snakemake reads it.

    It would answer with a traceback, or without the name of the file, before any rule is read. A
    profile is read earlier, and may hold code (`profiles/default/config.yaml`).

    Raises:
        SystemExit: with one line that names the file or value.
    """
    from geffect.config.given import check_value, once, read_file
    from geffect.errors import GeffectError

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    every = {"action": "append", "default": []}
    parser.add_argument("--configfile", "--configfiles", nargs="+", **every)
    parser.add_argument("--config", "-C", nargs="*", **every)
    said, _ = parser.parse_known_args(list(arguments))
    text = ""
    try:
        for text in once("--configfile", said.configfile):
            read_file(text, f"--configfile {text}")
        for text in once("--config", said.config):
            check_value(text, f"--config {text}")
    except GeffectError as error:
        # Both options take all that follows for theirs.
        target = text and "=" not in text and "." not in text
        hint = " (targets go first, or after --)" if target else ""
        sys.exit(f"error: {error}{hint}")


def reads_configfile(workflow: Any) -> bool:
    """Whether `configfile:` is heeded, which it is not where another workflow uses this one."""
    return not workflow.modifier.skip_configfile


def given(workflow: Any) -> dict[str, Any]:
    """What the command line says of the configuration (--config), as Snakemake has read it."""
    return dict(workflow.config_settings.config)


def targets(workflow: Any) -> list[str]:
    """What was asked for: names of rules and files."""
    return list(workflow.dag_settings.targets) or [workflow.default_target]


def made(workflow: Any) -> list[str]:
    """The files of all jobs that have ended well in this process and those that it started."""
    return [str(path) for job in workflow.dag.finished_jobs for path in job.output]


def slurm_run(workflow: Any) -> str | None:
    """The name of the Slurm jobs of this process; None if another executor runs the jobs."""
    from snakemake_executor_plugin_slurm import Executor

    executor = workflow.scheduler._executor
    return executor.run_uuid if isinstance(executor, Executor) else None


def failed_jobs(log: str | Path) -> dict[str, dict]:
    """The jobs that failed, by the path of their log, from Snakemake's own log of a run.

    Each has `slurm_job` and `slurm_log` (of the last attempt; None if Slurm did not run it), and
    `why`: what Snakemake says about an attempt that never became a process (None if it became one).
    """
    failed = {}
    text = Path(log).read_text(encoding="utf-8", errors="replace")
    for block in re.split(r"^Error in rule ", text, flags=re.MULTILINE)[1:]:
        logs = re.search(r"^    log: (.+) \(check log", block, re.MULTILINE)
        if logs is None:
            continue
        job = re.search(r"^    external_jobid: (\S+)", block, re.MULTILINE)
        own, *others = logs[1].split(", ")
        message = re.search(_MESSAGE, block, re.MULTILINE | re.DOTALL)
        why = " ".join(message[1].split()) if message and not job else "None"
        failed[own] = {
            "slurm_job": job and job[1],
            "slurm_log": others[0] if job and others else None,
            "why": None if why == "None" else why,
        }
    return failed


def results_of(arguments: Sequence[str]) -> tuple[Path, Path]:
    """The folder of all results, and that of the run that Snakemake's arguments select.

    Changes to the directory that the arguments name.

    Raises:
        ValueError: the arguments ask for a dry run.
        ConfigError: config.yaml is not there, or cannot be read.
        SystemExit: as `check_given`.
    """
    from snakemake.cli import parse_args, parse_config
    from snakemake.settings.types import ConfigSettings
    from snakemake.utils import update_config

    from geffect.config.given import read_file

    check_given(arguments)
    _, given = parse_args(list(arguments))
    if given.dryrun:
        raise ValueError("a restart ends jobs; to plan one, use snakemake -n")
    changes = ConfigSettings(
        config=parse_config(given.config), configfiles=list(map(Path, given.configfile or []))
    ).overwrite_config
    os.chdir(given.directory or ".")
    config = read_file("config.yaml", "config.yaml")
    update_config(config, changes)
    results = Path(str(config["results"]))
    return results, results / str(config["run"])
