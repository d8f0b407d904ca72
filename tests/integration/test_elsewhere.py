"""The workflow from elsewhere: an objective outside of the checkout, a deployer's own Snakefile."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from checkout import NANO, Checkout
from snakemake.utils import update_config

pytestmark = pytest.mark.slow

MEAN_NPO = '''"""NPO of means without θ_o: mean over samples of -(2/β) log σ(-β · mean log p)."""

from torch.nn.functional import softplus

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
REDUCTION = "sample"


def _mean(view):
    return view.per_sample(view.logp) / view.lengths


def loss(view, beta):
    """(2/β) softplus(β · mean log p): [B]."""
    return 2 / beta * softplus(beta * _mean(view))
'''


@pytest.fixture(scope="module")
def outside(local_run, checkout, tmp_path_factory):
    """A checkout with the finished models of `local_run`, and a file beside it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "checkout").mkdir()
    copy = Checkout(checkout(folder / "checkout"))
    for name in ("data", "models", "references"):
        shutil.copytree(local_run.path(name), copy.path(name))
    shutil.copytree(local_run.folder / ".snakemake", copy.folder / ".snakemake")
    (folder / "mine").mkdir()
    (folder / "mine" / "mean_npo.py").write_text(MEAN_NPO)
    own = {
        "objectives": {
            "mean_npo": {"objective": str(folder / "mine" / "mean_npo.py"), "beta": 2.5}
        },
        "geffect": {"probes": {"objectives": [], "regularizers": []}},
        "grid": [
            {
                "models": ["nano-phi"],
                "splits": ["forget10"],
                "objectives": ["mean_npo", "npo"],
                "regularizers": ["kl"],
                "seeds": [3],
            }
        ],
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    return copy, folder


def test_an_objective_named_by_path_works_as_a_name_does(outside):
    copy, folder = outside
    more = [folder / "own.yaml"]
    wanted = copy.cell("mean_npo+kl", "geffect.parquet").relative_to(copy.folder)
    log = copy.snakemake("--cores", 2, "--", wanted, more_config=more)
    assert "rule finetune" not in log
    geffect = pd.read_parquet(copy.folder / wanted)
    total = geffect.query("term == 'objective' and component == 'total' and dataset == 'unlearn'")
    assert total["step"].tolist() == [0, 2, 4, 5]
    assert (total["geffect"] < 0).all(), "it unlearns"

    def planned():
        output = copy.snakemake("-n", "--cores", 2, "--", wanted, more_config=more)
        return {rule for rule in ("unlearn", "geffect", "finetune") if f"rule {rule}:" in output}

    assert planned() == set()
    path = folder / "mine" / "mean_npo.py"
    path.write_text(MEAN_NPO.replace('"""NPO', '"""Still NPO'))
    assert planned() == set(), "a docstring"
    path.write_text(MEAN_NPO.replace("2 / beta *", "4 / beta *"))
    assert planned() == {"unlearn", "geffect"}
    path.write_text(MEAN_NPO)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"beta": -1}, "objectives.mean_npo.beta: -1 is less than or equal to the minimum of 0"),
        ({"gamma": 1}, "objectives.mean_npo.gamma: objective"),
        ({"objective": "nowhere.py"}, "nowhere.py: there is no such file"),
    ],
)
def test_the_configuration_of_an_outside_objective_is_checked_too(outside, change, says):
    copy, folder = outside
    (folder / "change.yaml").write_text(yaml.safe_dump({"objectives": {"mean_npo": change}}))
    files = [folder / "own.yaml", folder / "change.yaml"]
    assert says in copy.snakemake("-n", "--cores", 2, expect=1, more_config=files)


def test_the_registry_wide_tests_take_in_a_file_from_outside(outside):
    _, folder = outside
    repository = NANO.parents[2]
    tests = repository / "tests/unit/losses/test_losses.py"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "mean_npo"),
            *(tests, f"--loss=objective={folder / 'mine' / 'mean_npo.py'}"),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "passed" in result.stdout


DEPLOYED = """
configfile: "deployed.yaml"


module geffect:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from geffect


rule own:
    default_target: True
    input:
        rules.data.output,
    output:
        "own.txt",
    shell:
        "echo done > {{output}}"
"""


def test_a_deployer_uses_the_workflow_as_a_module(checkout, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    ours, theirs = checkout(tmp_path / "ours"), tmp_path / "theirs"
    config = yaml.safe_load((ours / "config.yaml").read_text())
    update_config(config, yaml.safe_load(NANO.read_text()))
    (theirs / "deployed.yaml").write_text(yaml.safe_dump(config))
    (theirs / "geffect.py").write_text("raise RuntimeError('the deployer has such a file too')\n")
    snakefile = ours / "workflow" / "Snakefile"
    (theirs / "Snakefile").write_text(DEPLOYED.format(snakefile=snakefile))
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=theirs,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (theirs / "own.txt").read_text() == "done\n"
    assert (theirs / "results/nano/data/full.parquet").is_file()
