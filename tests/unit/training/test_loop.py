"""The training loop: what a step sees, what it does, what it logs."""

import copy
import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from settings import PAPER
from torch.optim.optimizer import register_optimizer_step_pre_hook

from geffect.data.draws import generator, order
from geffect.errors import ConfigError, LossError, ModelError
from geffect.models.compute import computing_in
from geffect.training.fit import fit
from geffect.training.loop import train

# Three steps on all six rows each; without warm-up, whose first update has learning rate 0.
SMALL = dataclasses.replace(
    PAPER, epochs=3, batch_size=6, micro_batch_size=3, learning_rate=1e-2, schedule="constant"
)


# What a step sees.
def test_every_epoch_is_a_permutation_across_batch_borders(rng, seed):
    rows, batch = int(rng.integers(3, 40)), int(rng.integers(1, 9))
    steps = 5 * rows // batch
    stream = order(rows, steps, batch, np.random.default_rng(seed)).ravel()
    assert len(stream) == steps * batch
    for start in range(0, len(stream), rows):
        epoch = stream[start : start + rows]
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(rows))
    assert set(stream[:rows]) == set(range(rows))


def test_last_partial_batch_is_dropped_and_not_filled_up():
    settings = dataclasses.replace(PAPER, epochs=1, batch_size=4)
    assert settings.steps(11) == 2
    rows = order(11, settings.steps(11), 4, np.random.default_rng(0))
    assert rows.shape == (2, 4)
    assert len(set(rows.ravel())) == 8


def test_order_depends_on_its_generator_alone(seed):
    def draw(value):
        return order(23, 9, 5, generator(value, "order"))

    assert np.array_equal(draw(seed), draw(seed))
    assert not np.array_equal(draw(seed), draw(seed + 1))


def test_generators_of_different_purposes_differ(seed):
    a, b = (generator(seed, purpose).random(8) for purpose in ("order", "pairs"))
    assert not np.array_equal(a, b)


def test_length_buckets_keep_the_rows_of_every_chunk(rng, seed):
    rows, batch, bucket = int(rng.integers(10, 40)), int(rng.integers(2, 6)), 3
    steps = 4 * rows // batch
    lengths = rng.integers(2, 50, size=rows)
    plain = order(rows, steps, batch, np.random.default_rng(seed))
    sorted_ = order(rows, steps, batch, np.random.default_rng(seed), lengths, bucket)
    assert sorted_.shape == plain.shape
    for start in range(0, steps, bucket):
        chunk = slice(start, start + bucket)
        assert Counter(sorted_[chunk].ravel()) == Counter(plain[chunk].ravel())
        ranges = sorted((lengths[b].min(), lengths[b].max()) for b in sorted_[chunk])
        for (_, longest), (shortest, _) in itertools.pairwise(ranges):
            assert longest <= shortest


@pytest.mark.parametrize(("rows", "steps"), [(40, 12), (200, 62), (400, 125)])
def test_number_of_updates_is_the_papers(rows, steps):
    assert PAPER.steps(rows) == steps


@pytest.mark.parametrize(
    ("rows", "warmup"), [(3, 1), (16, 1), (31, 1), (40, 2), (200, 12), (400, 25)]
)
def test_warm_up_is_one_epoch_and_at_least_one_update(rows, warmup):
    assert PAPER.warmup(rows) == warmup


class Each:
    """Observes every step with a function of model and step."""

    def __init__(self, look):
        self.look = look

    def at(self, model, step, moved):
        self.look(model, step)

    def state(self):
        return {}

    def resume(self, model, state):
        pass


# What a step does.
@pytest.fixture
def run(tiny_model, moved, random_examples, control_vector, loss_of):
    """A model, its original, and two losses on six rows each."""

    @dataclasses.dataclass
    class Run:
        original: torch.nn.Module
        start: torch.nn.Module
        losses: dict
        examples: dict

        def train(self, settings, **arguments):
            model = copy.deepcopy(self.start)
            return model, self.run(model, settings, **arguments)

        def run(self, model, settings, **arguments):
            visits = {name: lambda step, e=e: e for name, e in self.examples.items()}
            return train(model, self.losses, visits, settings, 6, "test", **arguments)

    def build(name="wtnpo", hyper=None, coefficient=0.7, dtype=torch.float64):
        original = tiny_model("phi", dtype=dtype)
        hyper = {"alpha": 0.5, "beta": 1.0} if hyper is None else hyper
        losses = {
            "objective": loss_of("objective", name, original, control_vector(), hyper),
            "regularizer": loss_of("regularizer", "kl", original, coefficient=coefficient),
        }
        examples = {"objective": random_examples(6), "regularizer": random_examples(6)}
        return Run(original, moved(original), losses, examples)

    return build


