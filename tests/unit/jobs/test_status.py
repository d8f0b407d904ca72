"""The status command on made-up runs: every state, every reason of an end, and its exit status."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geffect.jobs import manifest, records, status

STAGES = ("unlearn", "geffect", "evaluate")
ENDED = {"host": "another-host", "pid": 12, "process": "boot 1"}


class Run:
    """A run's folder in which cells can be put into any state."""

    def __init__(self, root, cells=1):
        self.root = root
        rows = [
            {"name": f"phi forget05 npo+kl seed{n}", "stages": {s: entry(s, n) for s in STAGES}}
            for n in range(cells)
        ]
        self.groups = [{"name": "cells", "rows": rows}]
        manifest.begin(root, self.groups, None)
        manifest.end(root)

    def make(self, stage, cell=0, diverged=None):
        for name in entry(stage, cell)["files"]:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"diverged": diverged}))

    def record(self, stage, state, cell=0, **fields):
        defaults = {
            "name": stage,
            "state": state,
            "error": None,
            **ENDED,
            "slurm_job": None,
            "slurm_log": None,
            "started": records.now(),
            "attempt": 1,
        }
        path = records.record_path(self.root / entry(stage, cell)["log"])
        path.parent.mkdir(parents=True, exist_ok=True)
        records.write_whole(path, json.dumps({**defaults, **fields}))

    def states(self):
        return {job.stage: job.state for job in status.read_status(self.root)}

    def says(self, capsys, *arguments):
        code = status.main([str(self.root), *arguments])
        return code, capsys.readouterr().out


def entry(stage, cell):
    files = [f"cells/{cell}/{stage}/{name}" for name in ("provenance.json", "table.parquet")]
    return {"files": files, "log": f"logs/{stage}/{cell}.log"}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "results" / "toy")


def test_a_stage_is_done_when_all_its_files_are_there(run, capsys):
    assert run.states() == dict.fromkeys(STAGES, "missing")
    run.make("unlearn")
    assert run.states()["unlearn"] == "done"
    (run.root / entry("unlearn", 0)["files"][1]).unlink()
    assert run.states()["unlearn"] == "missing"
    assert run.says(capsys)[0] == 0


def test_the_name_of_a_row_comes_before_its_stages(run, capsys):
    run.make("unlearn")
    header, row, *_ = run.says(capsys)[1].splitlines()
    names = header.split()
    assert names[1:] == list(STAGES)
    assert row.endswith("missing") and not row.startswith(("done", "missing"))


def test_a_diverged_run_is_no_failure(run, capsys):
    run.make("unlearn", diverged=[3, "loss"])
    assert run.states()["unlearn"] == "diverged"
    code, text = run.says(capsys)
    assert code == 0 and "1 diverged" in text
    assert run.says(capsys, "--failed") == (0, "nothing failed\n")


def test_who_runs_where_and_how_long_is_shown(run, capsys, slurm):
    slurm.queue = [(7, "RUNNING", "run")]
    run.record("unlearn", "running", **records.this_process())
    run.record("geffect", "running", slurm_job="7", started="2020-01-01T00:00:00+00:00")
    code, text = run.says(capsys)
    assert code == 0
    assert f"running 0 min ({records.this_process()['host']})" in text
    assert " h " in text and "(Slurm 7)" in text
    assert "missing" in text.splitlines()[1]


def test_an_owner_that_cannot_be_seen_from_here_is_not_called_dead(run, capsys, slurm):
    slurm.broken("squeue", "Unable to contact slurm controller")
    run.record("unlearn", "running", slurm_job="7")
    run.record("geffect", "running")
    code, text = run.says(capsys)
    assert code == 0 and text.count("not seen from here") == 2
    assert run.says(capsys, "--failed") == (0, "nothing failed\n")


def test_a_run_at_work_is_named_since_it_may_try_again_what_failed(run, capsys):
    run.record("unlearn", "failed", error="row 3")
    assert "at work" not in run.says(capsys, "--failed")[1]
    manifest.begin(run.root, run.groups, None)
    for arguments in ((), ("--failed",)):
        line = run.says(capsys, *arguments)[1].splitlines()[-1]
        assert line.startswith(f"at work: process {os.getpid()} on ")


