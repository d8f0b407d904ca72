"""Jobs that outlive the Snakemake that started them; no rules.

What a file was made of (params, code, inputs) is noted by the Snakemake that started the job, once
the job has ended. The job's own process, a Snakemake of its own, only removes the mark "incomplete".
So where the first one was killed meanwhile, finished files are left without a note, and such files
are never compared with the configuration again, whatever changes. Here the job's own process writes
the note as well.
"""

from snakemake.persistence import PersistenceBase
from snakemake.settings.types import ExecMode

if workflow.exec_mode != ExecMode.DEFAULT:
    finished_without_note = PersistenceBase.finished

    async def finished(persistence, job):
        """Does what the main process does once a job has ended."""
        settings = workflow.workflow_settings
        own_mode, settings.exec_mode = settings.exec_mode, ExecMode.DEFAULT
        try:
            await finished_without_note(persistence, job)
        finally:
            settings.exec_mode = own_mode

    PersistenceBase.finished = finished
