"""Jobs, nodes and Snakemake itself die on a private Slurm, and the grid ends as if none had.

Two of these run with the tests; the others, and the table of all, are `make trials`.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import REPORT, Checkout, grid_of
from cluster import Cluster
from submitting import Submitted, resumed

pytestmark = pytest.mark.slurm
trial = pytest.mark.trial

CELL, OTHER = "npo+kl", "wga+nll"
EVERY, STEPS = 3, 36
CHANGES = {
    "training": {"checkpoint_every": EVERY},
    "matched": {"evaluate": False},
    "models": {"nano-phi": {"unlearn": {"epochs": STEPS}}},
    "geffect": {
        "in_run": True,
        "instances": False,
        "tokens": False,
        "probes": {"objectives": [], "regularizers": []},
    },
    "grid": [grid_of(cell) for cell in (CELL, OTHER)],
}
SLOW = {"TRIAL_SECONDS_A_STEP": "0.1"}
FILES = ("geffect", "risk", "trajectory", "training", "metrics", "samples")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, checkout, local_run):
    """A local run of the same grid in which nothing dies."""
    copy = Checkout(checkout(tmp_path_factory.mktemp("undisturbed")))
    (copy.folder / "changes.yaml").write_text(yaml.safe_dump(CHANGES))
    for name in ("data", "models", "references"):
        shutil.copytree(local_run.path(name), copy.path(name))
    copy.snakemake("--cores", 2, more_config=["changes.yaml"])
    return copy


@pytest.fixture
def run(tmp_path, checkout, slurm, local_run):
    """A function: a copy that goes on from the local models, with further changes."""

    def build(*changes, models=True):
        copy = Submitted(checkout(tmp_path / "copy"), slurm.environment, CHANGES, *changes)
        if models:
            for name in ("data", "models", "references"):
                shutil.copytree(local_run.path(name), copy.path(name))
        return copy

    (tmp_path / "copy").mkdir()
    return build


@pytest.fixture(scope="session")
def report():
    """A function that notes a line of the table which the session prints at its end."""
    rows = []
    yield lambda trial, **facts: rows.append({"trial": trial, **facts})
    if rows:
        print("\n" + pd.DataFrame(rows).astype(object).fillna("").to_markdown(index=False))


def assert_same(copy, undisturbed, *cells):
    for cell in cells or (CELL, OTHER):
        for name in FILES:
            there, here = (c.cell(cell, f"{name}.parquet") for c in (copy, undisturbed))
            assert there.read_bytes() == here.read_bytes(), (cell, name)
    assert not copy.path("work").exists() or not any(
        path.is_file() for path in copy.path("work").rglob("*")
    ), "resume states go on success"


def repeated(copy) -> list[int]:
    """How many updates each attempt but the first made that had been made before."""
    made, starts = copy.attempts(), [0, *resumed(copy.folder / "results/slurm_logs")]
    assert len(made) == len(starts)
    ends = [start + count for start, count in zip(starts, made, strict=True)]
    assert ends[-1] == STEPS
    return [end - start for end, start in zip(ends, starts[1:], strict=False)]


def targets(copy, cell=CELL):
    names = ("metrics.parquet", "geffect.parquet")
    return [copy.cell(cell, name).relative_to(copy.folder) for name in names]


def killed(copy, steps, rng):
    """A run of one cell whose process is killed once within an interval after each step."""
    process = copy.start(*targets(copy), "--retries", len(steps), **SLOW)
    for step in steps:
        copy.at_work(CELL, step)
        time.sleep(rng.uniform(0, 0.9 * EVERY * float(SLOW["TRIAL_SECONDS_A_STEP"])))
        copy.kill(CELL, step)
        pid = copy.record(CELL)["pid"]
        while copy.record(CELL)["pid"] == pid and process.poll() is None:
            time.sleep(0.05)
    return copy.finish(process)


@pytest.mark.parametrize("in_run", [False, pytest.param(True, marks=trial)])
def test_killed_at_random_steps_a_cell_ends_as_the_uninterrupted_one(
    in_run, run, undisturbed, rng, report
):
    copy = run({"geffect": {"in_run": in_run}})
    steps = sorted(rng.choice(np.arange(EVERY, STEPS - EVERY, EVERY), 2, replace=False).tolist())
    killed(copy, steps, rng)
    assert_same(copy, undisturbed, CELL)
    again = repeated(copy)
    assert len(again) == 2 and all(0 <= count <= EVERY for count in again)
    what = "inside" if in_run else "outside of"
    report(f"kill -9 twice, G-effects {what} the run", repeated_steps=again, ends="equal")


def kill_and_restart(copy, *targets) -> tuple[list[str], list[str]]:
    """The rules of the scripts that started before and after Snakemake was killed in a cell."""
    process = copy.start(*targets, **SLOW)
    copy.at_work(CELL, EVERY)
    process.kill()
    process.wait()
    before = [line[0] for line in copy.scripts]
    orphan = copy.record(CELL)["slurm_job"]
    copy.finish(copy.start(*targets, command=[str(copy.folder / "restart")], **SLOW))
    logs = [
        p.read_text(errors="replace") for p in copy.folder.rglob(f"slurm_logs/*/*/{orphan}.log")
    ]
    assert len(logs) == 1 and "CANCELLED" in logs[0]
    return before, [line[0] for line in copy.scripts][len(before) :]


def test_snakemake_is_killed_and_restarted(run, undisturbed, report):
    copy = run()
    complete = Path("cells/nano-phi/forget10") / OTHER
    shutil.copytree(undisturbed.path(complete), copy.path(complete))
    _, after = kill_and_restart(copy, "cells")
    assert_same(copy, undisturbed)
    assert after == ["unlearn", "evaluate"], "the other cell was complete"
    report("kill -9 of Snakemake, ./restart", computed_again=str(after), ends="equal")


@trial
def test_snakemake_is_killed_and_restarted_in_the_whole_chain(run, undisturbed, report):
    copy = run(models=False)
    before, after = kill_and_restart(copy, "all")
    assert_same(copy, undisturbed)
    complete = {"data", "base_training", "finetune"}
    assert complete <= set(before) and not complete & set(after)
    assert after.count("unlearn") <= 2 and after.count("tables") == 1
    report("the same in the whole chain", computed_again=str(after), ends="equal")


@trial
def test_ten_kills_of_one_cell(run, undisturbed, rng, report):
    copy = run()
    steps = sorted(rng.choice(np.arange(EVERY, STEPS - EVERY, EVERY), 10, replace=False).tolist())
    killed(copy, steps, rng)
    assert_same(copy, undisturbed, CELL)
    again = repeated(copy)
    assert len(again) == 10 and all(0 <= count <= EVERY for count in again)
    report("kill -9 of the process, ten times", repeated_steps=again, ends="equal")


@trial
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_kill_at_the_rename_of_a_state(place, run, undisturbed, report):
    copy = run()
    copy.submit(*targets(copy), TRIAL_RENAME=f"{place} 3", **SLOW)
    assert (copy.folder / "renamed.txt").exists()
    assert_same(copy, undisturbed, CELL)
    again = repeated(copy)
    # The third state is lost before its rename, and there after it.
    assert again == ([EVERY] if place == "before" else [0])
    report(f"kill -9 {place} the rename of a state", repeated_steps=again, ends="equal")


@trial
def test_scancel_of_a_running_job(run, slurm, undisturbed, report):
    copy = run()
    process = copy.start(*targets(copy), **SLOW)
    slurm.run("scancel", copy.at_work(CELL, 2 * EVERY)["slurm_job"])
    copy.finish(process)
    assert_same(copy, undisturbed, CELL)
    again = repeated(copy)
    assert all(count <= EVERY for count in again)
    report("scancel", repeated_steps=again, ends="equal")


@trial
def test_a_time_limit(run, undisturbed, report):
    copy = run({"models": {"nano-phi": {"resources": {"runtime": 1}}}})
    text = copy.submit(*targets(copy), TRIAL_SECONDS_A_STEP="1.5")
    assert_same(copy, undisturbed, CELL)
    assert "TIMEOUT" in text
    again = repeated(copy)
    assert again and all(count <= EVERY for count in again)
    report("time limit of 1 minute", repeated_steps=again, ends="equal")


@trial
def test_a_memory_limit(run, undisturbed, report):
    copy = run({"models": {"nano-phi": {"resources": {"mem_mb": 450}}}})
    copy.submit(*targets(copy), **SLOW)
    assert_same(copy, undisturbed, CELL)
    logs = [p.read_text(errors="replace") for p in copy.folder.glob("results/slurm_logs/**/*.log")]
    kills = sum("exceeded memory limit" in text for text in logs)
    assert kills >= 1
    report("memory limit of 450 MB, retried with more", kills=kills, ends="equal")


@trial
def test_a_cell_that_never_has_enough_memory_is_reported_and_the_other_is_made(run, report):
    small = {"models": {"nano-phi": {"resources": {"mem_mb": 150}}}}
    copy = run()
    copy.submit(*targets(copy, OTHER))
    (copy.folder / "small.yaml").write_text(yaml.safe_dump(small))
    text = copy.submit(
        "all", "--configfile", "small.yaml", "--retries", 1, expect=1, TRIAL_SECONDS_A_STEP="1"
    )
    told = text[text.index(f"nano-phi forget10 {CELL} seed3 unlearn: failed before it began") :]
    assert told.splitlines()[1].startswith("  why: out of memory (Slurm log: ")
    assert copy.cell(OTHER, "metrics.parquet").exists()
    report("memory is never enough", said="out of memory", ends="it is told, the other is done")


@trial
@pytest.mark.parametrize("end", ["lose_node", "stop_node"])
def test_slurmd_ends_with_its_jobs_or_beside_them_and_starts_again(
    end, run, slurm, undisturbed, report
):
    copy = run()
    process = copy.start("cells", **SLOW)
    copy.at_work(CELL, EVERY)
    getattr(slurm, end)()
    time.sleep(5)
    slurm.start_node()
    copy.finish(process)
    assert_same(copy, undisturbed)
    what = {"lose_node": "slurmd and its jobs killed", "stop_node": "slurmd stopped"}[end]
    started = copy.attempts()
    report(f"{what}, started again", updates_of_each_process=started, ends="equal")


@pytest.fixture(scope="module")
def local_demo(tmp_path_factory, checkout):
    """A finished local run of the demo, and how many seconds it took."""
    local = Checkout(checkout(tmp_path_factory.mktemp("local")))
    started = time.monotonic()
    subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--configfile", "config/demo.yaml"),
            *("--cores", "2", "--quiet", "rules"),
        ],
        cwd=local.folder,
        env={**os.environ, "PYTHONPATH": str(local.folder / "workflow")},
        check=True,
    )
    return local, time.monotonic() - started


@trial
@pytest.mark.parametrize("accounting", [False, True], ids=["no accounting", "accounting"])
def test_the_demos_grid_has_the_bytes_of_a_local_run(
    accounting, local_demo, tmp_path, tmp_path_factory, checkout, report
):
    local, here = local_demo
    demo = yaml.safe_load((local.folder / "config/demo.yaml").read_text())
    (tmp_path / "copy").mkdir()
    with Cluster(tmp_path_factory.mktemp("slurm"), accounting) as slurm:
        copy = Submitted(checkout(tmp_path / "copy"), slurm.environment, demo)
        if accounting:
            copy.edit("slurm/config.yaml", "status-command: squeue", "status-command: sacct")
        started = time.monotonic()
        # More jobs at once than processors would only be slower.
        process = copy.start("all", "--jobs", 2)
        copy.finish(process, seconds=3000)
        there = time.monotonic() - started
    files = sorted(local.folder.glob("results/demo/cells/**/*.parquet"))
    assert len(files) >= 14 * 6
    for path in files:
        other = copy.folder / path.relative_to(local.folder)
        assert path.read_bytes() == other.read_bytes(), path
    report(
        f"the demo's grid, {'with' if accounting else 'without'} accounting",
        ends=f"{len(files)} files equal",
        minutes=f"{there / 60:.1f} (local: {here / 60:.1f})",
    )


@trial
def test_of_40_cells_exactly_those_with_a_changed_hyperparameter_run(run, report):
    grid = {
        "models": ["nano-phi"],
        "splits": ["forget10"],
        "objectives": ["ga", "wga", "npo", "tnpo", "wtnpo"],
        "regularizers": ["none", "kl"],
        "seeds": [3, 4, 5, 6],
    }
    copy = run({"grid": [grid], "models": {"nano-phi": {"unlearn": {"epochs": 5}}}})
    copy.finish(copy.start("all", "--jobs", 4), seconds=2400)
    first = len(copy.scripts)
    assert [line[0] for line in copy.scripts].count("unlearn") == 40
    settings = yaml.safe_load((copy.folder / "config.yaml").read_text())
    settings["objectives"]["npo"]["beta"] = 0.75
    (copy.folder / "config.yaml").write_text(yaml.safe_dump(settings))
    copy.submit("all")
    again = pd.Series([line[0] for line in copy.scripts[first:]]).value_counts().to_dict()
    assert again == {"unlearn": 8, "evaluate": 8, **dict.fromkeys(REPORT, 1)}
    report("one of 5 objectives changed in 40 cells", computed_again=str(again))
