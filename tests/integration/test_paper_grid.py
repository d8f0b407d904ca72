"""config.yaml as it stands, with two models that are random and tiny, through the whole workflow.

What stands for a model of the hub keeps every switch of its entry: precision, gradient
checkpointing, offloading, micro-batches, template, resources. Cells are some of the grid's.
"""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import TABLES, Checkout
from cluster import Cluster
from submitting import Submitted

from geffect.config import Config
from geffect.cost.command import configuration

pytestmark = pytest.mark.slow

RUN, SPLIT, SEED, BLOCKS = "tiny", "forget10", 42, 3
# Numbers alone: how many rows, updates and tokens there are, and how large a model is.
SHORTER = {
    "run": RUN,
    "data": {
        "source": "fictional",
        "fictional": {"authors": 16, "real_authors": 6, "world_facts": 6},
        "held_out_rows": 16,
    },
    "training": {
        "base_training": {"epochs": 1, "batch_size": 12},
        "finetune": {"epochs": 1},
        "unlearn": {"epochs": 2},
        "checkpoint_every": 1,
    },
    "evaluation": {"max_rows": 4, "generation_length": 60, "bootstrap": 20},
    "compute": {"device": "cpu"},
}
SIZES = {
    "num_hidden_layers": BLOCKS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
}
ARCHITECTURES = {"phi-1_5": "phi", "llama-2-7b": "llama"}
CELLS = {
    "phi-1_5": ["ga+nll", "po+kl", "wga_a0.5+none", "rmu_l9_c1+none"],
    "llama-2-7b": ["ga+none", "ga+rr", "npo_b1+none", "wtnpo+kl", "tnpo_b1+none", "rmu+none"],
}

SUBMITTED = {"phi-1_5": "wga_a0.5+none", "llama-2-7b": "wtnpo+kl"}


def kind(objective):
    """An objective, and whether it is one of a sweep: wga_a0.5 -> wga_a."""
    return re.sub(r"[0-9.]", "", objective)


def stand_in(config, model):
    """What goes over the entry of a model of the hub."""
    return {
        "source": "scratch",
        "architecture": ARCHITECTURES[model],
        "config": SIZES,
        "vocabulary": 400,
        "background_repeats": 1,
        "precision": config.compute(model)["precision"],
        "base_training": {"learning_rate": 1.0e-3},
    }


def fewer_layers(variant, blocks):
    """What goes over a variant so that its layers lie at the same share of a model's blocks."""
    found = {}
    if "layer" in variant:
        found["layer"] = max(1, round(variant["layer"] / max(blocks.values()) * BLOCKS))
    for name, own in variant.get("models", {}).items():
        layer = max(1, round(own["layer"] / blocks[name] * BLOCKS))
        found.setdefault("models", {})[name] = {"layer": layer}
    return found


def cell_of(model, cell):
    """The folder of a cell, from that of the checkout."""
    return f"results/{RUN}/cells/{model}/{SPLIT}/{cell}/seed{SEED}"


@pytest.fixture(scope="module")
def literal():
    return Config(configuration([], []))


@pytest.fixture(scope="module")
def run(literal, checkout, tmp_path_factory):
    raw = literal.raw
    blocks = {model: literal.layers(model) for model in literal.models}
    changed = {
        **SHORTER,
        "models": {model: stand_in(literal, model) for model in literal.models},
        "grid": [
            {
                "models": [model],
                "splits": [SPLIT],
                "objectives": [cell.partition("+")[0]],
                "regularizers": [cell.partition("+")[2]],
                "seeds": [SEED],
            }
            for model, cells in CELLS.items()
            for cell in cells
        ],
    }
    for section in ("objectives", "regularizers"):
        changed[section] = {name: fewer_layers(own, blocks) for name, own in raw[section].items()}
    made = Checkout(checkout(tmp_path_factory.mktemp("paper")))
    made.configuration = (made.folder / "tiny.yaml",)
    made.configuration[0].write_text(yaml.safe_dump(changed))
    made.log = made.snakemake("--cores", 2, "cells", f"results/{RUN}/tables/main.csv")
    return made


