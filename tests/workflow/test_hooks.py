"""What Snakemake's hooks write and print: the manifest, the Slurm name, the table of failures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geffect.jobs import records, status

pytestmark = pytest.mark.slow

NANO = Path(__file__).resolve().parents[1] / "integration" / "nano.yaml"
# Keeps what it was called with, and what the manifest said then; then refuses.
SBATCH = """#!/bin/sh
printf '%s\\n' "$@" > sbatch.called
cp results/nano/grid.json sbatch.manifest
echo 'sbatch: error: no such partition' >&2
exit 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, checkout):
    return checkout(tmp_path_factory.mktemp("hooks"))


def snakemake(folder, *arguments, path="", more_config=()):
    configuration = ["--configfile", NANO, *more_config]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *configuration, "--cores", "1", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "workflow"),
            "PATH": f"{path}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


DATA = "results/nano/data/full.parquet"


def test_a_failure_is_told_at_the_end_with_its_reason_and_its_log(folder):
    script = folder / "workflow/scripts/data.py"
    text = script.read_text()
    broken = 'from geffect.errors import DataError\n        raise DataError("row 3: broken")'
    script.write_text(text.replace("settings = params.settings", broken, 1))
    result = snakemake(folder, "--", DATA)
    script.write_text(text)
    assert result.returncode == 1
    found = result.stdout
    assert "tables of data data: failed in attempt 1\n  why: row 3: broken\n" in found
    assert "log: results/nano/logs/data.log" in found
    assert "Snakemake's own log: " in found and ".snakemake/log/" in found
    assert "main table:" not in found
    assert status.main([str(folder / "results/nano")]) == 1


@pytest.mark.parametrize("mode", ["remote", "subprocess"])
def test_what_outlives_its_snakemake_is_compared_with_the_configuration_like_all_else(mode, folder):
    """As the process of a Slurm job does it, and nobody after it."""
    for name, seed in (("orphan", 1), ("changed", 2)):
        text = f"results: {mode}\ndata: {{fictional: {{seed: {seed}}}}}\n"
        (folder / f"{name}.yaml").write_text(text)
    orphan = {"more_config": ["orphan.yaml"]}
    target = ("--", f"{mode}/nano/data/full.parquet")
    job = snakemake(folder, "--mode", mode, "--no-hooks", "--nolock", *target, **orphan)
    assert job.returncode == 0, job.stderr
    same = snakemake(folder, "-n", *target, **orphan)
    assert "Nothing to be done" in same.stdout + same.stderr, same.stdout + same.stderr
    changed = snakemake(folder, "-n", *target, more_config=["changed.yaml"])
    assert "Nothing to be done" not in changed.stdout + changed.stderr


def test_success_is_told_once_and_the_manifest_names_every_file_of_the_grid(folder):
    result = snakemake(folder, "--", DATA)
    assert result.returncode == 0, result.stderr
    assert "This run wrote\ndata:            results/nano/data/full.parquet\n" in result.stdout
    assert "main table:" not in result.stdout and "cells/" not in result.stdout
    root = folder / "results/nano"
    manifest = json.loads((root / "grid.json").read_text())
    assert manifest["runs"] == []
    groups = {group["name"]: group["rows"] for group in manifest["groups"]}
    assert [len(rows) for rows in groups.values()] == [1, 1, 2, 2, 4, 6]
    cell = groups["cells"][0]
    assert cell["name"] == "nano-phi forget10 npo+kl seed3"
    assert list(cell["stages"]) == ["unlearn", "geffect", "evaluate", "matched"]
    home = "cells/nano-phi/forget10/npo+kl/seed3"
    expected = ["model", "training.parquet", "draws.safetensors", "provenance.json"]
    made = cell["stages"]["unlearn"]
    assert made["files"] == [f"{home}/{name}" for name in expected], "checkpoints are temporary"
    assert made["log"] == "logs/unlearn/nano-phi_forget10_npo+kl_seed3.log"
    states = {job.stage: job.state for job in status.read_status(root)}
    assert states.pop("data") == "done" and set(states.values()) == {"missing"}
    assert records.read(root / "logs/data.json")["attempt"] == 2


def test_measured_inside_the_run_a_cell_has_no_stage_of_its_own_for_it(folder):
    settings = folder / "inside.yaml"
    settings.write_text("geffect: {in_run: true}\nresults: inside\n")
    shutil.rmtree(folder / "inside", ignore_errors=True)
    result = snakemake(folder, "--", "inside/nano/data/full.parquet", more_config=[settings])
    assert result.returncode == 0, result.stderr
    manifest = json.loads((folder / "inside/nano/grid.json").read_text())
    stages = manifest["groups"][4]["rows"][0]["stages"]
    assert list(stages) == ["unlearn", "evaluate", "matched"]
    assert any(name.endswith("geffect.parquet") for name in stages["unlearn"]["files"])


