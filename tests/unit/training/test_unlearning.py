"""A cell's run: when it is watched, what it leaves behind, and that watching changes nothing."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from settings import PAPER

from geffect.cells.draws import Draws
from geffect.effects.measurement import Measurement, measure_checkpoints
from geffect.effects.selection import SelectionSettings, TokenSelection
from geffect.errors import ConfigError
from geffect.losses.loss import regularizer
from geffect.models import folder
from geffect.models.checkpoints import Checkpoints, moved_until, trajectory
from geffect.models.folder import diverged, load_model, save_model
from geffect.training import unlearning
from geffect.training.unlearning import Observers, Run

SETTINGS = dataclasses.replace(PAPER, batch_size=4, micro_batch_size=2, learning_rate=1e-3)
EVERY, LAST = 5, 12


@pytest.fixture
def original(tiny_model, tokenizer, tmp_path):
    """The folder of a random float32 model."""
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def outputs(tmp_path):
    names = {
        "model": "final",
        "draws": "draws.safetensors",
        "training": "training.parquet",
        "provenance": "provenance.json",
    }
    return SimpleNamespace(**{name: tmp_path / file for name, file in names.items()})


class Observer:
    """Observes with a function."""

    def __init__(self, look=lambda model, step: None):
        self.look = look

    def at(self, model, step, moved):
        self.look(model, step)

    def state(self):
        return {}

    def resume(self, model, state):
        pass


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_less_than_one_batch_of_forget_rows_is_a_config_error(cell_of, original):
    run = Run(cell_of(forget=3), original, "cpu")
    settings = dataclasses.replace(SETTINGS, epochs=1)
    with pytest.raises(ConfigError, match="batch_size"):
        run.train(settings, EVERY, Observer(), "unlearning")


def test_a_run_hands_its_cells_losses_batches_and_seed_to_the_loop(cell_of, original, monkeypatch):
    handed = {}

    def noted(model, losses, visits, settings, rows, what, **given):
        handed.update(given, model=model, losses=losses, visits=visits, rows=rows)
        handed.update(settings=settings, what=what)

    monkeypatch.setattr(unlearning, "train", noted)
    run, observer, resume = Run(cell_of("rmu", "kl"), original, "cpu"), Observer(), object()
    settings = dataclasses.replace(SETTINGS, length_bucket=3, micro_batch_size=1)
    run.train(settings, 4, observer, "a run", resume)
    given = {"model": run.model, "settings": settings, "rows": 10, "what": "a run"}
    given |= {"observer": observer, "every": 4, "resume": resume, "seed": run.cell.seed}
    assert given.items() <= handed.items()
    for name, visit in run.cell.visits(LAST, 4, 3).items():
        for step in range(1, LAST + 1):
            assert handed["visits"][name](step) == visit(step)
    objective, regularizer = (handed["losses"][name] for name in ("objective", "regularizer"))
    assert torch.equal(objective.control_vector, run.draws.control_vector)
    assert objective.original is None and regularizer.original is run.original
    assert (objective.name, regularizer.coefficient) == ("rmu", 0.5)


def test_a_run_is_watched_at_its_ends_and_every_few_steps_in_evaluation_mode(cell_of, original):
    run, seen = Run(cell_of("ga", "kl"), original, "cpu"), []

    def look(model, step):
        assert not model.training
        assert all(p.grad is None for p in model.parameters())
        seen.append((step, weights(model)))

    outcome = run.train(SETTINGS, EVERY, Observer(look), "unlearning")
    assert [step for step, _ in seen] == [0, 5, 10, LAST]
    assert torch.equal(seen[0][1], weights(load_model(original, "cpu")))
    assert torch.equal(seen[-1][1], weights(run.model))
    assert len(outcome.rows) == LAST
    assert outcome.rows[0]["loss_regularizer"] == 0, "KL is zero at the original model"


def test_the_original_model_is_there_only_where_a_loss_looks_at_it(cell_of, original, monkeypatch):
    loaded = []
    monkeypatch.setattr(folder, "load_model", lambda *a: loaded.append(a) or load_model(*a))
    Run(cell_of("ga", "nll"), original, "cpu").train(SETTINGS, EVERY, Observer(), "unlearning")
    assert len(loaded) == 1
    Run(cell_of("npo", "nll"), original, "cpu").train(SETTINGS, EVERY, Observer(), "unlearning")
    assert len(loaded) == 2, "log-probabilities are computed at the start of a run"
    run = Run(cell_of("npo", "kl"), original, "cpu")
    run.train(SETTINGS, EVERY, Observer(), "unlearning")
    assert len(loaded) == 4
    assert torch.equal(weights(run.original), weights(load_model(original, "cpu")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "against", "probes", "by", "rows"),
    [
        ("dpo", "ap", [], None, ["held_out", "train"]),
        ("rmu", "rr", [], None, ["train", "held_out"]),
        ("ga", None, ["kl", "nll"], "random", ["held_out", "train"]),
        ("po", "nll", [], None, ["train", "held_out"]),
        ("tnpo", "kl", [], "e_retain", ["held_out", "train"]),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "gradient checkpointing"])
def test_measured_inside_the_run_or_from_checkpoints_the_numbers_are_equal(
    objective, against, probes, by, rows, checkpointing, cell_of, original, outputs, tmp_path
):
    retain_rows = rows[checkpointing]  # with each loss both, so that all pairs are there
    settings = dataclasses.replace(SETTINGS, gradient_checkpointing=checkpointing)
    cell = cell_of(objective, against)
    chosen = None if by is None else SelectionSettings(drop=0.2, by=by, every=1, rows=5)

    def select(run):
        loss = run.losses["objective"]
        return None if chosen is None else TokenSelection(cell, loss, chosen, 2)

    probes = {name: regularizer(name) for name in probes}

    stored = Run(cell, original, "cpu")
    checkpoints = Checkpoints(tmp_path / "checkpoints", LAST)
    stored.save(stored.train(settings, EVERY, checkpoints, "run", select=select(stored)), outputs)
    draws = Draws.load(outputs.draws)
    retain = cell.held_out if retain_rows == "held_out" else cell.sample(draws)
    later = Measurement(cell, draws, probes, retain, 3, selection=chosen)
    folders = trajectory(original, tmp_path / "checkpoints", outputs.model, LAST)
    moved = partial(moved_until, tmp_path / "checkpoints")
    measure_checkpoints(folders, later, "cpu", "geffect", moved)

    measured = Run(cell, original, "cpu")
    inside = Measurement(cell, measured.draws, probes, retain, 3, selection=chosen)
    inside.begin(measured.model, measured.original if inside.looks_at_original else None)
    outcome = measured.train(settings, EVERY, inside, "run", select=select(measured))

    for name, frame in inside.tables().items():
        pd.testing.assert_frame_equal(frame, later.tables()[name], check_exact=True)
    assert torch.equal(weights(measured.model), weights(stored.model)), "measuring moved the run"
    pd.testing.assert_frame_equal(
        outcome.frame(), pd.read_parquet(outputs.training), check_exact=True
    )


def test_several_observers_see_the_same_run_and_keep_their_tables(cell_of, original, tmp_path):
    cell = cell_of("npo", "kl")
    runs = [Run(cell, original, "cpu") for _ in range(2)]
    inside = [Measurement(cell, run.draws, {}, cell.held_out, 3) for run in runs]
    for run, measurement in zip(runs, inside, strict=True):
        measurement.begin(run.model, run.original)
    kept = Checkpoints(tmp_path / "checkpoints", LAST, [5])
    both = Observers(kept, inside[1])
    for run, observer in zip(runs, (inside[0], both), strict=True):
        run.train(SETTINGS, EVERY, observer, "run")
    assert set(both.state()) == set(inside[0].state()) > set()
    for name, frame in inside[0].tables().items():
        pd.testing.assert_frame_equal(frame, inside[1].tables()[name], check_exact=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00005"]
    resumed = Measurement(cell, runs[1].draws, {}, cell.held_out, 3)
    resumed.begin(runs[1].original, runs[1].original)
    Observers(kept, resumed).resume(runs[1].model, both.state())
    for name, frame in both.state().items():
        pd.testing.assert_frame_equal(resumed.state()[name], frame, check_exact=True)


def test_a_diverged_run_leaves_a_record_and_its_log(cell_of, original, outputs):
    run = Run(cell_of("ga", None), original, "cpu")
    settings = dataclasses.replace(SETTINGS, learning_rate=1e30, max_grad_norm=None)
    run.save(run.train(settings, EVERY, Observer(), "run"), outputs)
    log = pd.read_parquet(outputs.training)
    assert diverged(outputs.model)["step"] == log["step"].iloc[-1]
    assert log["diverged"].tolist() == [False] * (len(log) - 1) + [True]
