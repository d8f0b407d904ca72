"""The profile on a private Slurm, without and with accounting; and that Slurm itself."""

import re
import shutil
import time
from pathlib import Path

import cluster
import pytest
from checkout import REPORT, TABLES, grid_of
from cluster import Cluster, ClusterError
from submitting import Submitted

pytestmark = pytest.mark.slurm

VARIANTS = [False, pytest.param(True, marks=pytest.mark.accounting)]
# What a job computes does not depend on the others: one cell that ends well, and one that diverges.
CELLS = ("npo+kl", "ga_exploding+none")
# One job fewer a cell; a pretended GPU a job, so that the profile's GPU lines are obeyed.
CHANGES = {
    "geffect": {"in_run": True},
    "models": {"nano-phi": {"resources": {"gpus": 1, "mem_mb": 4000}}},
    "grid": [grid_of(cell) for cell in CELLS],
}


@pytest.fixture(scope="module", params=VARIANTS, ids=["no accounting", "accounting"])
def finished(request, tmp_path_factory, checkout, local_run):
    """A run through Slurm: without accounting from nothing, with it from the local models on."""
    accounting = request.param
    with Cluster(tmp_path_factory.mktemp("slurm"), accounting) as slurm:
        copy = Submitted(checkout(tmp_path_factory.mktemp("copy")), slurm.environment, CHANGES)
        targets = ["all"]
        if accounting:
            copy.edit("slurm/config.yaml", "status-command: squeue", "status-command: sacct")
            for name in ("data", "models", "references"):
                shutil.copytree(local_run.path(name), copy.path(name))
            targets = [
                copy.cell(cell, "metrics.parquet").relative_to(copy.folder) for cell in CELLS
            ]
        copy.log = copy.submit(*targets)
    copy.accounting = accounting
    return copy


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_has_the_bytes_of_a_local_run(finished, local_run, cell):
    for name in (*TABLES, "training", "metrics", "samples"):
        there, here = (run.cell(cell, f"{name}.parquet") for run in (finished, local_run))
        assert there.read_bytes() == here.read_bytes(), name


def test_every_rule_but_the_local_ones_ran_as_a_job_of_its_own(finished):
    jobs = [line for line in finished.scripts if line[3] != "-"]
    assert len({line[3] for line in jobs}) == len(jobs)
    local = {line[0] for line in finished.scripts if line[3] == "-"}
    assert local == (set() if finished.accounting else {"data"})
    logs = finished.folder / "results/slurm_logs"
    assert {path.stem for path in logs.rglob("*.log")} == {line[3] for line in jobs}


def test_jobs_are_kept_from_the_hub_and_local_rules_are_not(finished):
    for rule, *offline, job, _, _ in finished.scripts:
        assert offline == (["-", "-"] if job == "-" else ["1", "1"]), rule


def test_jobs_that_compute_get_a_gpu_and_the_others_none(finished):
    for rule, *_, partition, gpus in finished.scripts:
        if rule in REPORT:
            assert (partition, gpus) == ("cpu", "-")
        elif rule != "data":
            assert partition == "gpu" and gpus in ("0", "1"), rule


def processes_of(folder) -> list[str]:
    """The command lines of the processes whose command or environment names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text:
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def submit(slurm, folder, command, *options) -> str:
    """The number of a job that runs a shell command; its output goes to a file of that name."""
    output = f"--output={folder}/%j"
    return slurm.run("sbatch", "--parsable", output, *options, f"--wrap={command}").strip()


def state(slurm, job) -> str:
    return slurm.run("squeue", "-h", "-t", "all", "-o", "%T", "-j", job).strip()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def slurm(tmp_path):
    with Cluster(tmp_path / "slurm") as started:
        yield started


def test_a_stopped_cluster_leaves_no_process_behind(slurm, tmp_path):
    job = submit(slurm, tmp_path, "sleep 300 & sleep 300")
    until(lambda: state(slurm, job) == "RUNNING" and (tmp_path / job).exists())
    assert any("sleep 300" in line for line in processes_of(slurm.folder))
    slurm.stop()
    until(lambda: not processes_of(slurm.folder), 5)


def test_a_failed_start_says_why_and_leaves_no_process_behind(tmp_path, monkeypatch):
    broken = cluster.SLURM_CONF.replace("SlurmdSpoolDir={folder}", "SlurmdSpoolDir=/dev/null")
    monkeypatch.setattr(cluster, "SLURM_CONF", broken)
    with pytest.raises(ClusterError, match=r"(?s)slurmd ended.*/dev/null/spool"):
        Cluster(tmp_path / "slurm").start()
    assert processes_of(tmp_path / "slurm") == []


def test_a_folder_that_holds_a_cluster_is_refused(slurm):
    with pytest.raises(ClusterError, match="stop it and delete the folder"):
        Cluster(slurm.folder).start()
    assert "UP" in slurm.run("scontrol", "ping")


def test_two_clusters_run_beside_one_another(slurm, tmp_path):
    with Cluster(tmp_path / "other") as other:
        for one in (slurm, other):
            assert submit(one, tmp_path, "true") == "1"
            until(lambda one=one: state(one, "1") == "COMPLETED")


def test_a_job_above_its_memory_is_killed(slurm, tmp_path):
    command = "python3 -c 'import time; x = bytearray(300 << 20); time.sleep(60)'; echo survived"
    job = submit(slurm, tmp_path, command, "--mem=100")
    until(lambda: state(slurm, job) == "FAILED", 30)
    log = (tmp_path / job).read_text()
    assert re.search("exceeded memory limit", log) and "survived" not in log


def test_a_lost_node_loses_its_jobs_and_comes_back(slurm, tmp_path):
    lost = submit(slurm, tmp_path, "sleep 300", "--no-requeue")
    until(lambda: state(slurm, lost) == "RUNNING")
    slurm.lose_node()
    assert not any("sleep 300" in line for line in processes_of(slurm.folder))
    assert state(slurm, lost) == "NODE_FAIL"
    slurm.start_node()
    again = submit(slurm, tmp_path, "true")
    until(lambda: state(slurm, again) == "COMPLETED")


def test_an_update_of_slurmd_loses_no_job(slurm, tmp_path):
    job = submit(slurm, tmp_path, f"until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    until(lambda: state(slurm, job) == "RUNNING" and (tmp_path / job).exists())
    slurm.stop_node()
    slurm.start_node()
    (tmp_path / "go").touch()
    until(lambda: state(slurm, job) == "COMPLETED")
