"""What a killed run leaves behind: who is refused, what is ended, and what is left alone."""

import json
import signal
import subprocess
import sys

import pytest

from geffect.errors import JobError, UnreachableError
from geffect.jobs import manifest, records

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
        start_time = records.process_start(child.pid)
        owner = {**records.this_process(), "pid": child.pid, "process": start_time}
        return child, owner

    yield start
    for child in started:
        child.kill()
        child.wait()


def left(root, **run):
    """Enters a run of another process."""
    content = manifest.load(root)
    fields = {**records.this_process(), "directory": "/there", "started": "t", "slurm_run": None}
    content["runs"].append({**fields, **run})
    records.write_whole(manifest.manifest_path(root), json.dumps(content))


def dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        return {"pid": child.pid}


def record(root, number, state, owner):
    path = records.record_path(root / f"logs/{number}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write_whole(path, json.dumps({"name": f"cell {number}", "state": state, **owner}))


def test_a_run_that_ends_takes_itself_out_and_leaves_the_others(root):
    manifest.begin(root, GROUPS, "a-name")
    left(root, **dead(), slurm_run="of another")
    manifest.end(root)
    content = manifest.load(root)
    assert [run["slurm_run"] for run in content["runs"]] == ["of another"]
    assert content["groups"] == GROUPS


def test_a_run_that_begins_keeps_the_names_that_killed_ones_left(root):
    manifest.begin(root, [], None)
    left(root, **dead(), slurm_run="killed")
    manifest.begin(root, GROUPS, "new")
    content = manifest.load(root)
    assert [run["slurm_run"] for run in content["runs"]] == [None, "killed", "new"]
    assert content["groups"] == GROUPS


def test_a_living_run_refuses_and_a_dead_one_does_not(root, sleeper):
    manifest.begin(root, GROUPS, None)
    manifest.end(root)
    left(root, **dead())
    manifest.refuse_living(root, elsewhere_is_dead=False)
    child, owner = sleeper()
    left(root, **owner)
    for believe in (False, True):
        with pytest.raises(JobError, match=rf"process {child.pid} on .* is alive; stop it"):
            manifest.refuse_living(root, elsewhere_is_dead=believe)
    manifest.refuse_living(root, elsewhere_is_dead=False, directory="/elsewhere")
    with pytest.raises(JobError):
        manifest.refuse_living(root, elsewhere_is_dead=False, directory="/there")


def test_a_run_on_another_host_is_believed_dead_only_by_force(root):
    manifest.begin(root, GROUPS, None)
    manifest.end(root)
    left(root, host="another-host")
    with pytest.raises(JobError, match=r"another-host.*check there.*--force"):
        manifest.refuse_living(root, elsewhere_is_dead=False)
    manifest.refuse_living(root, elsewhere_is_dead=True)


def test_only_the_runs_own_slurm_jobs_are_cancelled_and_their_end_is_waited_for(root, slurm):
    manifest.begin(root, GROUPS, None)
    manifest.end(root)
    left(root, **dead(), slurm_run="first")
    left(root, **dead(), slurm_run="second")
    foreign = [(5, "RUNNING", "other run"), (6, "PENDING", "bash")]
    own = [(1, "RUNNING", "first"), (2, "PENDING", "second"), (3, "COMPLETED", "second")]
    slurm.queue = [*own, *foreign]
    said = []
    manifest.stop_left_overs(root, said.append)
    assert slurm.calls("scancel") == ["scancel 1 2"]
    assert said == ["cancelling Slurm jobs 1 2"]
    assert set(foreign) <= set(slurm.queue)
    assert manifest.load(root)["runs"] == []


def test_jobs_that_do_not_go_are_named(root, slurm, monkeypatch):
    monkeypatch.setattr(manifest, "_PATIENCE", 0.3)
    manifest.begin(root, GROUPS, "mine")
    slurm.queue = [(1, "RUNNING", "mine")]
    slurm.deaf()
    with pytest.raises(JobError, match="Slurm jobs 1 do not end"):
        manifest.stop_left_overs(root, print)
    assert manifest.load(root)["runs"], "another restart must still find them"


def test_jobs_that_take_their_time_to_go_are_waited_for(monkeypatch):
    pauses, left = [], [{"1", "2"}] * 3 + [{"2"}] * 5 + [set()]
    monkeypatch.setattr(manifest.time, "sleep", pauses.append)
    manifest._wait(lambda: left.pop(0), "Slurm jobs")
    assert not left
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])


def test_without_an_answer_of_slurm_nothing_is_believed(root, slurm):
    manifest.begin(root, GROUPS, "mine")
    slurm.broken("squeue", "Unable to contact slurm controller")
    with pytest.raises(UnreachableError, match="Unable to contact"):
        manifest.stop_left_overs(root, print)
    assert manifest.load(root)["runs"]


def test_without_slurm_runs_slurm_is_not_asked(root, slurm):
    manifest.begin(root, GROUPS, None)
    manifest.stop_left_overs(root, print)
    assert not slurm.calls("squeue") and not slurm.calls("scancel")


def test_the_runs_local_jobs_are_ended_and_no_others(root, sleeper):
    manifest.begin(root, GROUPS, None)
    (job, owner), (finished, former), (stranger, reused) = sleeper(), sleeper(), sleeper()
    record(root, 0, "running", owner)
    record(root, 1, "done", former)
    record(root, 2, "running", {**reused, "process": "another boot 1"})
    said = []
    manifest.stop_left_overs(root, said.append)
    assert job.wait() == -signal.SIGTERM
    assert finished.poll() is None and stranger.poll() is None
    assert said == [f"ending cell 0: process {job.pid} on {owner['host']}"]
