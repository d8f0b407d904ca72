"""Whatever rests in the machine's memory, a run is the same bit for bit."""

import dataclasses
import functools

import pandas as pd
import pytest
import torch
from settings import PAPER

from geffect.effects.measurement import Measurement, measure_checkpoints
from geffect.errors import ModelError
from geffect.losses.loss import Loss
from geffect.models import offload
from geffect.models.compute import computing_in
from geffect.models.folder import save_model
from geffect.models.offload import Parked, offloading
from geffect.names import OFFLOADED
from geffect.training.resume import Resume
from geffect.training.unlearning import Run

SETTINGS = dataclasses.replace(
    PAPER, epochs=2, batch_size=4, micro_batch_size=2, learning_rate=1e-3, weight_decay=0.1
)


class Ended(BaseException):
    """Stands for a killed process."""


class Stops(Resume):
    """Ends a run after its first state."""

    def save(self, state):
        super().save(state)
        raise Ended


@pytest.fixture
def original(tiny_model, tokenizer, tmp_path):
    model = tiny_model("llama", dtype=torch.float32, tokenizer=tokenizer)
    save_model(model, tokenizer, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def run(cell_of, original):
    """A function: the weights, log and tables of a cell's run with measurement, and the run."""

    cells = functools.cache(cell_of)  # it draws rows anew

    def train(objective, regularizer, parts, resume=None, **measured):
        cell = cells(objective, regularizer)
        with offloading(*parts):
            run = Run(cell, original, "cpu")
            found = Measurement(cell, run.draws, {}, cell.held_out, 3, **measured)
            found.begin(run.model, run.original if found.looks_at_original else None)
            outcome = run.train(SETTINGS, 3, found, "run", resume=resume)
        weights = torch.cat([p.detach().flatten() for p in run.model.parameters()])
        return weights, outcome.rows, found.tables(), found

    return train


def check_equal(found, expected):
    assert torch.equal(found[0], expected[0])
    assert found[1] == expected[1]
    assert set(found[2]) == set(expected[2])
    for name, table in expected[2].items():
        pd.testing.assert_frame_equal(found[2][name], table, check_exact=True)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("objective", "regularizer", "change"),
    [("ga", None, "simpson"), ("npo", "kl", "trapezoid"), ("rmu", "rr", "simpson")],
)
def test_everything_is_as_on_the_card(objective, regularizer, change, precision, run):
    with computing_in(precision):
        expected = run(objective, regularizer, [], change=change)
        found = run(objective, regularizer, OFFLOADED, change=change)
    check_equal(found, expected)
    assert not isinstance(expected[3].previous[2], Parked)
    _, gradients, weights = found[3].previous
    assert all(isinstance(held, Parked) for held in (weights, *gradients.values()))


@pytest.mark.parametrize("part", OFFLOADED)
def test_each_part_alone(part, run):
    check_equal(run("wga", "kl", [part]), run("wga", "kl", []))


def test_a_killed_run_goes_on_from_what_was_parked(run, tmp_path):
    expected = run("tnpo", "nll", [])
    with pytest.raises(Ended):
        run("tnpo", "nll", OFFLOADED, resume=Stops(tmp_path / "work", [], 3))
    resumed = run("tnpo", "nll", OFFLOADED, resume=Resume(tmp_path / "work", [], 3))
    check_equal(resumed, expected)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_checkpoints_are_measured_as_on_the_card(precision, cell_of, original, run, tmp_path):
    cell = cell_of("npo", "kl")
    with computing_in(precision):
        other = Run(cell, original, "cpu")
        with torch.no_grad():
            for parameter in other.model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
        save_model(other.model, cell.encoder.tokenizer, tmp_path / "other")
        tables = []
        for parts in ((), OFFLOADED):
            with offloading(*parts):
                probes = {"rr": Loss.load("regularizer", "rr", {"layer": 1})}
                found = Measurement(cell, other.draws, probes, cell.held_out, 3)
                checkpoints = [(0, original), (5, tmp_path / "other")]
                measure_checkpoints(checkpoints, found, "cpu", "measured")
            tables.append(found.tables())
    for name, table in tables[0].items():
        pd.testing.assert_frame_equal(tables[1][name], table, check_exact=True)


def test_only_what_is_offloaded_is_ever_away(run, monkeypatch):
    def refuse(tensor):
        raise AssertionError("a tensor was parked")

    monkeypatch.setattr(offload, "lowered", refuse)
    run("npo", "kl", [])
    for part in OFFLOADED:
        with pytest.raises(AssertionError, match="parked"):
            run("npo", "kl", [part])


def test_an_unknown_part_is_refused():
    with pytest.raises(ModelError, match="offload: 'weights' is unknown; use shares, "):
        offload.prepare(["shares", "weights"])
