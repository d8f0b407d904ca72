"""The whole chain on a nano model: what it writes, what an edit replans, and that it repeats."""

import contextlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from checkout import CELLS, FINITE, REPORT, TABLES, Checkout
from chromium import WIDTHS

from geffect.effects.reweighting import reweighted
from geffect.jobs import status
from geffect.names import CELL


@pytest.fixture(scope="module")
def run(local_run):
    return local_run


def test_everything_that_users_rely_on_is_there(run):
    for name in ("main", "utility", "privacy", "matched"):
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
    counted = "models.nano-phi.resources, as counted: {base_training: {gpus: 0, mem_mb: 2000}, "
    assert counted in run.log
    made = pd.read_csv(run.path("tables/provenance.csv"))
    assert made["stage"].value_counts().to_dict() == {
        "evaluate": len(CELLS) + 2,
        "unlearn": len(CELLS),
        "geffect": len(CELLS),
        "matched": len(CELLS),
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


@contextlib.contextmanager
def edited(run, file, old, new):
    """Edits a file of the copy for a while."""
    undo = run.edit(file, old, new)
    try:
        yield
    finally:
        undo()


@contextlib.contextmanager
def more_code_in(run, *files):
    """Adds a line that counts wherever these files of the package do, and takes it away again."""
    paths = [run.folder / "workflow/geffect" / file for file in files]
    texts = [path.read_text() for path in paths]
    try:
        for path, text in zip(paths, texts, strict=True):
            path.write_text(f"{text}\n\nUNUSED = 1\n")
        yield
    finally:
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)


def test_comments_and_docstrings_replan_nothing(run):
    npo = "workflow/geffect/objectives/npo.py"
    with (
        edited(run, "workflow/geffect/training/loop.py", '"""The only', '"""# Still the only'),
        edited(run, npo, "REDUCTION", "# a comment\nREDUCTION"),
    ):
        assert run.planned() == {}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("data/encoding.py", "no token of the {what} is left", "{what}: no token is left"),
        (
            "training/loop.py",
            "        progress.step(",
            '        log.info("a step")\n        progress.step(',
        ),
        ("training/resume.py", '"resumed after step %d from %s"', '"goes on after step %d of %s"'),
    ],
    ids=["the text of an error", "a new log line", "the text of a log line"],
)
def test_what_is_only_said_replans_nothing(file, old, new, run):
    with edited(run, f"workflow/geffect/{file}", old, new):
        assert run.planned() == {}


def test_how_jobs_are_run_and_recorded_replans_nothing(run):
    package = run.folder / "workflow/geffect"
    names = [path.relative_to(package) for path in sorted((package / "jobs").glob("*.py"))]
    with more_code_in(run, *names):
        assert run.planned() == {}
    assert len(names) > 5


def test_what_is_read_along_the_run_replans_g_effects_and_no_evaluation(run):
    with more_code_in(run, "evaluation/trajectory.py"):
        everything = run.planned()
        others = run.planned("--allowed-rules", "all", "evaluate", "evaluate_reference")
    assert {"geffect", "tables", "figures"} <= set(everything)
    assert others == {}


def test_a_plot_function_replans_figures_alone(run):
    with more_code_in(run, "report/figures/compare.py"):
        assert set(run.planned()) == {"figures", "overview"}
    with more_code_in(run, "report/figures/outcome.py"):
        assert set(run.planned()) == {"run_figures", "overview"}


def test_how_training_is_resumed_replans_training_and_what_is_made_of_it(run):
    allowed = ("all", "data", "evaluate", "evaluate_reference", "matched", *REPORT)
    with more_code_in(run, "training/resume.py"):
        everything = run.planned()
        others = run.planned("--allowed-rules", *allowed)
    trained = {"base_training", "finetune", "unlearn"}
    made = {"geffect", "evaluate", "evaluate_reference", "matched", *REPORT}
    assert set(everything) == trained | made
    assert others == {}, "stale only because of what they are made of"


@pytest.fixture(scope="module")
def kept(tmp_path_factory, checkout, run):
    """A finished run of one cell that keeps its checkpoints."""
    folder = checkout(tmp_path_factory.mktemp("kept"))
    for name in ("results", ".snakemake"):
        shutil.copytree(run.folder / name, folder / name)
    cell = {"models": ["nano-phi"], "splits": ["forget10"], "seeds": [3]}
    cell |= {"objectives": ["npo"], "regularizers": ["kl"]}
    keep = folder / "keep.yaml"
    no_probes = {"probes": {"objectives": [], "regularizers": []}}
    keep.write_text(json.dumps({"keep_checkpoints": True, "grid": [cell], "geffect": no_probes}))
    finished = Checkout(folder)
    finished.snakemake("--cores", 2, "--forcerun", "unlearn", more_config=[keep])
    assert finished.cell("npo+kl", "checkpoints/step-00002").is_dir()
    assert finished.planned(more_config=[keep]) == {}
    return finished, [keep]


@pytest.mark.slow
def test_with_kept_checkpoints_the_engine_replans_g_effects_and_no_training(kept):
    run, config = kept
    with more_code_in(run, "effects/gradients.py"):
        assert set(run.planned(more_config=config)) == {"geffect", *REPORT}


