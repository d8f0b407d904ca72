"""./restart on a toy workflow with a real Snakemake: refusals, left-overs, unlocking, resuming."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geffect.jobs import manifest, records

REPOSITORY = Path(__file__).resolve().parents[2]
SNAKEFILE = """
configfile: "config.yaml"

rule all:
    output: "made"
    shell: "touch made"
"""
SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "config.yaml").write_text("results: results\nrun: paper\n")
    (tmp_path / "demo.yaml").write_text("run: demo\n")
    return tmp_path


def restart(folder, *arguments):
    return subprocess.run(
        [sys.executable, REPOSITORY / "restart", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )


def enter(folder, run, **fields):
    """A run that has not come to an end: this process's, unless the fields say otherwise."""
    root = folder / "results" / run
    log = {"unlearn": {"files": [], "log": "logs/0.log"}}
    manifest.begin(root, [{"name": "cells", "rows": [{"name": "cell", "stages": log}]}], None)
    content = manifest.load(root)
    content["runs"][0] |= {"directory": str(folder), **fields}
    records.write_whole(manifest.manifest_path(root), json.dumps(content))
    return root


def dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        return child.pid


def test_a_killed_run_is_cleared_unlocked_and_resumed(toy):
    root = enter(toy, "demo", pid=dead())
    locks = toy / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("made\n")
    (toy / "made").touch()
    incomplete = toy / ".snakemake" / "incomplete"
    incomplete.mkdir()
    (incomplete / "bWFkZQ==").touch()  # "made", in base 64
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as job:
        job.stdout.readline()
        owner = {"pid": job.pid, "process": records.process_start(job.pid)}
        record = {"name": "cell", "state": "running", **records.this_process(), **owner}
        (root / "logs").mkdir()
        records.write_whole(root / "logs/0.json", json.dumps(record))
        result = restart(toy, "--configfile", "demo.yaml", "--cores", "1", "all")
        job.kill()
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"ending cell: process {job.pid}" in result.stdout
    assert job.returncode == -15
    assert "1 of 1 steps (100%) done" in result.stderr, "made again: it was incomplete"
    assert not list(locks.glob("*"))


@pytest.mark.parametrize("run", ["paper", "demo"])
@pytest.mark.parametrize("first", [True, False])
def test_while_a_run_of_this_directory_is_alive_nothing_is_touched(run, first, toy):
    if not first:
        enter(toy, "paper", pid=dead())
    enter(toy, run)
    result = restart(toy, "--force", "--cores", "1", "all")
    assert result.returncode == 1
    assert f"results/{run}: started" in result.stderr and "is alive" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (toy / "made").exists()


def test_a_run_of_another_host_needs_force(toy):
    enter(toy, "paper", host="another-host")
    result = restart(toy, "--cores", "1", "all")
    assert result.returncode == 1 and "--force" in result.stderr
    assert restart(toy, "--force", "--cores", "1", "all").returncode == 0
    assert (toy / "made").exists()


def test_a_plan_and_no_arguments_are_refused(toy):
    assert "snakemake -n" in restart(toy, "-n", "--cores", "1").stderr
    assert "restart" in restart(toy).stderr


def test_it_is_executable():
    assert shutil.which("restart", path=str(REPOSITORY))


@pytest.mark.parametrize("content", [None, "run: [1", "- run"])
def test_files_that_cannot_be_read_are_told_in_one_line(content, toy):
    (toy / "mine.yaml").write_text("run: x\n")
    for name in ("mine.yaml", "config.yaml"):
        (toy / name).unlink()
        if content is not None:
            (toy / name).write_text(content)
        result = restart(toy, "--configfile", "mine.yaml", "--cores", "1", "all")
        assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
        assert name in result.stderr
        (toy / name).write_text("run: x\n")
