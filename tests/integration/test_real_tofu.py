"""The chain on 400 rows of the real TOFU; needs GEFFECT_TOFU, the folder with its files."""

import pandas as pd
import pytest
from checkout import Checkout

pytestmark = pytest.mark.tofu


@pytest.fixture(scope="module")
def main_table(tmp_path_factory, checkout):
    folder = checkout(tmp_path_factory.mktemp("tofu"))
    run = Checkout(folder)
    run.configuration = ("config/tofu_small.yaml",)
    run.snakemake("--cores", 2)
    print((folder / "results/tofu_small/tables/main.md").read_text())
    table = pd.read_csv(folder / "results/tofu_small/tables/main.csv")
    return table.set_index(["objective", "regularizer"])


def test_the_original_model_knows_what_it_will_unlearn(main_table):
    original = main_table.loc[("original", "none")]
    assert original["prob_unlearn"] >= 0.9
    assert original["es_exact_unlearn"] >= 0.9


def test_the_retain_model_does_not(main_table):
    assert main_table.loc[("retain_model", "none"), "es_exact_unlearn"] <= 0.3
    assert main_table.loc[("retain_model", "none"), "fq"] == 1
    assert main_table.loc[("original", "none"), "fq"] < 0.01


def test_every_cell_is_in_the_table_and_unlearns(main_table):
    for cell in [("ga", "none"), ("wga", "none"), ("npo", "none"), ("ga", "kl")]:
        row = main_table.loc[cell]
        assert row["status"] == "ok"
        assert row["e_unlearn"] < 0
        assert row["es_exact_unlearn"] < main_table.loc[("original", "none"), "es_exact_unlearn"]
