"""The split of AdamW's displacement against a brute-force AdamW in float64."""

import copy
import dataclasses
import itertools

import pytest
import torch
from common import declarations
from settings import PAPER

from geffect.names import DECAY, REGULARIZER
from geffect.training.loop import train
from geffect.training.resume import Resume
from geffect.training.shares import Shares

OBJECTIVES = [spec.name for spec in declarations() if spec.kind == "objective"]
REGULARIZERS = [spec.name for spec in declarations() if spec.kind == "regularizer"]
# The split is linear in both: every loss once is enough.
PAIRS = list(zip(OBJECTIVES, itertools.cycle(REGULARIZERS), strict=False))
SMALL = dataclasses.replace(
    PAPER, epochs=5, batch_size=6, micro_batch_size=4, learning_rate=1e-2, warmup_epochs=2
)


class Record:
    """Keeps the displacements between looks."""

    def __init__(self):
        self.seen = []

    def at(self, model, step, moved):
        self.seen.append(
            (
                step,
                {n: p.detach().clone() for n, p in model.named_parameters()},
                {s: {n: t.clone() for n, t in share.items()} for s, share in moved.items()},
            )
        )

    def state(self):
        return {}

    def resume(self, model, state):
        pass


@pytest.fixture
def case(tiny_model, moved, random_examples, control_vector, loss_of):
    """A function: start, losses and examples of a run of five updates on six rows."""

    def build(objective, regularizer, coefficient=0.7):
        original = tiny_model("phi")
        losses = {"objective": loss_of("objective", objective, original, control_vector())}
        if regularizer is not None:
            losses["regularizer"] = loss_of(
                "regularizer", regularizer, original, coefficient=coefficient
            )
        examples = {name: random_examples(6) for name in losses}
        return moved(original), losses, examples

    return build


def run(case, settings, every=2, resume=None, steps=None):
    start, losses, examples = case
    visits = {name: lambda step, e=e: e for name, e in examples.items()}
    record = Record()
    train(copy.deepcopy(start), losses, visits, settings, 6, "x", record, every, resume=resume)
    return record.seen


def brute_force(case, settings, naive_values):
    """Every term's displacement per step, with both first moments kept in full."""
    start, losses, examples = case
    model = copy.deepcopy(start)
    names, parameters = zip(*model.named_parameters(), strict=True)
    beta1, beta2, eps, wd = 0.9, 0.999, 1e-8, settings.weight_decay
    moments = {name: [torch.zeros_like(p) for p in parameters] for name in losses}
    second = [torch.zeros_like(p) for p in parameters]
    steps, warmup = settings.steps(6), settings.warmup(6)
    found = []
    for t in range(1, steps + 1):
        done = t - 1
        factor = done / warmup if done < warmup else (steps - done) / (steps - warmup)
        rate = settings.learning_rate * factor
        gradients, reached = {}, [False] * len(parameters)
        for name, loss in losses.items():
            values = naive_values(model, loss, examples[name])
            mean = loss.coefficient * values.mean()
            g = torch.autograd.grad(mean, parameters, allow_unused=True)
            reached = [was or x is not None for was, x in zip(reached, g, strict=True)]
            gradients[name] = [
                torch.zeros_like(p) if x is None else x for x, p in zip(g, parameters, strict=True)
            ]
        total = [sum(gs) for gs in zip(*gradients.values(), strict=True)]
        norm = torch.sqrt(sum((g**2).sum() for g in total))
        limit = settings.max_grad_norm
        clip = 1.0 if limit is None else min(1.0, limit / (norm.item() + 1e-6))
        moved = {name: [] for name in (*losses, DECAY)}
        with torch.no_grad():
            for k, p in enumerate(parameters):
                second[k] = beta2 * second[k] + (1 - beta2) * (clip * total[k]) ** 2
                scale = (second[k] / (1 - beta2**t)).sqrt() + eps
                moved[DECAY].append(-rate * wd * p * reached[k])
                for name in losses:
                    moments[name][k] = (
                        beta1 * moments[name][k] + (1 - beta1) * clip * gradients[name][k]
                    )
                    moved[name].append(-rate * moments[name][k] / (1 - beta1**t) / scale)
            for k, p in enumerate(parameters):
                p.add_(sum(moved[name][k] for name in moved))
        found.append(
            {name: dict(zip(names, tensors, strict=True)) for name, tensors in moved.items()}
        )
    return found