def test_a_failure_is_told_with_its_error_and_its_logs(run, capsys):
    run.record(
        "unlearn",
        "failed",
        error="DataError: row 3",
        attempt=2,
        slurm_job="7",
        slurm_log="/s/7.log",
    )
    code, text = run.says(capsys, "--failed")
    assert code == 1
    assert text.splitlines() == [
        "phi forget05 npo+kl seed0 unlearn: failed in attempt 2",
        "  why: DataError: row 3",
        f"  log: {run.root}/logs/unlearn/0.log",
        "  Slurm log: /s/7.log",
    ]
    assert run.says(capsys)[0] == 1


OOM = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been"
LIMIT = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***"
DEATHS = {
    "sacct knows of the time": ([(7, "TIMEOUT"), ("7.0", "CANCELLED")], [], "time limit"),
    "sacct knows of the memory of a step": (
        [(7, "FAILED"), ("7.batch", "OUT_OF_MEMORY")],
        [],
        "out of memory (sacct",
    ),
    "sacct knows of the node": ([(7, "NODE_FAIL")], [], "node failure"),
    "somebody cancelled": ([(7, "CANCELLED by 0")], ["text"], "cancelled"),
    "memory, in the log alone": ([(7, "FAILED")], ["text", OOM], OOM),
    "memory, before the cancellation": ([(7, "CANCELLED by 0")], [OOM, "*** CANCELLED AT"], OOM),
    "old words for memory": (
        None,
        ["slurmstepd: error: StepId=7.0 exceeded memory limit (9 > 8), being killed"],
        "out of memory",
    ),
    "srun's words for memory": (None, ["srun: error: n1: task 0: Out Of Memory"], "out of memory"),
    "time, in the log alone": (None, [LIMIT], "time limit"),
    "node, in the log alone": (
        None,
        ["*** JOB 7 ON n1 CANCELLED AT 2026 DUE TO NODE FAILURE, SEE LOG ***"],
        "node failure",
    ),
    "cancelled, in the log alone": (
        None,
        ["*** STEP 7.0 ON n1 CANCELLED AT 1 ***"],
        "cancelled",
    ),
    "killed, in the log alone": (None, ["srun: error: n1: task 0: Killed"], "killed"),
    "nobody knows, with accounting": ([(7, "FAILED")], ["text"], "sacct says FAILED"),
    "nobody knows, without": (None, ["text"], "accounting storage is disabled"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_why_a_slurm_job_was_killed(name, run, capsys, slurm):
    accounting, lines, expected = DEATHS[name]
    if accounting is None:
        slurm.broken("sacct", "Slurm accounting storage is disabled")
    else:
        slurm.accounting(*accounting)
    log = slurm.log(7, *lines)
    run.record("unlearn", "running", slurm_job="7", slurm_log=log)
    code, text = run.says(capsys, "--failed")
    assert code == 1
    why = next(line for line in text.splitlines() if "why:" in line)
    assert expected in why and "Unknown" not in why
    assert "phi forget05 npo+kl seed0 unlearn: killed in attempt 1" in text
    assert f"Slurm log: {log}" in text


def test_what_ends_without_closing_its_record_was_killed_and_slurm_is_asked_for_its_log(
    run, capsys, slurm
):
    slurm.queue = [(7, "COMPLETING", "run")]
    slurm.accounting((7, "TIMEOUT"))
    run.record("unlearn", "running", slurm_job="7")
    code, text = run.says(capsys, "--failed")
    assert code == 1 and "time limit" in text and f"Slurm log: {slurm.log(7)}" in text


def test_a_process_that_is_gone_was_killed_and_so_says_the_grid(run, capsys):
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        owner = {**records.this_process(), "pid": child.pid}
    run.record("unlearn", "running", **owner)
    run.make("unlearn")  # whatever it left is not to be trusted
    code, text = run.says(capsys)
    assert code == 1 and "killed" in text
    assert f"process {child.pid} on" in run.says(capsys, "--failed")[1]


def test_an_attempt_that_left_no_record_is_told_until_the_next_run(run, capsys, slurm):
    slurm.broken("sacct", "Slurm accounting storage is disabled")
    log = slurm.log(8, "text", "Traceback (most recent call last):", "  a line", "XError: y", "no")
    run.record("unlearn", "failed", error="of an attempt before", slurm_job="7")
    run.make("evaluate")
    logs = {stage: str(run.root / entry(stage, 0)["log"]) for stage in STAGES}
    errors = {
        logs["unlearn"]: {"slurm_job": None, "slurm_log": None, "why": "sbatch: error: too many"},
        logs["geffect"]: {"slurm_job": "8", "slurm_log": log, "why": None},
        logs["evaluate"]: {"slurm_job": "9", "slurm_log": log, "why": None},
        "of/another/run.log": {"slurm_job": None, "slurm_log": None, "why": None},
    }
    manifest.end(run.root, errors)
    assert run.states() == {"unlearn": "failed", "geffect": "failed", "evaluate": "done"}
    code, text = run.says(capsys, "--failed")
    assert code == 1
    assert text.splitlines() == [
        "phi forget05 npo+kl seed0 unlearn: failed before it began",
        "  why: sbatch: error: too many",
        "phi forget05 npo+kl seed0 geffect: failed before it began",
        "  why: XError: y; Slurm job 8",
        f"  Slurm log: {log}",
    ]
    manifest.begin(run.root, run.groups, None)
    assert run.states()["geffect"] == "missing"


@pytest.mark.parametrize("slurm_job", ["7", None])
def test_an_attempt_that_has_a_record_is_told_by_it(slurm_job, run, capsys):
    run.record("unlearn", "failed", error="row 3", slurm_job=slurm_job)
    log = str(run.root / entry("unlearn", 0)["log"])
    manifest.end(run.root, {log: {"slurm_job": slurm_job, "slurm_log": None, "why": None}})
    assert "why: row 3" in run.says(capsys, "--failed")[1]


def test_slurm_is_asked_once_for_all(tmp_path, slurm):
    run = Run(tmp_path / "many", cells=20)
    slurm.queue = [(n, "RUNNING", "run") for n in range(100, 110)]
    for n in range(20):
        run.record("unlearn", "running", cell=n, slurm_job=str(100 + n))
    found = status.read_status(run.root)
    assert [j.state for j in found if j.stage == "unlearn"] == ["running"] * 10 + ["killed"] * 10
    assert status.failures(found).count("killed in") == 10
    assert len(slurm.calls("squeue")) == len(slurm.calls("sacct")) == 1


def test_counts_add_up(tmp_path):
    run = Run(tmp_path / "many", cells=5)
    for n, state in enumerate(("failed", "done", "done")):
        run.record("unlearn", state, cell=n, error="x")
        run.make("unlearn", cell=n)
    lines = status.counts(status.read_status(run.root)).splitlines()
    assert lines[0].split(None, 1) == ["unlearn:", "2 done, 1 failed, 2 missing"]
    assert lines[1].split(None, 1) == ["geffect:", "5 missing"]


def test_300_cells_are_shown_in_seconds_without_pandas_and_torch(tmp_path):
    run = Run(tmp_path / "many", cells=300)
    for n in range(300):
        for stage in STAGES:
            run.record(stage, "done", cell=n)
            run.make(stage, cell=n)
    code = (
        "import sys, geffect.jobs.status as s; c = s.main([sys.argv[1]]);"
        "sys.exit(c or any(m in sys.modules for m in ('torch', 'pandas', 'snakemake')))"
    )
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code, str(run.root)],
        env={**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.monotonic() - started
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("seed") == 300
    print(f"300 cells in {elapsed:.2f} s")
    assert elapsed < 5  # a laptop takes 0.3


def test_a_folder_without_a_run_is_one_line(tmp_path, capsys):
    assert status.main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/grid.json: there is no such file")
    assert said.count("\n") == 1


def test_the_manifest_moves_with_its_folder(run):
    run.make("unlearn")
    moved = run.root.parent / "moved"
    run.root.rename(moved)
    assert {job.state for job in status.read_status(moved) if job.stage == "unlearn"} == {"done"}
