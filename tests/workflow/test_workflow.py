"""The workflow from outside: planning, errors, lint, and what an edit replans."""

import copy
import os
import resource
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import yaml

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def snakemake(*arguments, cwd=REPOSITORY, env=None):
    return subprocess.run(
        [*SNAKEMAKE, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def seconds():
    """A function: CPU seconds of child processes since the test began; planning is one thread."""

    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = spent()
    return lambda: spent() - start


def test_the_papers_grid_is_planned_in_under_15_seconds_without_network_or_torch(tmp_path, seconds):
    # A meta path hook that refuses the heavy imports stands in for not having them.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):\n"
        "            raise ImportError('heavy import while planning: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    result = snakemake(
        "--profile", "slurm", "all", "-n", "-q", "rules", env={"PYTHONPATH": str(tmp_path)}
    )
    assert result.returncode == 0, result.stderr
    print(f"planned in {seconds():.1f} s")
    assert seconds() < 15
    assert result.stderr.count("GPU-hours") == 1, "what it takes is told, once"
    counts = planned(result.stdout)
    assert counts["unlearn"] == counts["evaluate"] == counts["matched"] >= 84


def planned(output):
    """Rule -> number of jobs, from the summary of a dry run."""
    counts = (line.split() for line in output.splitlines())
    return {c[0]: int(c[1]) for c in counts if len(c) == 2 and c[1].isdigit()}


def test_the_grid_with_three_seeds_is_planned_in_under_20_seconds(tmp_path, seconds):
    grid = yaml.safe_load((REPOSITORY / "config.yaml").read_text())["grid"]
    for block in grid:
        block["seeds"] = [42, 43, 44]
    (tmp_path / "seeds.yaml").write_text(yaml.safe_dump({"grid": grid}))
    arguments = ["--profile", "slurm", "all", "-n", "-q", "rules"]
    result = snakemake(*arguments, "--configfile", tmp_path / "seeds.yaml")
    assert result.returncode == 0, result.stderr
    print(f"planned in {seconds():.1f} s")
    assert planned(result.stdout)["evaluate"] == 3 * 127
    assert seconds() < 20


GRID = {
    "models": ["tiny-phi"],
    "splits": ["forget01", "forget10"],
    "objectives": ["ga", "wga", "npo", "tnpo", "wtnpo"],
    "regularizers": ["none", "kl"],
    "seeds": [1, 2],
}


class Grid:
    """A finished run of 40 cells whose files are empty: enough for planning."""

    def __init__(self, folder, checkout):
        self.folder = checkout(folder)
        change = {"run": "grid", "grid": [GRID]}
        self.write("grid.yaml", change)
        output = self.run("-n", "--forceall", "--detailed-summary")
        for line in output.splitlines()[1:]:
            path = folder / line.split("\t")[0]
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                path.mkdir(parents=True, exist_ok=True)
        self.run("--touch")

    def write(self, name, change):
        (self.folder / name).write_text(yaml.safe_dump(change))

    def run(self, *arguments, config=()):
        files = ["config/demo.yaml", "grid.yaml", *config]
        asked = ["--cores", "1", *arguments, "--configfile", *files]
        result = forked.snakemake(asked, self.folder, dict(os.environ))
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def plan(self, *arguments, config=()):
        jobs = planned(self.run("-n", "--quiet=rules", *arguments, config=config))
        return {
            rule: count for rule, count in jobs.items() if rule not in ("total", "all", "cells")
        }


@pytest.fixture(scope="module")
def grid(tmp_path_factory, checkout):
    return Grid(tmp_path_factory.mktemp("grid"), checkout)


def test_a_finished_grid_of_40_cells_is_up_to_date(grid):
    assert grid.plan() == {}


def test_one_changed_hyper_parameter_replans_its_cells_and_what_is_made_of_them(grid):
    grid.write("change.yaml", {"objectives": {"wtnpo": {"splits": {"forget10": {"alpha": 1.25}}}}})
    assert grid.plan(config=["change.yaml"]) == {
        "unlearn": 4,
        "evaluate": 4,
        "matched": 4,
        "tables": 1,
        "statements": 1,
        "token_page": 1,
        "figures": 2,
        "run_figures": 1,
        "overview": 1,
    }


def test_what_is_asked_for_by_filter_is_planned_where_it_is_stale(grid):
    grid.write("change.yaml", {"objectives": {"wga": {"alpha": 3}}})
    grid.write("only.yaml", {"only": {"objectives": ["wga"], "seeds": [1]}})
    files = ["change.yaml", "only.yaml"]
    jobs = grid.plan("cells", config=files)
    # forget10 has an α of its own.
    assert jobs == {"unlearn": 2, "evaluate": 2, "matched": 2}
    grid.write("only.yaml", {"only": {"objectives": ["wga"], "stages": ["unlearn"]}})
    assert grid.plan("cells", config=files) == {"unlearn": 4}
    grid.write("only.yaml", {"only": {"objectives": ["npo"]}})
    assert grid.plan("cells", config=files) == {}


def test_a_stage_of_chosen_cells_can_be_forced(grid):
    only = {"only": {"objectives": ["npo"], "splits": ["forget10"], "regularizers": ["kl"]}}
    grid.write("only.yaml", only)
    forced = grid.plan("cells", "--forcerun", "evaluate", config=["only.yaml"])
    assert forced == {"evaluate": 2, "matched": 2}
    forced = grid.plan("cells", "--forcerun", "unlearn", config=["only.yaml"])
    assert forced == {"unlearn": 2, "evaluate": 2, "matched": 2}


def test_steps_that_are_asked_for_later_are_evaluated_and_their_weights_made_again(grid):
    grid.write("at.yaml", {"evaluation": {"at": "measured"}})
    jobs = grid.plan(config=["at.yaml"])
    assert jobs["evaluate_at"] == jobs["unlearn"] == 40, "measured in the run, no weights stayed"
    assert "evaluate_reference" not in jobs and "finetune" not in jobs


def test_another_share_replans_matched_retention_alone(grid):
    grid.write("share.yaml", {"matched": {"es_retain": 0.9}})
    shown = {"tables": 1, "figures": 2, "overview": 1}
    assert grid.plan(config=["share.yaml"]) == {"matched": 40, **shown}
    grid.write("off.yaml", {"matched": {"evaluate": False}})
    jobs = grid.plan(config=["off.yaml"])
    assert "matched" not in jobs and set(jobs) <= set(shown)


def test_relearning_and_rounding_are_added_and_replan_nothing_else(grid):
    # forget01 has only 4 rows.
    relearn = {"rows": 2, "batch_size": 2, "micro_batch_size": 2}
    grid.write("asked.yaml", {"relearn": relearn, "quantize": [8]})
    jobs = grid.plan(config=["asked.yaml"])
    added = {name: jobs.pop(name) for name in list(jobs) if name.startswith(("rel", "qua"))}
    # Two splits of two seeds: a retain model each, and the original one beside it.
    assert added == {"relearn": 40, "relearn_reference": 4, "quantize": 40, "quantize_reference": 8}
    assert not {"unlearn", "evaluate", "finetune", "matched"} & set(jobs)
    only = {"only": {"objectives": ["npo"], "seeds": [1], "stages": ["evaluate"]}}
    grid.write("only.yaml", only)
    jobs = grid.plan("cells", config=["asked.yaml", "only.yaml"])
    assert jobs == {"relearn": 4, "quantize": 4}


def test_where_and_how_resume_states_are_left_replans_nothing(grid):
    grid.write("change.yaml", {"training": {"resume_every": 3, "resume_minutes": 7}})
    assert grid.plan(config=["change.yaml"]) == {}


def test_published_numbers_add_a_table_and_replan_nothing_else(grid):
    (grid.folder / "numbers.csv").write_text(
        "model,split,objective,regularizer,mu\ntiny-phi,forget10,ga,kl,0.5\n"
    )
    grid.write("change.yaml", {"report": {"published": "numbers.csv"}})
    # The figures are drawn from the main table, which is written again.
    planned = grid.plan(config=["change.yaml"])
    assert planned == {"tables": 1, "figures": 2, "overview": 1}
    (grid.folder / "numbers.csv").write_text("model,split\n")
    arguments = ["--cores", 1, "-n", "--configfile", "config/demo.yaml", "grid.yaml", "change.yaml"]
    refused = snakemake(*arguments, cwd=grid.folder)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "no column 'objective'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("file", "planned"),
    [
        ("figures/compare.py", {"figures": 2}),
        ("figures/outcome.py", {"run_figures": 1}),
        ("style.py", {"figures": 2, "run_figures": 1}),
        ("tables/utility.py", {"tables": 1, "figures": 2}),
    ],
)
def test_an_edit_of_the_report_replans_what_it_makes_and_no_cell(file, planned, grid):
    path = grid.folder / "workflow/geffect/report" / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\nUNUSED = 1\n", encoding="utf-8")
    try:
        # The first page shows all of them.
        assert grid.plan() == {**planned, "overview": 1}
    finally:
        path.write_text(before, encoding="utf-8")


