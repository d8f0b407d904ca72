"""Log-probabilities that are computed before a run: those of a θ_o beside it, bit for bit."""

import dataclasses

import pytest
import torch
from settings import PAPER

from geffect.effects.selection import SelectionSettings, TokenSelection
from geffect.models.compute import computing_in
from geffect.models.folder import load_model, save_model
from geffect.training.resume import Resume
from geffect.training.unlearning import Observers, Run

pytestmark = pytest.mark.slow

SETTINGS = dataclasses.replace(PAPER, batch_size=4, micro_batch_size=3, learning_rate=1e-3)


@pytest.fixture
def original(tiny_model, tokenizer, tmp_path):
    model = tiny_model("llama", dtype=torch.float32, tokenizer=tokenizer)
    save_model(model, tokenizer, tmp_path / "model")
    return tmp_path / "model"


def trained(run, settings=SETTINGS, **given):
    """(weights, log) of a run."""
    outcome = run.train(settings, 3, Observers(), "run", **given)
    return torch.cat([p.detach().flatten() for p in run.model.parameters()]), outcome.rows


@pytest.mark.parametrize("objective", ["npo", "tnpo", "wtnpo"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("regularizer", "changes", "drop"),
    [
        (None, {}, 0),
        ("kl", {"reduction": "microbatch", "micro_batch_size": 2}, 0),
        ("nll", {"gradient_checkpointing": True, "length_bucket": 2}, 0.3),
    ],
)
def test_a_run_is_that_with_the_original_model_beside_it(
    objective, precision, regularizer, changes, drop, cell_of, original
):
    cell, settings = cell_of(objective, regularizer), dataclasses.replace(SETTINGS, **changes)

    def select(run):
        chosen = SelectionSettings(drop=drop, by="e_retain", every=1, rows=5)
        return TokenSelection(cell, run.losses["objective"], chosen, 2) if drop else None

    with computing_in(precision):
        run = Run(cell, original, "cpu")
        assert run.losses["objective"].original is None
        stored = trained(run, settings, select=select(run))
        run = Run(cell, original, "cpu")
        beside = load_model(original)
        run.losses = {n: loss.bind(beside, loss.control_vector) for n, loss in run.losses.items()}
        live = trained(run, settings, select=select(run))
    assert torch.equal(stored[0], live[0])
    assert stored[1] == live[1]
    assert len({row["weight_objective"] for row in stored[1]}) > 1, "θ has moved away from θ_o"


def test_a_resumed_run_refers_to_where_it_began(cell_of, original, tmp_path):
    cell = cell_of("npo", None)
    whole = trained(Run(cell, original, "cpu"))

    class Ended(BaseException):
        pass

    class Stops(Resume):
        def save(self, state):
            super().save(state)
            if state.step == 6:
                raise Ended

    with pytest.raises(Ended):
        trained(Run(cell, original, "cpu"), resume=Stops(tmp_path / "work", [], 3))
    resumed = trained(Run(cell, original, "cpu"), resume=Resume(tmp_path / "work", [], 3))
    assert torch.equal(resumed[0], whole[0])
    assert resumed[1] == whole[1]