def test_the_cells_have_all_kinds_of_the_grid(literal):
    grid = {(cell.model, f"{cell.objective}+{cell.regularizer}") for cell in literal.cells}
    own = {(model, cell) for model, cells in CELLS.items() for cell in cells}
    assert own <= grid and {model for model, _ in own} == {model for model, _ in grid}

    def kinds(cells):
        parts = [cell.partition("+")[::2] for _, cell in cells]
        return {kind(objective) for objective, _ in parts}, {other for _, other in parts}

    used = {re.sub(r"_.*", "", name) for name in kinds(own)[0]}
    assert used == {re.sub(r"_.*", "", name) for name in kinds(grid)[0]}
    sweeps = [{name for name in kinds(cells)[0] if "_" in name} for cells in (own, grid)]
    assert sweeps[0] == sweeps[1]
    assert kinds(own)[1] == kinds(grid)[1]


@pytest.mark.parametrize("model", CELLS)
def test_every_cell_is_trained_measured_and_evaluated(model, run, literal):
    for cell in CELLS[model]:
        folder = run.folder / cell_of(model, cell)
        found = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        terms = {"objective", "combined"} | ({"regularizer"} if "+none" not in cell else set())
        if cell == "ga+none":
            terms |= {f"probe.{name}" for name in literal.raw["geffect"]["probes"]["regularizers"]}
        assert set(found["geffect"]["term"]) == terms, cell
        assert set(found["geffect"]["step"]) == {0, 1, 2}
        assert np.isfinite(found["geffect"]["geffect"]).all(), cell
        for name in ("instances", "tokens"):
            assert np.isfinite(found[name][["e_unlearn", "e_retain"]]).all(axis=None), cell
        log = pd.read_parquet(folder / "training.parquet")
        assert len(log) == 2 and not log["diverged"].any() and (log["grad_norm"] > 0).all()
        assert len(pd.read_parquet(folder / "metrics.parquet")) > 10


def test_the_main_table_has_every_cell(run):
    main = pd.read_csv(run.folder / f"results/{RUN}/tables/main.csv")
    there = {(row.model, f"{row.objective}+{row.regularizer}") for row in main.itertuples()}
    assert {(model, cell) for model, cells in CELLS.items() for cell in cells} <= there
    assert (main["status"] == "ok").all()


@pytest.mark.slurm
def test_through_the_profile_jobs_get_what_their_model_names_and_cells_have_the_same_bytes(
    run, literal, checkout, tmp_path, tmp_path_factory
):
    names = [f"{cell_of(*submitted)}/metrics.parquet" for submitted in SUBMITTED.items()]
    with Cluster(tmp_path / "slurm") as slurm:
        folder = checkout(tmp_path_factory.mktemp("copy"))
        copy = Submitted(folder, slurm.environment, configuration=run.configuration[0])
        for name in ("data", "models", "references"):
            made = f"results/{RUN}/{name}"
            shutil.copytree(run.folder / made, folder / made)
        copy.submit(*names)
    requested = {"unlearn": "unlearn_in_run", "evaluate": "evaluate"}
    assert sorted(line[0] for line in copy.scripts) == sorted([*requested, *requested])
    assert all(line[-2] == "gpu" and line[-1] in ("0", "1") for line in copy.scripts)
    logs = [path.read_text() for path in (copy.folder / "results/slurm_logs").rglob("*.log")]
    for model, cell in SUBMITTED.items():
        for rule, stage in requested.items():
            wanted = literal.resources(model, stage)["mem_mb"]
            found = [t for t in logs if f"rule {rule}:" in t and cell_of(model, cell) in t]
            assert len(found) == 1 and f"mem_mb={wanted}," in found[0], (model, stage)
        for name in (*TABLES, "training", "metrics", "samples"):
            file = f"{cell_of(model, cell)}/{name}.parquet"
            assert (copy.folder / file).read_bytes() == (run.folder / file).read_bytes(), file