def weights(model):
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("ga", {}), ("npo", {"beta": 0.5}), ("wtnpo", None), ("rmu", {"layer": 2, "c": 2.0})],
)
def test_micro_batch_size_changes_nothing(name, hyper, run):
    case = run(name, hyper)
    models, logs = [], []
    for size in (1, 3, 4, 6):
        model, outcome = case.train(dataclasses.replace(SMALL, micro_batch_size=size))
        assert len(outcome.rows) == 3
        models.append(weights(model))
        logs.append(outcome.frame())
    assert not torch.equal(models[0], weights(case.start))
    for model, log in zip(models[1:], logs[1:], strict=True):
        torch.testing.assert_close(model, models[0], rtol=0, atol=1e-9)
        numbers = log.select_dtypes("number").to_numpy()
        assert numbers == pytest.approx(logs[0].select_dtypes("number").to_numpy(), rel=1e-7)


def test_microbatch_reduction_averages_the_means_of_micro_batches(run, naive_values):
    case = run()
    model, total = case.start, 0.0
    expected = {}
    for name, loss in case.losses.items():
        examples = case.examples[name]
        # 5 + 1 rows never hold equally many labels, so the pooled mean has to differ.
        means = [naive_values(model, loss, part).mean() for part in (examples[:5], examples[5:])]
        expected[name] = (sum(means) / 2).item()
        total = total + loss.coefficient * sum(means) / 2
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total, model.parameters())])

    settings = dataclasses.replace(SMALL, micro_batch_size=5, reduction="microbatch")
    row = case.train(settings)[1].rows[0]
    for name, value in expected.items():
        assert row[f"loss_{name}"] == pytest.approx(value, rel=1e-10)
    assert row["grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-10)

    other = case.train(dataclasses.replace(settings, reduction="global"))[1].rows[0]
    assert other["loss_objective"] != pytest.approx(row["loss_objective"], rel=1e-6)


def test_log_holds_losses_weights_norm_and_learning_rate_of_every_step(run, naive_values):
    case = run()
    settings = dataclasses.replace(SMALL, epochs=6, warmup_epochs=2, schedule="linear")
    states = {}

    def look(model, step):
        states[step] = copy.deepcopy(model.state_dict())

    _, outcome = case.train(settings, observer=Each(look))
    log = outcome.frame()
    assert outcome.diverged is None and not log["diverged"].any()
    assert [0, *log["step"]] == [0, 1, 2, 3, 4, 5, 6] == list(states)
    for row in log.to_dict("records"):
        before = copy.deepcopy(case.start)
        before.load_state_dict(states[row["step"] - 1])
        total = 0.0
        for name, loss in case.losses.items():
            mean = naive_values(before, loss, case.examples[name]).mean()
            assert row[f"loss_{name}"] == pytest.approx(mean.item(), rel=1e-10)
            total = total + loss.coefficient * mean
        weighting = dataclasses.replace(
            case.losses["objective"], values=case.losses["objective"].weights
        )
        weight = naive_values(before, weighting, case.examples["objective"]).mean().item()
        assert row["weight_objective"] == pytest.approx(weight, rel=1e-10)
        assert row["loss"] == pytest.approx(total.item(), rel=1e-10)
        gradient = torch.autograd.grad(total, before.parameters())
        norm = torch.cat([g.flatten() for g in gradient]).norm().item()
        assert row["grad_norm"] == pytest.approx(norm, rel=1e-10)
    factors = [0, 1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]
    expected = [settings.learning_rate * factor for factor in factors]
    assert log["learning_rate"].tolist() == pytest.approx(expected, rel=1e-12)
    assert "weight_regularizer" not in log


def test_an_observer_sees_the_weights_before_the_first_and_after_every_update(run):
    case, seen = run(), []

    def look(model, step):
        assert not model.training
        seen.append((step, weights(model).clone()))

    model, _ = case.train(SMALL, observer=Each(look))
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(seen[0][1], weights(case.start))
    assert not torch.equal(seen[1][1], weights(case.start))
    assert torch.equal(seen[-1][1], weights(model))
    assert not model.training


@pytest.mark.parametrize(("every", "expected"), [(2, [0, 2, 4, 5]), (5, [0, 5]), (9, [0, 5])])
def test_an_observer_looks_every_few_steps_and_at_both_ends(every, expected, run):
    seen = []
    settings = dataclasses.replace(SMALL, epochs=5)
    run().train(settings, observer=Each(lambda model, step: seen.append(step)), every=every)
    assert seen == expected


def test_dropout_is_on_in_training_alone_and_follows_the_seed(run):
    case = run()
    for module in case.start.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    modes = []
    case.start.model.layers[0].register_forward_pre_hook(
        lambda module, _: modes.append(module.training)
    )
    ends = [weights(case.train(SMALL, seed=seed)[0]) for seed in (1, 1, 2)]
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    assert all(modes)


def test_dropout_stays_on_after_every_look_and_no_look_is_felt(run):
    case, modes = run(), []
    for module in case.start.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
            module.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    unobserved, _ = case.train(SMALL, seed=1)
    observed, _ = case.train(SMALL, seed=1, observer=Each(lambda model, step: None))
    assert torch.equal(weights(observed), weights(unobserved))
    assert modes and all(modes)
    assert not observed.training and not unobserved.training


def test_bf16_computes_in_bfloat16_and_keeps_weights_in_float32(run):
    case, dtypes = run(dtype=torch.float32), set()
    case.start.model.layers[0].mlp.register_forward_hook(lambda m, i, out: dtypes.add(out.dtype))
    with computing_in("bf16"):
        model, outcome = case.train(SMALL)
    assert dtypes == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    plain = case.train(SMALL)[1]
    for half, full in zip(outcome.rows[:1], plain.rows[:1], strict=True):
        assert half["loss_objective"] != full["loss_objective"]
        assert half["loss_objective"] == pytest.approx(full["loss_objective"], rel=0.05)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_the_learning_rate_follows_its_schedule(schedule, run):
    settings = dataclasses.replace(SMALL, epochs=6, warmup_epochs=2, schedule=schedule)
    rates = run().train(settings)[1].frame()["learning_rate"] / settings.learning_rate
    after = {
        "linear": [1, 3 / 4, 2 / 4, 1 / 4],
        "cosine": [(1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)],
        "constant_with_warmup": [1, 1, 1, 1],
    }
    assert rates.tolist() == pytest.approx([0, 1 / 2, *after[schedule]], rel=1e-9)


@pytest.mark.parametrize("limit", [None, 1e-3, 1e9])
def test_gradient_norm_is_clipped_at_its_limit_and_logged_before(limit, run):
    norms = []

    def note(optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())

    handle = register_optimizer_step_pre_hook(note)
    try:
        outcome = run().train(dataclasses.replace(SMALL, max_grad_norm=limit))[1]
    finally:
        handle.remove()
    logged = [row["grad_norm"] for row in outcome.rows]
    expected = [norm if limit is None else min(norm, limit) for norm in logged]
    assert norms == pytest.approx(expected, rel=1e-4)
    assert min(logged) > 1e-3


def test_weight_decay_is_decoupled(run):
    case = run()
    plain = case.train(dataclasses.replace(SMALL, epochs=1))[0]
    decayed = case.train(dataclasses.replace(SMALL, epochs=1, weight_decay=0.1))[0]
    expected = weights(plain) - SMALL.learning_rate * 0.1 * weights(case.start)
    torch.testing.assert_close(weights(decayed), expected, rtol=0, atol=1e-12)


def test_gradient_checkpointing_changes_nothing(run):
    case = run()
    plain = case.train(SMALL)[0]
    model, _ = case.train(dataclasses.replace(SMALL, gradient_checkpointing=True))
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=1e-9)
    assert not model.is_activation_checkpointing


