"""The workflow from outside: planning, errors, lint, and what an edit replans."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

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


def test_the_papers_grid_is_planned_in_under_15_seconds_without_network_or_torch(tmp_path):
    # A meta path hook that refuses the heavy imports stands in for not having them.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'datasets'):\n"
        "            raise ImportError('heavy import while planning: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    started = time.monotonic()
    result = snakemake(
        "--profile", "slurm", "all", "-n", "-q", "rules", env={"PYTHONPATH": str(tmp_path)}
    )
    elapsed = time.monotonic() - started
    assert result.returncode == 0, result.stderr
    print(f"planned in {elapsed:.1f} s")
    assert elapsed < 15
    counts = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    assert int(counts["unlearn"]) == int(counts["geffect"]) == int(counts["evaluate"]) >= 84


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
