"""The first page says how the runs were made."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from geffect.errors import DamagedError
from geffect.report.pages.setup import Rows, described, model_facts


def record(objective="wga", hyper=None, regularizer=None, rate=1e-3, **more):
    training = {"batch_size": 4, "learning_rate": rate, "schedule": "linear", "warmup_epochs": 1}
    return {
        "settings": {
            "objective": {"name": objective, "hyper": hyper or {}},
            "regularizer": regularizer,
            "training": training | {"weight_decay": 0} | more,
            "checkpoint_every": 5,
            "compute": {"precision": "bf16"},
            "selection": None,
        }
    }


def cell(objective="wga", regularizer="none", seed=42):
    return {"objective": objective, "regularizer": regularizer, "seed": seed}


FACTS = {"architecture": "phi", "parameters": 1_234_567}


def test_a_model_is_counted_without_loading_it(tmp_path, rng):
    shapes = [tuple(int(n) for n in rng.integers(1, 9, 2)) for _ in range(4)]
    for number, pair in enumerate((shapes[:2], shapes[2:])):
        tensors = {f"t{number}{n}": np.zeros(shape) for n, shape in enumerate(pair)}
        save_file(tensors, tmp_path / f"model-{number}.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    parameters = sum(a * b for a, b in shapes)
    assert model_facts(tmp_path) == {"architecture": "llama", "parameters": parameters}
    (tmp_path / "model-0.safetensors").write_bytes(b"short")
    with pytest.raises(DamagedError, match="cannot be read"):
        model_facts(tmp_path)


def test_everything_that_a_reader_asks_for_is_there():
    kl = {"name": "kl", "hyper": {}, "coefficient": 2}
    records = [
        (cell(), record(hyper={"alpha": 5})),
        (cell(seed=43), record(hyper={"alpha": 5})),
        (cell("ga", "kl"), record("ga", regularizer=kl, rate=2e-5)),
    ]
    said = dict(described(records, FACTS, 6, Rows(20, 80), 25))
    assert said["Model"] == "phi, 6 blocks, 1.23 million parameters"
    assert said["Data"] == "20 rows to forget (D_u); 80 held out from it, to keep (D_r)"
    assert said["Runs"] == "3, with seeds 42 and 43"
    for part in ("25 updates", "batches of 4", "learning rate 0.001 or 2e-05", "every 5 updates"):
        assert part in said["Unlearning"]
    assert said["Objectives"] == "wga (α = 5), ga"
    assert said["Regularizers"] == "kl (λ = 2)"
    assert said["Precision"] == "bf16"


def test_rows_that_are_not_the_usual_ones_are_named():
    records = [(cell(), record(lora={"rank": 8}))]
    said = dict(described(records, FACTS, 0, Rows(20, 80, "train", 7), None))
    assert "adapters (LoRA) of rank 8" in said["Unlearning"]
    assert "retain rows of the training data" in said["Data"] and "at most 7 rows" in said["Data"]
    assert (
        "unknown number of blocks" in said["Model"] and "updates, batches" not in said["Unlearning"]
    )
    assert "Regularizers" not in said