def test_lint_is_clean():
    result = snakemake("--lint")
    assert result.returncode == 0, result.stdout + result.stderr


ERRORS = {
    "misspelt key": ({"evaluation": {"bach_size": 3}}, "evaluation.bach_size"),
    "unknown objective": ({"grid": [{"objectives": ["gaa"]}]}, "grid[0].objectives"),
    "unknown regularizer": ({"grid": [{"regularizers": ["kll"]}]}, "grid[0].regularizers"),
    "unknown split": ({"grid": [{"splits": ["forget11"]}]}, "grid[0].splits"),
    "unknown model": ({"grid": [{"models": ["phi"]}]}, "grid[0].models"),
    "hyper-parameter out of range": (
        {"objectives": {"wga": {"alpha": -1}}},
        "objectives.wga.alpha",
    ),
    "hyper-parameter missing": (
        {"objectives": {"x": {"objective": "wga"}}, "grid": [{"objectives": ["x"]}]},
        "objectives.x.alpha",
    ),
    "missing published numbers": ({"report": {"published": "nowhere.csv"}}, "nowhere.csv"),
    "missing file of a figure": ({"report": {"figures": ["nowhere.py"]}}, "nowhere.py"),
    "missing data folder": ({"data": {"source": "directory", "directory": "nowhere"}}, "nowhere"),
    "layer the model lacks": ({"objectives": {"rmu": {"layer": 99}}}, "objectives.rmu"),
    "two blocks": ({"models": {"phi-1_5": {"layers": 2}}}, "models.phi-1_5.layers"),
    "template without question": ({"templates": {"phi": {"text": "{answer}"}}}, "templates.phi"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_bad_configuration_is_one_clear_line_and_starts_nothing(name, tmp_path):
    change, key = copy.deepcopy(ERRORS[name])
    base = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    for block in change.get("grid", []):
        for default, value in base["grid"][0].items():
            block.setdefault(default, value)
    if name == "layer the model lacks":
        change["objectives"]["rmu"]["models"] = {"phi-1_5": {"layer": 99}}
        del change["objectives"]["rmu"]["layer"]
    (tmp_path / "change.yaml").write_text(yaml.safe_dump(change))
    result = snakemake(
        "--configfile",
        tmp_path / "change.yaml",
        "--config",
        f"results={tmp_path}/results",
        "--cores",
        1,
        "data",
        env={"GEFFECT_TOFU": ""},
    )
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if key in line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()
