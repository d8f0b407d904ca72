"""What a crash or a full disk may leave: nothing is built on it, and the next run mends it."""

import os
import re
import shutil
import subprocess

import pytest
from checkout import FINITE, TABLES, Checkout

pytestmark = pytest.mark.trial

CELL = "npo+kl"


@pytest.fixture(scope="module")
def run(tmp_path_factory, checkout, local_run):
    """A copy of the finished local run that may be damaged."""
    folder = tmp_path_factory.mktemp("damaged")
    checkout(folder)
    for name in ("results", ".snakemake"):
        shutil.copytree(local_run.folder / name, folder / name)
    return Checkout(folder)


def snakemake(run, *arguments, expect=0, **options):
    return run.snakemake("--cores", 2, "--keep-going", *arguments, expect=expect, **options)


def errors(output):
    return [line for line in output.splitlines() if re.search(r"\berror: ", line)]


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def assert_as_before(run, local_run):
    for cell in FINITE:
        for name in (*TABLES, "training", "metrics", "samples"):
            paths = [r.cell(cell, f"{name}.parquet") for r in (run, local_run)]
            assert paths[0].read_bytes() == paths[1].read_bytes(), (cell, name)
    tables = [r.path("tables/main.csv").read_bytes() for r in (run, local_run)]
    assert tables[0] == tables[1]
    assert "Nothing to be done" in snakemake(run, "-n")


def test_a_table_that_is_cut_off_is_named_and_made_again(run, local_run):
    cut(run.cell(CELL, "metrics.parquet"))
    output = snakemake(run, "--forcerun", "tables", expect=1)
    assert any("metrics.parquet: is damaged" in line for line in errors(output))
    assert not run.path("tables/main.csv").exists()
    again = snakemake(run)
    assert again.count("rule evaluate:") == again.count("rule tables:") == 1
    assert "rule unlearn:" not in again
    assert_as_before(run, local_run)


def test_weights_that_are_cut_off_are_named_and_made_again(run, local_run):
    cut(run.cell(CELL, "model/model.safetensors"))
    metrics = run.cell(CELL, "metrics.parquet").relative_to(run.folder)
    output = snakemake(run, "--forcerun", "evaluate", "--", metrics, expect=1)
    assert any("damaged" in line for line in errors(output))
    assert not run.cell(CELL, "metrics.parquet").exists()
    snakemake(run)
    assert_as_before(run, local_run)


def test_a_checkpoint_that_is_cut_off_is_named_and_the_run_is_repeated(run, local_run, tmp_path):
    keep = tmp_path / "keep.yaml"
    keep.write_text("keep_checkpoints: true\n")
    cell = run.cell(CELL, "geffect.parquet").relative_to(run.folder)
    snakemake(run, "--forcerun", "unlearn", "--", cell, more_config=[keep])
    cut(run.cell(CELL, "checkpoints/step-00002/model.safetensors"))
    forced = ("--forcerun", "geffect", "--", cell)
    output = snakemake(run, *forced, expect=1, more_config=[keep])
    assert any("step-00002" in line for line in errors(output))
    assert not run.cell(CELL, "geffect.parquet").exists()
    again = snakemake(run, more_config=[keep])
    assert again.count("rule unlearn:") == 1
    shutil.rmtree(run.cell(CELL, "checkpoints"))
    assert_as_before(run, local_run)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_and_with_room_the_run_goes_on(checkout, local_run, tmp_path):
    run = Checkout(checkout(tmp_path))
    disk = tmp_path / "results"
    disk.mkdir()
    names = ("data", "models", "references")
    used = sum(
        -(-p.stat().st_size // 4096) * 4096 + 4096
        for name in names
        for p in local_run.path(name).rglob("*")
    )
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk), "-o"]
    subprocess.run([*mount, f"size={used + 200_000}"], check=True)
    try:
        for name in names:
            shutil.copytree(local_run.path(name), run.path(name))
        wanted = [
            run.cell(CELL, f"{name}.parquet").relative_to(run.folder)
            for name in ("metrics", "geffect")
        ]
        output = snakemake(run, "--", *wanted, expect=1)
        assert any("the disk is full" in line for line in errors(output))
        assert not list(run.path("cells").rglob("model/*"))
        subprocess.run([*mount, f"remount,size={used + 50_000_000}"], check=True)
        snakemake(run, "--rerun-incomplete", "--", *wanted)
        for name in (*TABLES, "training", "metrics", "samples"):
            paths = [r.cell(CELL, f"{name}.parquet") for r in (run, local_run)]
            assert paths[0].read_bytes() == paths[1].read_bytes(), name
    finally:
        subprocess.run(["umount", str(disk)], check=True)
