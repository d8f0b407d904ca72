"""Results that were moved to another checkout are planned as in the place where they were made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CELLS, Checkout

pytestmark = pytest.mark.slow

SUMMARY = "workflow/geffect/evaluation/summary.py"
ORIGINAL = "models/nano-phi/full/seed3/model"
CHANGES = {
    "nothing": [],
    "a setting of one cell": [("config.yaml", "forget10: {alpha: 7}", "forget10: {alpha: 6}")],
    "a setting of the models": [("config.yaml", "weight_decay: 0.01", "weight_decay: 0.02")],
    "a setting of the evaluation": [("config.yaml", "max_rows: null", "max_rows: 7")],
    "the code of a loss": [("workflow/geffect/objectives/npo.py", "2 / beta", "2.0 / beta")],
    "the code of the evaluation": [(SUMMARY, "def metrics(", "UNUSED = 1\n\n\ndef metrics(")],
    "the code of the tables": [
        ("workflow/geffect/report/tables/main.py", "def main_table(", "U = 1\n\n\ndef main_table(")
    ],
    "a comment": [(SUMMARY, "def metrics(", "# A comment.\ndef metrics(")],
}


def moved(run: Checkout, folder: Path, checkout, notes: bool) -> Checkout:
    """A checkout with the results of a run, with or without Snakemake's notes on them."""
    copy = Checkout(checkout(folder))
    shutil.copytree(run.folder / "results", folder / "results")
    if notes:
        shutil.copytree(run.folder / ".snakemake", folder / ".snakemake")
    return copy


@pytest.fixture(scope="module")
def copies(local_run, checkout, tmp_path_factory):
    return [
        moved(local_run, tmp_path_factory.mktemp(name), checkout, name == "noted")
        for name in ("noted", "bare")
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_planned_does_not_depend_on_the_place(change, local_run, copies):
    planned = []
    for place in (local_run, *copies):
        undo = [place.edit(*edit) for edit in CHANGES[change]]
        planned.append(place.planned())
        for restore in undo:
            restore()
    assert planned[0] == planned[1] == planned[2]
    assert bool(planned[0]) == (change not in ("nothing", "a comment"))


def test_jobs_run_the_library_of_their_checkout_whatever_is_installed(checkout, tmp_path):
    copy = Checkout(checkout(tmp_path))
    here = "raise SystemExit('the library of this checkout')"
    copy.edit("workflow/geffect/data/fictional.py", "\ndef generate(", f"\n{here}\n\ndef generate(")
    table = "results/nano/data/forget10.parquet"
    asked = ["--configfile", *copy.configuration, "--cores", "1", "--", table]
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", *asked],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode and "the library of this checkout" in ended.stderr, ended.stderr


def test_a_deleted_model_is_planned_alike(local_run, copies):
    planned = []
    for place in (local_run, *copies):
        aside = place.path(ORIGINAL).rename(place.folder / "aside")
        planned.append([place.planned(), place.planned("--forcerun", "unlearn")])
        aside.rename(place.path(ORIGINAL))
    assert planned[0] == planned[1] == planned[2]
    assert planned[0][1]["unlearn"] == set(CELLS)


def test_notes_on_other_files_than_those_that_are_there_do_not_count(local_run, checkout, tmp_path):
    """As where a colleague's results replace one's own."""
    place = moved(local_run, tmp_path, checkout, notes=True)
    record = place.cell("wga+nll", "provenance.json")
    text = record.read_text()
    assert '"alpha": 7' in text
    record.write_text(text.replace('"alpha": 7', '"alpha": 5'))
    assert place.planned()["unlearn"] == {"wga+nll"}
    assert "objective.alpha: 5 -> 7): 1 cell; planned again" in place.snakemake("-n")


def test_results_without_any_record_are_made_again_or_kept_by_touch(local_run, checkout, tmp_path):
    place = moved(local_run, tmp_path, checkout, notes=False)
    place.cell("npo+kl", "evaluation.json").unlink()
    assert place.planned()["evaluate"] == {"npo+kl"}
    said = place.snakemake("-n")
    assert "with no record of how they were made: 1 cell; planned again" in said


def test_what_was_made_again_is_up_to_date(local_run, checkout, tmp_path):
    place = moved(local_run, tmp_path, checkout, notes=False)
    place.edit("config.yaml", "forget10: {alpha: 7}", "forget10: {alpha: 6}")
    wanted = place.cell("wga+nll", "geffect.parquet").relative_to(place.folder)
    said = place.snakemake("--cores", 1, "--", wanted)
    assert "(objective.alpha: 7 -> 6): 1 cell; planned again" in said
    assert "rule unlearn:" in said and "rule finetune:" not in said
    assert f"G-effects:       {wanted}\n" in said
    assert "tables/main.md" not in said and "metrics:" not in said
    again = place.snakemake("--cores", 1, "--", wanted)
    assert "Nothing to be done" in again and f"G-effects:       {wanted}\n" in again
