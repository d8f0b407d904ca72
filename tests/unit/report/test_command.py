"""`geffect draw`: figures of a run by their names, also of one that is not finished."""

import subprocess
import sys

import pytest
from made_up import STEPS, made_up_results

from geffect import files, frames
from geffect.names import CELL
from geffect.report import command

FRAMES = ("geffect", "risk", "instances", "training", "metrics")


@pytest.fixture
def run(rng, tmp_path):
    """The folder of a run of one objective, of which a cell is only planned."""
    variants = {"npo": {"name": "npo", "hyper": {}}}
    results = made_up_results(rng, variants, seeds=(1,), steps=STEPS)
    rows = []
    for cell in results.cells:
        name = f"cells/tiny/forget05/npo+{cell['regularizer']}/seed1"
        stages = {"unlearn": {"files": [f"{name}/training.parquet"], "log": "x"}}
        rows.append({"name": name, "stages": stages})
    files.write_json({"groups": [{"name": "cells", "rows": rows}]}, tmp_path / "grid.json")
    folder = tmp_path / "cells/tiny/forget05/npo+none/seed1"
    folder.mkdir(parents=True)
    for name in FRAMES:
        frame = results.frame(name)
        mine = frame[frame["objective"].eq("npo") & frame["regularizer"].eq("none")]
        # As on disk, where the metrics have no keys.
        mine = mine.drop(columns=CELL) if name == "metrics" else mine
        frames.write(mine, folder / f"{name}.parquet")
    record = {"settings": {"objective": {"name": "npo", "hyper": {"beta": 0.7}}}}
    files.write_json(record, folder / "provenance.json")
    return tmp_path


def test_figures_are_drawn_by_name_and_what_was_drawn_is_said(run, capsys):
    command.main([str(run), "compare_*", "outcome", "--processes", "1"])
    drawn = {p.relative_to(run).as_posix() for p in run.rglob("*.png")}
    folder = "figures/tiny/forget05"
    names = (f"{folder}/compare_none.png", f"{folder}/compare_kl.png", "run_figures/outcome.png")
    assert drawn == set(names)
    assert "drew compare_none (1 of 2)" in capsys.readouterr().err


def test_figures_are_drawn_again_with_the_bootstrap_of_the_run(run):
    cells = command.cells_of(run)
    results = command.results_of(run, cells)
    assert (results.resamples, results.seed) == (1000, 0)
    record = {"settings": {"resamples": 123, "seed": 7, "figures": ["outcome"]}}
    (run / "run_figures").mkdir()
    files.write_json(record, run / "run_figures/record.json")
    results = command.results_of(run, cells)
    assert (results.resamples, results.seed) == (123, 7)


def test_a_run_says_what_there_is_to_draw_and_which_names_are_unknown(run, capsys):
    command.main([str(run), "--list"])
    shown = capsys.readouterr().out
    assert "tiny, forget05: geffect_npo" in shown and "run: outcome" in shown
    with pytest.raises(SystemExit) as ended:
        command.main([str(run), "compare_none", "trade_of"])
    assert str(ended.value).startswith("error: no figure 'trade_of'")
    assert "did you mean 'trade_off'?" in str(ended.value)
    assert not list(run.rglob("*.png")), "names are checked before anything is drawn"
    with pytest.raises(SystemExit, match="has no cells; name the folder of a run"):
        command.main([str(run / "cells" / "tiny")])


def test_hyper_parameters_come_from_the_records_and_planned_cells_from_the_manifest(run):
    cells = command.cells_of(run)
    assert [cell["regularizer"] for cell in cells] == ["none", "kl"]
    results = command.results_of(run, cells)
    assert results.variants == {"npo": {"name": "npo", "hyper": {"beta": 0.7}}}
    assert results.gaps("geffect") == ["npo+kl seed 1 is missing"]


def test_tables_that_read_records_have_those_of_the_cells(run):
    """Also once the run has a table of provenance, which is no record of a cell."""
    (run / "tables").mkdir(exist_ok=True)
    (run / "tables/provenance.csv").write_text("model,split\ntiny,forget05\n")
    folder = run / "cells/tiny/forget05/npo+none/seed1"
    files.write_json({"a": 0.5, "trace": []}, folder / "matched.json")
    cells = command.cells_of(run)
    results = command.results_of(run, cells)
    (unlearn, matched) = results.records()
    assert unlearn[:2] == (cells[0], "unlearn") and "settings" in unlearn[2]
    assert matched == (cells[0], "matched", {"a": 0.5, "trace": []})
    assert len(results.frame("provenance")) == 1


FIGURE = """
from geffect.report import style

TITLE = "Losses"
CAPTION = "Look."
CATEGORY = "Mine"
READS = ["training"]
PER = "split"


def draw(results):
    figure = style.new_figure(2, TITLE)
    figure.subplots().plot(results.frame("training")["step"])
    return style.laid_out(figure)
"""


def test_another_figure_is_drawn_from_its_file_and_no_torch_is_imported(run, tmp_path):
    path = tmp_path / "norms.py"
    path.write_text(FIGURE)
    code = (
        "import sys; from geffect.report import command; "
        "command.main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    )
    arguments = [str(run), "norms", "--figure", str(path), "--out", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert (tmp_path / "out/figures/tiny/forget05/norms.pdf").stat().st_size > 0


def test_a_number_of_processes_that_cannot_be_is_one_line(run):
    with pytest.raises(SystemExit) as ended:
        command.main([str(run), "--processes", "0"])
    assert str(ended.value) == "error: --processes 0: use 1 or more"


def test_two_processes_draw_the_same_as_one(run, tmp_path):
    for number in ("1", "2"):
        out = ["--out", str(tmp_path / number), "--processes", number]
        command.main([str(run), "trade_off", "weights", *out])
    paths = list((tmp_path / "1").rglob("*.p*"))
    assert len(paths) == 4
    for path in paths:
        other = tmp_path / "2" / path.relative_to(tmp_path / "1")
        assert path.read_bytes() == other.read_bytes()
