"""The private parts of Snakemake that are used, each on a toy workflow with the real Snakemake."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"
SNAKEFILE = """
import snakemake_internals

configfile: "config.yaml"

snakemake_internals.note_what_outlives_its_snakemake(workflow)

rule all:
    output: "made"
    params: number=config["number"]
    shell: "touch made"

onstart:
    print("Slurm jobs are called", snakemake_internals.slurm_run(workflow))
"""


@pytest.fixture
def internals(monkeypatch):
    monkeypatch.syspath_prepend(WORKFLOW)
    return importlib.import_module("snakemake_internals")


@pytest.fixture
def toy(tmp_path):
    """A function: runs the toy workflow in a folder; returns the exit status and what was said."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "config.yaml").write_text("results: results\nrun: paper\nnumber: 1\n")

    def run(*arguments, path=""):
        result = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(WORKFLOW),
                "PATH": f"{path}{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout + result.stderr

    run.folder = tmp_path
    return run


@pytest.mark.parametrize("mode", ["default", "remote", "subprocess"])
def test_what_a_job_made_is_noted_by_its_own_process(mode, toy):
    status, said = toy("--mode", mode, "--nolock", "--", "all")
    assert status == 0 and (toy.folder / "made").exists(), said
    assert "Nothing to be done" in toy("-n", "all")[1]
    changed = toy("-n", "all", "--config", "number=2")[1]
    assert "Nothing to be done" not in changed and "Params have changed" in changed


