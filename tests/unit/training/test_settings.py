"""Training settings: what is left out, and how many updates there are."""

import dataclasses

import pytest

from geffect.errors import ConfigError
from geffect.training.settings import TrainingSettings

NEEDED = {
    "epochs": 5,
    "batch_size": 16,
    "micro_batch_size": 4,
    "learning_rate": 1e-5,
    "weight_decay": 0.01,
    "warmup_epochs": 1,
    "schedule": "linear",
    "max_grad_norm": 1.0,
}


def test_what_is_left_out_is_plain():
    assert dataclasses.asdict(TrainingSettings(**NEEDED)) == NEEDED | {
        "reduction": "global",
        "gradient_checkpointing": False,
        "length_bucket": 0,
        "lora": None,
    }


def test_updates_and_warm_up_follow_epochs_rows_and_batch(rng):
    for _ in range(20):
        rows, batch = int(rng.integers(1, 500)), int(rng.integers(1, 40))
        epochs, warmup = float(rng.uniform(0.5, 6)), float(rng.uniform(0, 3))
        settings = TrainingSettings(
            **NEEDED | {"epochs": epochs, "batch_size": batch, "warmup_epochs": warmup}
        )
        if epochs * rows < batch:
            with pytest.raises(ConfigError, match="lower batch_size or raise epochs"):
                settings.steps(rows)
        else:
            assert settings.steps(rows) == int(epochs * rows // batch)
        assert settings.warmup(rows) == max(1, int(warmup * rows // batch))