@pytest.mark.slow
def test_g_effects_of_kept_checkpoints_do_not_depend_on_the_training_loop(kept):
    run, config = kept
    allowed = ("geffect", *REPORT, "all")
    with more_code_in(run, "training/loop.py"):
        everything = run.planned(more_config=config)
        others = run.planned("--allowed-rules", *allowed, more_config=config)
    assert "unlearn" in everything and others == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "cell"),
    [
        ("workflow/geffect/objectives/npo.py", "2 / beta", "2.0 / beta", "npo+kl"),
        ("config.yaml", "forget10: {alpha: 7}", "forget10: {alpha: 6}", "wga+nll"),
    ],
    ids=["an objective", "a hyper-parameter"],
)
def test_an_edit_replans_the_cells_that_use_it(file, old, new, cell, run):
    with edited(run, file, old, new):
        planned = run.planned()
    assert set(planned) == {"unlearn", "geffect", "evaluate", "matched", *REPORT}
    assert planned["unlearn"] == planned["geffect"] == planned["evaluate"] == {cell}


@pytest.mark.slow
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


@pytest.mark.slow
def test_measured_inside_the_run_the_tables_are_the_same_and_no_weights_stay(run):
    cells = ["npo+kl", "ga_exploding+none"]
    cell = "inside/nano/cells/nano-phi/forget10/{}/seed3/{}.parquet"
    wanted = [cell.format(name, table) for name in cells for table in ("geffect", "metrics_at")]
    wanted += [cell.format("npo+kl", name) for name in ("metrics", "matched")]
    for name in ("data", "models", "references"):
        shutil.copytree(run.path(name), run.path(name, "inside"))
    (run.folder / "inside.yaml").write_text(
        "geffect: {in_run: true}\nkeep_models: false\nresults: inside\n"
        "evaluation: {at: [0, 4, 5]}\n"
    )
    output = run.snakemake("--cores", 2, "--", *wanted, more_config=["inside.yaml"])
    assert "rule unlearn:" in output and "rule geffect:" not in output
    assert "rule finetune:" not in output
    for cell in cells:
        for name in (*TABLES, "training"):
            first, second = (run.cell(cell, f"{name}.parquet", r) for r in ("results", "inside"))
            assert first.read_bytes() == second.read_bytes(), (cell, name)
        assert not run.cell(cell, "checkpoints", "inside").exists()
    for name in ("metrics.parquet", "matched.parquet"):
        evaluated = [run.cell("npo+kl", name, root) for root in ("results", "inside")]
        assert evaluated[0].read_bytes() == evaluated[1].read_bytes()
    assert not run.cell("npo+kl", "model", "inside").exists(), "weights go once they are evaluated"
    exploded = pd.read_parquet(run.cell("ga_exploding+none", "metrics_at.parquet", "inside"))
    assert exploded.groupby("step")["value"].count().gt(0).to_dict() == {
        0: True,
        4: False,
        5: False,
    }


@pytest.mark.slow
def test_chosen_steps_are_evaluated_inside_the_run_and_from_checkpoints_alike(run, kept):
    inside = run.cell("npo+kl", "metrics_at.parquet", "inside")
    stored, config = kept
    steps = stored.folder / "steps.yaml"
    steps.write_text("evaluation: {at: [0, 4, 5]}\n")
    wanted = stored.cell("npo+kl", "metrics_at.parquet")
    output = stored.snakemake(
        "--cores", 2, "--", wanted.relative_to(stored.folder), more_config=[*config, steps]
    )
    assert "rule unlearn:" not in output and "rule evaluate:" not in output
    assert inside.read_bytes() == wanted.read_bytes()
    frame = pd.read_parquet(wanted)
    assert frame["step"].unique().tolist() == [0, 4, 5]
    ends = {
        0: stored.path("references/nano-phi/full/forget10/seed3/metrics.parquet"),
        5: stored.cell("npo+kl", "metrics.parquet"),
    }
    for step, path in ends.items():
        mine = frame[frame["step"].eq(step)].drop(columns="step").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, pd.read_parquet(path), check_exact=True)
    trajectory = pd.read_parquet(stored.cell("npo+kl", "trajectory.parquet"))
    keys = ["step", "metric", "dataset"]
    for _, row in trajectory.query("step == 4 and metric != 'nll'").iterrows():
        other = frame.set_index(keys).loc[tuple(row[keys]), "value"]
        assert row["value"] == pytest.approx(other, rel=1e-6)


def test_matched_retention_keeps_what_was_asked_for(run):
    table = pd.read_csv(run.path("tables/matched.csv")).set_index("objective")
    trace = pd.read_csv(run.path("tables/matched_trace.csv"))
    for cell in FINITE:
        record = json.loads(run.cell(cell, "matched.json").read_text())
        metrics = pd.read_parquet(run.cell(cell, "matched.parquet"))
        retain = metrics.set_index(["metric", "dataset"]).loc[("es_exact", "retain"), "value"]
        assert retain == pytest.approx(dict(map(dict.values, record["trace"]))[record["a"]])
        assert retain >= record["target"]
        objective = cell.split("+")[0]
        assert table.loc[objective, "a"] == record["a"]
        assert table.loc[objective, "es_exact_retain"] == retain
        mine = trace[trace["objective"].eq(objective)]
        assert mine["a"].tolist() == [point["a"] for point in record["trace"]]
    diverged = run.cell("ga_exploding+none", "matched.json")
    assert json.loads(diverged.read_text())["a"] is None
    assert table.loc["ga_exploding", "status"] == "diverged" and np.isnan(
        table.loc["ga_exploding", "a"]
    )