def test_reference_is_never_trained(run):
    case = run()
    before = weights(case.original).clone()
    case.train(SMALL)
    assert torch.equal(weights(case.original), before)
    assert all(p.grad is None for p in case.original.parameters())


# How a run ends.
def assert_ends_cleanly(case, settings, case_what):
    seen = []
    model, outcome = case.train(settings, observer=Each(lambda model, step: seen.append(step)))
    step, reason = outcome.diverged
    assert case_what in reason
    assert [row["step"] for row in outcome.rows] == list(range(1, step + 1))
    assert outcome.frame()["diverged"].tolist() == [False] * (step - 1) + [True]
    assert seen == list(range(step)), "a checkpoint of broken weights would be measured"
    assert not model.training
    return step


def test_run_with_a_huge_learning_rate_ends_cleanly(run):
    settings = dataclasses.replace(SMALL, epochs=8, learning_rate=1e38)
    assert assert_ends_cleanly(run(dtype=torch.float32), settings, "non-finite") < 8


def test_run_from_a_weight_that_is_nan_ends_at_its_first_step(run):
    case = run()
    with torch.no_grad():
        case.start.get_input_embeddings().weight[:, 0] = math.nan
    assert assert_ends_cleanly(case, SMALL, "non-finite loss") == 1


def test_fit_that_diverges_is_a_model_error_of_one_line(tiny_model, random_examples):
    settings = dataclasses.replace(SMALL, epochs=8, learning_rate=1e38)
    with pytest.raises(ModelError, match="base training: diverged at step") as error:
        model = tiny_model(dtype=torch.float32)
        fit(model, random_examples(6), settings, 1, "base training")
    assert "\n" not in str(error.value)


