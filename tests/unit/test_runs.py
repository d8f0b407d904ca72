"""What a killed run leaves behind: who is refused, what is ended, and what is left alone."""

import json
import signal
import subprocess
import sys

import pytest

from geffect import jobs, runs
from geffect.errors import JobError, UnreachableError

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
GROUPS = [
    {
        "name": "cells",
        "rows": [
            {"name": f"cell {n}", "stages": {"unlearn": {"files": [], "log": f"logs/{n}.log"}}}
            for n in range(3)
        ],
    }
]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results" / "toy"


@pytest.fixture
def sleeper():
    """Starts processes that sleep; the owner as it stands in records comes with them."""
    started = []

    def start():
        child = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE)
        started.append(child)
        child.stdout.readline()
        start_time = jobs.process_start(child.pid)
        owner = {**jobs.this_process(), "pid": child.pid, "process": start_time}
        return child, owner

    yield start
    for child in started:
        child.kill()
        child.wait()


def left(root, **run):
    """Enters a run of another process."""
    manifest = runs.load(root)
    fields = {**jobs.this_process(), "directory": "/there", "started": "t", "slurm_run": None}
    manifest["runs"].append({**fields, **run})
    jobs.write_whole(runs.manifest_path(root), json.dumps(manifest))


def dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        return {"pid": child.pid}


def record(root, number, state, owner):
    path = jobs.record_path(root / f"logs/{number}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    jobs.write_whole(path, json.dumps({"name": f"cell {number}", "state": state, **owner}))


def test_a_run_that_ends_takes_itself_out_and_leaves_the_others(root):
    runs.begin(root, GROUPS, "a-name")
    left(root, **dead(), slurm_run="of another")
    runs.end(root)
    manifest = runs.load(root)
    assert [run["slurm_run"] for run in manifest["runs"]] == ["of another"]
    assert manifest["groups"] == GROUPS


def test_a_run_that_begins_keeps_the_names_that_killed_ones_left(root):
    runs.begin(root, [], None)
    left(root, **dead(), slurm_run="killed")
    runs.begin(root, GROUPS, "new")
    manifest = runs.load(root)
    assert [run["slurm_run"] for run in manifest["runs"]] == [None, "killed", "new"]
    assert manifest["groups"] == GROUPS


def test_a_living_run_refuses_and_a_dead_one_does_not(root, sleeper):
    runs.begin(root, GROUPS, None)
    runs.end(root)
    left(root, **dead())
    runs.refuse_living(root, elsewhere_is_dead=False)
    child, owner = sleeper()
    left(root, **owner)
    for believe in (False, True):
        with pytest.raises(JobError, match=rf"process {child.pid} on .* is alive; stop it"):
            runs.refuse_living(root, elsewhere_is_dead=believe)
    runs.refuse_living(root, elsewhere_is_dead=False, directory="/elsewhere")
    with pytest.raises(JobError):
        runs.refuse_living(root, elsewhere_is_dead=False, directory="/there")


def test_a_run_on_another_host_is_believed_dead_only_by_force(root):
    runs.begin(root, GROUPS, None)
    runs.end(root)
    left(root, host="another-host")
    with pytest.raises(JobError, match=r"another-host.*look there.*--force"):
        runs.refuse_living(root, elsewhere_is_dead=False)
    runs.refuse_living(root, elsewhere_is_dead=True)


def test_only_the_runs_own_slurm_jobs_are_cancelled_and_their_end_is_waited_for(root, slurm):
    runs.begin(root, GROUPS, None)
    runs.end(root)
    left(root, **dead(), slurm_run="first")
    left(root, **dead(), slurm_run="second")
    foreign = [(5, "RUNNING", "other run"), (6, "PENDING", "bash")]
    own = [(1, "RUNNING", "first"), (2, "PENDING", "second"), (3, "COMPLETED", "second")]
    slurm.queue = [*own, *foreign]
    said = []
    runs.stop_left_overs(root, said.append)
    assert slurm.calls("scancel") == ["scancel 1 2"]
    assert said == ["cancelling Slurm jobs 1 2"]
    assert set(foreign) <= set(slurm.queue)
    assert runs.load(root)["runs"] == []


def test_jobs_that_do_not_go_are_named(root, slurm, monkeypatch):
    monkeypatch.setattr(runs, "_PATIENCE", 0.3)
    runs.begin(root, GROUPS, "mine")
    slurm.queue = [(1, "RUNNING", "mine")]
    slurm.deaf()
    with pytest.raises(JobError, match="Slurm jobs 1: do not end"):
        runs.stop_left_overs(root, print)
    assert runs.load(root)["runs"], "another restart must still find them"


def test_without_an_answer_of_slurm_nothing_is_believed(root, slurm):
    runs.begin(root, GROUPS, "mine")
    slurm.broken("squeue", "Unable to contact slurm controller")
    with pytest.raises(UnreachableError, match="Unable to contact"):
        runs.stop_left_overs(root, print)
    assert runs.load(root)["runs"]


def test_without_slurm_runs_slurm_is_not_asked(root, slurm):
    runs.begin(root, GROUPS, None)
    runs.stop_left_overs(root, print)
    assert not slurm.calls("squeue") and not slurm.calls("scancel")


def test_the_runs_local_jobs_are_ended_and_no_others(root, sleeper):
    runs.begin(root, GROUPS, None)
    (job, owner), (finished, former), (stranger, reused) = sleeper(), sleeper(), sleeper()
    record(root, 0, "running", owner)
    record(root, 1, "done", former)
    record(root, 2, "running", {**reused, "process": "another boot 1"})
    said = []
    runs.stop_left_overs(root, said.append)
    assert job.wait() == -signal.SIGTERM
    assert finished.poll() is None and stranger.poll() is None
    assert said == [f"ending cell 0: process {job.pid} on {owner['host']}"]


def test_errors_are_read_from_snakemakes_log(tmp_path):
    def error(rule, message, logs, job=""):
        return (
            f"[Sat Nov 21 09:26:55 2026]\nError in rule {rule}:\n    message: {message}\n"
            f"For further error details see the log.\n    jobid: 3\n    log: {logs} (check log "
            f"file(s) for error details)\n{job and f'    external_jobid: {job}'}\nrule x:\n"
            "    log: logs/x.log\n"
        )

    def sbatch(answer):
        call = "    sbatch call:\n        sbatch --parsable"
        return f"SLURM sbatch failed. The error message was '{answer}'.\n{call}"

    path = tmp_path / "snakemake.log"
    path.write_text(
        error("a", sbatch("sbatch: error: first"), "logs/a.log")
        + error("b", "SLURM-job '7' failed", "logs/b.log, s/b/7.log", "7")
        + error("c", sbatch("sbatch: error: one\nsbatch: error: 'two'"), "logs/c.log")
        + error("a", "SLURM-job '8' failed", "logs/a.log, s/a/8.log", "8")
        + error("d", "None", "logs/d.log")
        + error("e", "Job submission failed with exception: account x is invalid", "logs/e.log")
    )
    nothing = {"slurm_job": None, "slurm_log": None, "why": None}
    assert runs.errors(path) == {
        "logs/a.log": nothing | {"slurm_job": "8", "slurm_log": "s/a/8.log"},
        "logs/b.log": nothing | {"slurm_job": "7", "slurm_log": "s/b/7.log"},
        "logs/c.log": nothing
        | {"why": sbatch("sbatch: error: one sbatch: error: 'two'").partition("\n")[0]},
        "logs/d.log": nothing,
        "logs/e.log": nothing
        | {"why": "Job submission failed with exception: account x is invalid"},
    }