def test_all_metrics_stand_with_their_intervals_in_one_table(run):
    table = pd.read_csv(run.path("tables/metrics.csv"))
    npo = table.query("objective == 'npo'").set_index(["metric", "dataset"])
    for metric in ("em", "mia_min_k", "mia_gradient_norm", "mia_reference"):
        row = npo.loc[(metric, "unlearn")]
        assert row["low"] <= row["value"] <= row["high"], metric
    assert table.query("objective == 'ga_exploding'")["value"].isna().all()


@pytest.mark.parametrize("cell", FINITE)
def test_the_trajectory_begins_and_ends_with_what_was_evaluated(cell, run):
    frame = pd.read_parquet(run.cell(cell, "trajectory.parquet"))
    assert list(frame.columns) == [*CELL, "step", "metric", "dataset", "value"]
    assert list(frame["step"].unique()) == [0, 2, 4, 5]
    original = run.path("references/nano-phi/full/forget10/seed3/{}.parquet")
    for step, place in ((0, str(original)), (5, str(run.cell(cell, "{}.parquet")))):
        evaluated = pd.read_parquet(place.format("metrics")).set_index(["metric", "dataset"])
        nll = pd.read_parquet(place.format("samples")).groupby("dataset")["nll"].mean()
        at = frame[frame["step"].eq(step)].set_index(["metric", "dataset"])["value"]
        assert len(at) == 6
        for (metric, dataset), value in at.items():
            expected = (
                nll[dataset] if metric == "nll" else evaluated.loc[(metric, dataset), "value"]
            )
            assert value == pytest.approx(expected, rel=1e-6), (step, metric, dataset)


def test_the_tables_of_a_cell_agree_with_one_another(run):
    cell = "npo+kl"
    frames = {name: pd.read_parquet(run.cell(cell, f"{name}.parquet")) for name in TABLES}
    e = reweighted(frames["tokens"], "npo", {"beta": 0.5}).set_index("step")
    geffect = frames["geffect"].query("term == 'objective' and component == 'total'")
    for dataset in ("unlearn", "retain"):
        rows = geffect[geffect["dataset"].eq(dataset)].set_index("step")
        scale = rows["norm_loss"] * rows["norm_risk"]
        assert ((e[f"e_{dataset}"] - rows["geffect"]).abs() <= 1e-5 * scale).all()
    total = frames["risk"].query("component == 'total' and term == 'objective'")
    total = total.set_index(["dataset", "step"])
    change = total["risk"].groupby("dataset").diff().dropna().to_numpy()
    np.testing.assert_allclose(total["measured_change"].dropna(), change, rtol=1e-12)


def test_the_statements_of_a_run_are_judged_and_its_gaps_named(run):
    table = pd.read_csv(run.path("tables/statements.csv"), keep_default_na=False)
    assert set(table["statement"]) == set(range(1, 9))
    assert set(table["by"]) == {"geffect", "change"}
    assert table["reason"].ne("").all()
    ga = table[table["statement"].eq(1)]
    assert set(ga["verdict"]) == {"cannot be told"}
    assert ga["reason"].str.contains("diverged").all()


def test_pages_show_the_runs_and_the_cell_that_diverged(run):
    page = run.path("report/nano-phi/forget10/tokens.html").read_text()
    assert all(cell.replace("+", " + ") in page for cell in CELLS)
    assert "Diverged" in page
    worst = pd.read_parquet(run.path("report/nano-phi/forget10/tokens.parquet"))
    # RMU gives tokens no weight.
    assert set(worst["objective"]) >= {cell.partition("+")[0] for cell in FINITE} - {"rmu"}
    assert "rmu" not in set(worst["objective"])
    assert "diverged" in run.path("report/index.html").read_text()
    assert "run: nano" in run.path("report/tables.html").read_text()


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_of_a_run_open_from_disk(width, run, browser):
    for name in ("index", "answers", "tables", "nano-phi/forget10/tokens"):
        assert browser.problems(run.path(f"report/{name}.html"), width) == [], name


@pytest.mark.slow
@pytest.mark.browser
def test_the_report_opens_from_disk_and_holds_every_page(run, browser):
    file = run.path("report.html")
    run.snakemake("--report", file)
    for width in WIDTHS:
        assert browser.problems(file, width) == []
    text = browser.open(file).run("return document.body.innerText")
    assert "What not to conclude" in text
    assert all(category in text for category in ("Answers", "Tables", "Tokens"))
    drawn = browser.run("return document.querySelector('svg, canvas') !== null")
    assert drawn, "the graph of rules"
