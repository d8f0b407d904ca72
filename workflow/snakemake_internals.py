"""What no public interface of Snakemake offers: the only place that touches its private parts.

Each function has a test of its own (tests/workflow/test_snakemake_internals.py), so that a change
in a new version of Snakemake shows here and nowhere else.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MESSAGE = r"^    message: (.*?)(?:For further error details|^    \w+( \w+)?:)"


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
    """
    from snakemake.cli import parse_args, parse_config
    from snakemake.common.configfile import load_configfile
    from snakemake.settings.types import ConfigSettings
    from snakemake.utils import update_config

    _, given = parse_args(list(arguments))
    if given.dryrun:
        raise ValueError("a restart ends jobs; to plan one, use snakemake -n")
    changes = ConfigSettings(
        config=parse_config(given.config), configfiles=list(map(Path, given.configfile or []))
    ).overwrite_config
    os.chdir(given.directory or ".")
    config = load_configfile("config.yaml")
    update_config(config, changes)
    results = Path(config["results"])
    return results, results / config["run"]
