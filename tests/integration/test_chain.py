"""The whole chain on a nano model: what it writes, what an edit replans, and that it repeats."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from checkout import CELLS, FINITE, TABLES

from geffect import status
from geffect.effects.reweighting import reweighted
from geffect.frames import CELL


@pytest.fixture(scope="module")
def run(local_run):
    return local_run


def test_everything_that_users_rely_on_is_there(run):
    for name in ("main", "utility", "privacy"):
        for suffix in ("csv", "md", "tex"):
            assert run.path(f"tables/{name}.{suffix}").stat().st_size > 0
    figures = {p.name for p in run.path("figures/nano-phi/forget10").iterdir()}
    assert {f"geffect_{cell.split('+')[0]}.pdf" for cell in CELLS} <= figures
    for cell in CELLS:
        for name in ("training", *TABLES, "metrics", "samples"):
            assert len(pd.read_parquet(run.cell(cell, f"{name}.parquet")).columns) > 2
        evaluation = json.loads(run.cell(cell, "evaluation.json").read_text())
        record = json.loads(run.cell(cell, "provenance.json").read_text())
        assert evaluation["weights"] == record["weights"]["unlearned"]
        assert {"cell", "settings", "data", "weights", "packages", "git"} <= set(record)
        assert not run.cell(cell, "checkpoints").exists(), "checkpoints are temporary"
    assert "tables/main.md" in run.log
    made = pd.read_csv(run.path("tables/provenance.csv"))
    assert made["stage"].value_counts().to_dict() == {
        "evaluate": len(CELLS) + 2,
        "unlearn": len(CELLS),
        "geffect": len(CELLS),
    }
    assert made.groupby(CELL)["weights"].nunique().eq(1).all(), "one model from stage to stage"
    assert "WARNING" not in run.path("tables/main.md").read_text()


def test_the_status_of_a_finished_run_is_done(run, capsys):
    assert status.main([str(run.path("."))]) == 0
    shown = capsys.readouterr().out
    assert not any(word in shown for word in ("missing", "running", "failed", "killed"))
    assert shown.count("diverged") == 2, "in its row and in the counts"
    assert json.loads(run.path("grid.json").read_text())["runs"] == []


def test_the_geffect_table_is_complete_and_adds_up(run):
    for cell in FINITE:
        frame = pd.read_parquet(run.cell(cell, "geffect.parquet"))
        assert list(frame["step"].unique()) == [0, 2, 4, 5]
        assert set(frame["term"]) == {"objective", "regularizer", "combined"}
        wide = frame.pivot_table(
            index=["step", "term", "dataset"], columns="component", values="geffect", dropna=False
        )
        parts = wide[["embed", "shallow", "middle", "deep", "lm"]].sum(axis=1)
        np.testing.assert_allclose(parts, wide["total"], rtol=1e-12, atol=1e-300)
        layers = wide[[f"layer.{k}" for k in (1, 2, 3)]].sum(axis=1)
        blocks = wide[["shallow", "middle", "deep"]].sum(axis=1)
        np.testing.assert_allclose(layers, blocks, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("cell", ["npo+kl", "rmu+rr"])
def test_kl_and_rr_have_no_gradient_at_the_original_model(run, cell):
    frame = pd.read_parquet(run.cell(cell, "geffect.parquet"))
    start = frame.query("step == 0 and term == 'regularizer'")
    assert (start["geffect"] == 0).all()
    assert start["cosine"].isna().all()


def test_a_diverged_cell_is_recorded_and_the_others_go_on(run):
    cell = "ga_exploding+none"
    training = pd.read_parquet(run.cell(cell, "training.parquet"))
    assert training["diverged"].tolist() == [False] * (len(training) - 1) + [True]
    assert pd.read_parquet(run.cell(cell, "metrics.parquet"))["value"].isna().all()
    geffect = pd.read_parquet(run.cell(cell, "geffect.parquet"))
    assert {"objective", "combined", "probe.kl"} == set(geffect["term"])
    assert geffect["step"].max() < training["step"].max()
    main = pd.read_csv(run.path("tables/main.csv")).set_index(["objective", "regularizer"])
    assert main.loc[("ga_exploding", "none"), "status"] == "diverged"
    assert np.isnan(main.loc[("ga_exploding", "none"), "mu"])
    assert (main.loc[[("npo", "kl"), ("original", "none")], "status"] == "ok").all()


def test_a_finished_run_is_up_to_date(run):
    assert "Nothing to be done" in run.snakemake("-n", "--cores", 2)


def test_file_times_replan_nothing(run):
    for path in (run.folder / "workflow").rglob("*.py"):
        os.utime(path)
    for path in (run.folder / "workflow").rglob("*.smk"):
        os.utime(path)
    assert run.planned() == {}


def test_comments_and_docstrings_replan_nothing(run):
    undo = [
        run.edit("workflow/geffect/training.py", '"""The only', '"""# Still the only'),
        run.edit("workflow/geffect/objectives/npo.py", "REDUCTION", "# a comment\nREDUCTION"),
    ]
    assert run.planned() == {}
    for restore in undo:
        restore()


def test_a_plot_function_replans_figures_alone(run):
    undo = run.edit("workflow/geffect/plotting.py", "def save(", "UNUSED = 1\n\n\ndef save(")
    assert set(run.planned()) == {"figures"}
    undo()


@pytest.mark.parametrize(
    ("file", "old", "new", "cell"),
    [
        ("workflow/geffect/objectives/npo.py", "2 / beta", "2.0 / beta", "npo+kl"),
        ("config.yaml", "forget10: {alpha: 7}", "forget10: {alpha: 6}", "wga+nll"),
    ],
    ids=["an objective", "a hyper-parameter"],
)
def test_an_edit_replans_the_cells_that_use_it(file, old, new, cell, run):
    undo = run.edit(file, old, new)
    planned = run.planned()
    undo()
    assert set(planned) == {"unlearn", "geffect", "evaluate", "tables", "figures"}
    assert planned["unlearn"] == planned["geffect"] == planned["evaluate"] == {cell}


def test_one_core_gives_the_same_bytes_and_a_cell_can_be_asked_for_by_path(run):
    wanted = [
        f"again/nano/cells/nano-phi/forget10/npo+kl/seed3/{name}.parquet"
        for name in ("geffect", "metrics")
    ]
    output = run.snakemake("--cores", 1, "--config", "results=again", "--", *wanted)
    assert "wga" not in output
    for name in (*TABLES, "metrics", "training"):
        first, second = (
            run.cell("npo+kl", f"{name}.parquet", root) for root in ("results", "again")
        )
        assert first.read_bytes() == second.read_bytes(), name


def test_measured_inside_the_run_the_tables_are_the_same_and_no_weights_stay(run):
    cells = ["npo+kl", "ga_exploding+none"]
    cell = "inside/nano/cells/nano-phi/forget10/{}/seed3/{}.parquet"
    wanted = [cell.format(name, "geffect") for name in cells] + [cell.format("npo+kl", "metrics")]
    for name in ("data", "models", "references"):
        shutil.copytree(run.path(name), run.path(name, "inside"))
    (run.folder / "inside.yaml").write_text(
        "geffect: {in_run: true}\nkeep_models: false\nresults: inside\n"
    )
    output = run.snakemake("--cores", 2, "--", *wanted, more_config=["inside.yaml"])
    assert "rule unlearn_measured" in output and "rule geffect" not in output
    assert "rule finetune" not in output
    for cell in cells:
        for name in (*TABLES, "training"):
            first, second = (run.cell(cell, f"{name}.parquet", r) for r in ("results", "inside"))
            assert first.read_bytes() == second.read_bytes(), (cell, name)
        assert not run.cell(cell, "checkpoints", "inside").exists()
    evaluated = [run.cell("npo+kl", "metrics.parquet", root) for root in ("results", "inside")]
    assert evaluated[0].read_bytes() == evaluated[1].read_bytes()
    assert not run.cell("npo+kl", "model", "inside").exists(), "weights go once they are evaluated"


def test_all_metrics_stand_with_their_intervals_in_one_table(run):
    table = pd.read_csv(run.path("tables/metrics.csv"))
    npo = table.query("objective == 'npo'").set_index(["metric", "dataset"])
    for metric in ("em", "mia_min_k", "mia_gradient_norm", "mia_reference"):
        row = npo.loc[(metric, "unlearn")]
        assert row["low"] <= row["value"] <= row["high"], metric
    assert table.query("objective == 'ga_exploding'")["value"].isna().all()


def test_the_tables_of_a_cell_agree_with_one_another(run):
    cell = "npo+kl"
    frames = {name: pd.read_parquet(run.cell(cell, f"{name}.parquet")) for name in TABLES}
    e = reweighted(frames["tokens"], "npo", {"beta": 0.5}).set_index("step")
    geffect = frames["geffect"].query("term == 'objective' and component == 'total'")
    for dataset in ("unlearn", "retain"):
        rows = geffect[geffect["dataset"].eq(dataset)].set_index("step")
        scale = rows["norm_loss"] * rows["norm_risk"]
        assert ((e[f"e_{dataset}"] - rows["geffect"]).abs() <= 1e-5 * scale).all()
    total = frames["risk"].query("component == 'total'").set_index(["dataset", "step"])
    change = total["risk"].groupby("dataset").diff().dropna().to_numpy()
    np.testing.assert_allclose(total["measured_change"].dropna(), change, rtol=1e-12)