def test_the_slurm_jobs_of_a_process_have_a_name_that_it_knows_before_the_first_is_sent(toy):
    assert "Slurm jobs are called None" in toy("--", "all")[1]
    tools = toy.folder / "tools"
    tools.mkdir()
    for name in ("sbatch", "squeue", "sacct", "sinfo", "scontrol"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    (tools / "sbatch").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > called\nexit 1\n")
    slurm = ["--executor", "slurm", "--jobs", "1", "--slurm-status-command", "squeue"]
    slurm += ["--slurm-init-seconds-before-status-checks", "1", "--slurm-no-account"]
    slurm += ["--default-resources", "slurm_partition=cpu", "--forceall"]
    status, said = toy(*slurm, "--", "all", path=f"{tools}{os.pathsep}")
    assert status == 1, said
    called = (toy.folder / "called").read_text().splitlines()
    name = called[called.index("--job-name") + 1]
    assert name and f"Slurm jobs are called {name}\n" in said


def test_the_failed_jobs_are_read_from_snakemakes_log(internals, tmp_path):
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
    assert internals.failed_jobs(path) == {
        "logs/a.log": nothing | {"slurm_job": "8", "slurm_log": "s/a/8.log"},
        "logs/b.log": nothing | {"slurm_job": "7", "slurm_log": "s/b/7.log"},
        "logs/c.log": nothing
        | {"why": sbatch("sbatch: error: one sbatch: error: 'two'").partition("\n")[0]},
        "logs/d.log": nothing,
        "logs/e.log": nothing
        | {"why": "Job submission failed with exception: account x is invalid"},
    }


def test_results_are_those_of_the_run_that_the_arguments_name(
    internals, toy, tmp_path_factory, monkeypatch
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (toy.folder / "demo.yaml").write_text("run: demo\n")
    for arguments, root in (
        ([], "results/paper"),
        (["all", "--cores", "1"], "results/paper"),
        (["--configfile", "demo.yaml"], "results/demo"),
        (["--configfile", "demo.yaml", "--config", "run=third"], "results/third"),
        (["--config", "results=other", "--", "all"], "other/paper"),
    ):
        monkeypatch.chdir(toy.folder)
        found = internals.results_of(arguments)
        assert found == (Path(root).parent, Path(root)), arguments
    monkeypatch.chdir(elsewhere)
    assert internals.results_of(["--directory", str(toy.folder)])[1] == Path("results/paper")
    assert Path.cwd() == toy.folder
    with pytest.raises(ValueError, match="snakemake -n"):
        internals.results_of(["-n"])


RECORDED = """
import json
import os
import snakemake_internals

configfile: "config.yaml"


def differences(job):
    if not os.path.exists("record"):
        return None
    number = json.loads(open("record").read())
    return [("number", number, job.params.number)] * (number != job.params.number)


def say(changed, up_to_date):
    print("changed", [(str(job), why) for job, why in changed], "up to date", up_to_date)


snakemake_internals.compare_with_records(
    lambda job: job.output.get("record"), differences, say
)

rule all:
    input: "later"

rule first:
    output: "made", record="record"
    params: number=config["number"]
    shell: "echo {params.number} | tee made > record"

rule later:
    input: "made"
    output: "later"
    shell: "touch later"

onsuccess:
    print("made", snakemake_internals.made(workflow))
"""


@pytest.fixture
def recorded(toy):
    (toy.folder / "Snakefile").write_text(RECORDED)
    status, said = toy()
    assert status == 0, said
    assert "made ['made', 'record', 'later']" in said or "made ['later', 'made'" in said, said
    return toy


UP_TO_DATE = "changed [] up to date ["
CHANGED = "changed [('first', [('number', {}, {})])] up to date []"


def test_without_notes_the_record_is_compared(recorded):
    assert UP_TO_DATE in recorded("-n")[1]
    assert CHANGED.format(1, 2) in recorded("-n", "--config", "number=2")[1], "Snakemake knows"
    shutil.rmtree(recorded.folder / ".snakemake")
    assert UP_TO_DATE in recorded("-n")[1]
    said = recorded("-n", "--config", "number=2")[1]
    assert CHANGED.format(1, 2) in said
    assert "rule first:" in said and "rule later:" in said
    assert "before: number = 1 now: number = 2" in said
    assert recorded("--config", "number=2")[0] == 0
    assert (recorded.folder / "record").read_text() == "2\n"
    assert UP_TO_DATE in recorded("-n", "--config", "number=2")[1]


def test_what_is_not_there_is_not_stale(recorded):
    for name in ("made", "record", "later"):
        (recorded.folder / name).unlink()
    assert "changed [] up to date []" in recorded("-n")[1]


def test_notes_on_other_files_do_not_count(recorded):
    (recorded.folder / "record").write_text("7\n")
    assert CHANGED.format(7, 1) in recorded("-n", "--rerun-triggers", "params")[1]


def test_what_has_neither_notes_nor_record_is_made_again_unless_it_is_touched(recorded):
    shutil.rmtree(recorded.folder / ".snakemake")
    (recorded.folder / "record").unlink()
    assert "changed [('first', None)]" in recorded("-n", "made")[1]
    (recorded.folder / "record").touch()
    (recorded.folder / "record").write_text("5")
    assert recorded("--touch")[0] == 0
    assert UP_TO_DATE in recorded("-n")[1], "accepted as it is"


def test_what_the_command_line_gives_and_asks_for(toy):
    ask = (
        "print('given', snakemake_internals.given(workflow), snakemake_internals.targets(workflow))"
    )
    (toy.folder / "Snakefile").write_text(SNAKEFILE.replace("print(", f"{ask}\n    print("))
    assert "given {'number': 3} ['all']" in toy("--config", "number=3")[1]
    assert "given {} ['made']" in toy("--forceall", "--", "made")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--configfile", "good.yaml", "--cores", "1", "--", "all"], None),
        (
            ["--configfiles", "good.yaml", "nowhere.yaml", "-n"],
            "--configfile nowhere.yaml: no such",
        ),
        (["-n", "--configfile", "good.yaml", "all"], "--configfile all: no such file"),
        (["all", "--config", "run=x", "results", "-c1"], "--config results: no value"),
        (["-C", "run.x=1"], "--config run.x=1: 'run.x' is not a key"),
        (["--config", "run=x", "--", "results"], None),
        (
            ["--configfile", "good.yaml", "-n", "--configfile", "a.yaml"],
            "--configfile: is given 2 times; write --configfile good.yaml a.yaml",
        ),
        (
            ["-C", "run=x", "--config", "y=2"],
            "--config: is given 2 times",
        ),
        (["--config-what-else", "x"], None),
    ],
)
def test_what_the_command_line_names_is_checked_before_snakemake_reads_it(
    arguments, told, internals, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("run: x\n")
    if told is None:
        return internals.check_given(arguments)
    with pytest.raises(SystemExit, match=f"^error: {re.escape(told)}") as ended:
        internals.check_given(arguments)
    # A word without "=" or "." is likely to be a target, which the option has taken for its own.
    taken = ended.value.code.split()[2].rstrip(":") in ("all", "results")
    assert ("(targets go first" in ended.value.code) == taken