@pytest.mark.parametrize(("objective", "regularizer"), PAIRS)
@pytest.mark.parametrize(
    ("limit", "decay"), [(None, 0.0), (1e-2, 0.0), (1e-2, 0.1)], ids=["free", "clipped", "decayed"]
)
def test_the_split_is_that_of_two_optimisers_kept_in_full(
    objective, regularizer, limit, decay, case, naive_values
):
    chosen = case(objective, regularizer)
    settings = dataclasses.replace(SMALL, max_grad_norm=limit, weight_decay=decay)
    seen = run(chosen, settings)
    expected = brute_force(chosen, settings, naive_values)
    assert [step for step, *_ in seen] == [0, 2, 4, 5]
    assert seen[0][2] == {}
    names = {REGULARIZER, DECAY} if decay else {REGULARIZER}
    for (start, before, _), (end, after, moved) in itertools.pairwise(seen):
        assert set(moved) == names
        for share in (REGULARIZER, DECAY):
            for name in before:
                whole = sum(step[share][name] for step in expected[start:end])
                scale = (after[name] - before[name]).norm() + whole.norm()
                if share in moved:
                    assert (moved[share][name] - whole).norm() <= 1e-6 * scale, (share, name)
                else:
                    assert not whole.any()
        for name in before:
            whole = sum(sum(s[name] for s in step.values()) for step in expected[start:end])
            assert (after[name] - before[name] - whole).norm() <= 1e-6 * whole.norm() + 1e-12


def test_without_regularizer_and_decay_nothing_is_kept(case):
    assert all(moved == {} for *_, moved in run(case("ga", None), SMALL))
    decayed = run(case("ga", None), dataclasses.replace(SMALL, weight_decay=0.1))
    assert all(set(moved) == {DECAY} for *_, moved in decayed[1:])


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
@pytest.mark.parametrize("every", [2, 3])
def test_the_split_goes_on_bit_for_bit_after_a_resume_at_any_step(stop, every, case, tmp_path):
    chosen = case("npo", "nll")
    settings = dataclasses.replace(SMALL, weight_decay=0.1)
    whole = run(chosen, settings, every)
    resume = Resume(tmp_path / "work", "same", 1)
    save = resume.save

    def stopped(state):
        save(state)
        if state.step == stop:
            raise Stopped

    resume.save = stopped
    with pytest.raises(Stopped):
        run(chosen, settings, every, resume)
    again = run(chosen, settings, every, Resume(tmp_path / "work", "same", 1))
    missing = [entry for entry in whole if entry[0] > stop]
    assert [step for step, *_ in again] == [step for step, *_ in missing]
    for (_, weights, moved), (_, weights_again, moved_again) in zip(missing, again, strict=True):
        for name in weights:
            assert torch.equal(weights[name], weights_again[name])
        for share in moved:
            for name in moved[share]:
                assert torch.equal(moved[share][name], moved_again[share][name]), (share, name)


@pytest.mark.parametrize("regularizer", ["kl", "rr"])
def test_where_a_loss_attains_its_minimum_it_moves_nothing(
    regularizer, tiny_model, random_examples, loss_of
):
    original = tiny_model("phi", dtype=torch.float32)
    losses = {
        "objective": loss_of("objective", "ga", original),
        "regularizer": loss_of("regularizer", regularizer, original),
    }
    chosen = (original, losses, {name: random_examples(6) for name in losses})
    # The first update has learning rate 0, so the first two both see θ_o.
    seen = run(chosen, SMALL, every=1)
    for step, _, moved in seen[1:3]:
        assert not any(t.any() for t in moved[REGULARIZER].values()), step
    assert any(t.any() for t in seen[3][2][REGULARIZER].values())


@pytest.mark.parametrize("observed", [False, True])
def test_where_nobody_looks_nothing_is_kept(observed, tiny_model):
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    kept = {name.partition(".")[0] for name in Shares(model, optimizer, True, observed).state()}
    assert kept == ({"moment", REGULARIZER, DECAY} if observed else set())