def test_the_manifest_holds_the_name_of_the_slurm_jobs_before_the_first_is_sent(folder):
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sbatch", "squeue", "sacct", "sinfo", "scontrol"):
        (tools / name).write_text(SBATCH if name == "sbatch" else "#!/bin/sh\n")
        (tools / name).chmod(0o755)
    slurm = ["--executor", "slurm", "--jobs", "1", "--slurm-status-command", "squeue"]
    slurm += ["--slurm-init-seconds-before-status-checks", "1", "--slurm-no-account"]
    resources = ["--default-resources", "slurm_partition=cpu"]
    target = "results/nano/models/nano-phi/base/seed3/model"
    result = snakemake(folder, *slurm, *resources, "--", target, path=f"{tools}{os.pathsep}")
    assert result.returncode == 1
    assert "no such partition" in result.stderr
    called = (folder / "sbatch.called").read_text().splitlines()
    (run,) = json.loads((folder / "sbatch.manifest").read_text())["runs"]
    assert run["slurm_run"] == called[called.index("--job-name") + 1]
    assert "--no-hooks" in called[-1], "else every job would write and tell the same"
    told = (
        "nano-phi seed3 base: failed before it began\n"
        "  why: SLURM sbatch failed. The error message was 'sbatch: error: no such partition'.\n"
    )
    assert told in result.stdout
    assert status.failures(status.read_status(folder / "results/nano")) + "\n" == told


def test_a_script_that_cannot_even_be_imported_is_told(folder):
    script = folder / "workflow/scripts/base_training.py"
    text = script.read_text()
    script.write_text(text.replace("def main(", "import not_there\n\n\ndef main(", 1))
    target = "results/nano/models/nano-phi/base/seed3/model"
    result = snakemake(folder, "--", target)
    script.write_text(text)
    assert result.returncode == 1 and "No module named 'not_there'" in result.stderr
    assert "nano-phi seed3 base: failed before it began" in result.stdout


def test_a_run_that_had_nothing_to_do_says_where_its_results_lie(folder):
    snakemake(folder, "--", DATA)
    again = snakemake(folder, "--", DATA)
    assert again.returncode == 0 and "Nothing to be done" in again.stderr
    assert f"Up to date in results/nano:\ndata:            {DATA}\n" in again.stderr
    assert "main table:" not in again.stderr


def test_that_all_ignores_only_is_said(folder):
    said = "only: `all` makes the whole grid"
    assert said in snakemake(folder, "-n", "--config", "only={seeds: [3]}").stderr
    assert said not in snakemake(folder, "-n", "cells", "--config", "only={seeds: [3]}").stderr


# A run of another checkout on the same results, which lasts until it is told to end.
RIVAL = """
import sys
from geffect.jobs import manifest
manifest.begin(sys.argv[1], [], None)
print("began", flush=True)
sys.stdin.read()
"""


def test_a_second_run_on_one_folder_of_results_is_refused_and_changes_nothing(folder, tmp_path):
    root = tmp_path / "shared" / "nano"
    target = f"{root}/data/full.parquet"
    config = ("--config", f"results={tmp_path}/shared")
    assert snakemake(folder, *config, "--", target).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (root / "data").iterdir()}
    rival = subprocess.Popen(
        [sys.executable, "-c", RIVAL, root],
        env={**os.environ, "PYTHONPATH": str(folder / "workflow")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert rival.stdout.readline() == "began\n"
    forced = snakemake(folder, *config, "--forcerun", "data", "--", target)
    rival.kill()
    rival.communicate()
    assert forced.returncode == 1
    (line,) = [line for line in forced.stderr.splitlines() if "is at work" in line]
    assert f"(process {rival.pid} on " in line and f"kill -INT {rival.pid}" in line
    assert "Traceback" not in forced.stderr
    assert {path: path.stat().st_mtime_ns for path in (root / "data").iterdir()} == before
    assert snakemake(folder, *config, "--forcerun", "data", "--", target).returncode == 0
    assert records.read(root / "run.json")["state"] == "done"


MODEL = "models/nano-phi/base/seed3"
BYTES = {}


@pytest.mark.parametrize(
    "time", [1, *(pytest.param(n, marks=pytest.mark.trial) for n in range(2, 11))]
)
def test_of_two_checkouts_started_at_once_on_one_folder_one_makes_the_results(
    time, checkout, tmp_path
):
    shared = tmp_path / "shared"
    started = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        folder = checkout(tmp_path / name)
        started.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "snakemake", "--configfile", NANO, "--cores", "1"),
                    *("--config", f"results={shared}", "--", f"{shared}/nano/{MODEL}/model"),
                ],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(folder / "workflow")},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [process.communicate()[1] for process in started]
    assert sorted(process.returncode for process in started) == [0, 1], said
    (refused,) = [text for text, p in zip(said, started, strict=True) if p.returncode]
    assert refused.count("is at work there") == 1 and "Traceback" not in refused, refused
    made = {
        name: (shared / "nano" / name).read_bytes()
        for name in ("data/full.parquet", f"{MODEL}/model/model.safetensors")
    }
    assert BYTES.setdefault("made", made) == made