ONE_EPOCH = dataclasses.replace(PAPER, epochs=1)


def test_less_than_one_batch_is_a_config_error(run):
    with pytest.raises(ConfigError, match="batch_size"):
        run().train(ONE_EPOCH)


def test_a_layer_beyond_the_model_is_a_loss_error(run):
    case = run("rmu", {"layer": 4, "c": 1.0})
    with pytest.raises(LossError, match="rmu: layer 4, but PhiForCausalLM has 3 blocks"):
        case.train(SMALL)


@pytest.mark.parametrize("kind", ["objective", "regularizer"])
def test_a_loss_that_reaches_nothing_that_is_trained_is_a_loss_error(kind, run, loss_of):
    case = run("rmu", {"layer": 2, "c": 1.0}) if kind == "objective" else run("ga", {})
    if kind == "regularizer":
        case.losses[kind] = loss_of(kind, "rr", case.original, hyper={"layer": 2})
    case.start.requires_grad_(False).model.layers[2].requires_grad_(True)
    name = "rmu" if kind == "objective" else "rr"
    with pytest.raises(LossError, match=f"{name}: no weight that is trained is below what it"):
        case.train(SMALL)
    case.start.model.layers[1].requires_grad_(True)
    case.train(SMALL)


def test_less_than_one_batch_of_all_rows_is_a_config_error(tiny_model, random_examples):
    with pytest.raises(ConfigError, match="batch_size"):
        fit(tiny_model(), random_examples(15), ONE_EPOCH, 1, "fine-tuning")


def test_equal_seeds_give_equal_bits_and_different_seeds_do_not(tiny_model, random_examples, seed):
    start, examples = tiny_model("llama", dtype=torch.float32), random_examples(9)
    settings = dataclasses.replace(SMALL, batch_size=4, length_bucket=2)

    def fitted(seed):
        model = copy.deepcopy(start)
        log = fit(model, examples, settings, seed, "test")
        return weights(model), log

    (a, log_a), (b, log_b), (c, _) = fitted(seed), fitted(seed), fitted(seed + 1)
    assert torch.equal(a, b)
    assert log_a.equals(log_b)
    assert not torch.equal(a, c)


def test_fit_lowers_the_risk(tiny_model, random_examples):
    settings = dataclasses.replace(SMALL, epochs=20)
    log = fit(tiny_model(), random_examples(6), settings, 1, "test")
    assert log["loss_risk"].iloc[-1] < log["loss_risk"].iloc[0]
    assert log["loss"].equals(log["loss_risk"])
