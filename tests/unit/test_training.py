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

from geffect import losses, registry, training
from geffect.encoding import collate
from geffect.errors import ConfigError, ModelError
from geffect.training import Term

# Three steps on all six rows each; without warm-up, whose first update has learning rate 0.
SMALL = dataclasses.replace(
    PAPER, epochs=3, batch_size=6, micro_batch_size=3, learning_rate=1e-2, schedule="constant"
)


# What a step sees.
def test_every_epoch_is_a_permutation_across_batch_borders(rng, seed):
    rows, batch = int(rng.integers(3, 40)), int(rng.integers(1, 9))
    steps = 5 * rows // batch
    stream = training.order(rows, steps, batch, np.random.default_rng(seed)).ravel()
    assert len(stream) == steps * batch
    for start in range(0, len(stream), rows):
        epoch = stream[start : start + rows]
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(rows))
    assert set(stream[:rows]) == set(range(rows))


def test_last_partial_batch_is_dropped_and_not_filled_up():
    settings = dataclasses.replace(PAPER, epochs=1, batch_size=4)
    assert settings.steps(11) == 2
    order = training.order(11, settings.steps(11), 4, np.random.default_rng(0))
    assert order.shape == (2, 4)
    assert len(set(order.ravel())) == 8


def test_order_depends_on_its_generator_alone(seed):
    def draw(value):
        return training.order(23, 9, 5, training.generator(value, "order"))

    assert np.array_equal(draw(seed), draw(seed))
    assert not np.array_equal(draw(seed), draw(seed + 1))


def test_generators_of_different_purposes_differ(seed):
    a, b = (training.generator(seed, purpose).random(8) for purpose in ("order", "pairs"))
    assert not np.array_equal(a, b)


def test_length_buckets_keep_the_rows_of_every_chunk(rng, seed):
    rows, batch, bucket = int(rng.integers(10, 40)), int(rng.integers(2, 6)), 3
    steps = 4 * rows // batch
    lengths = rng.integers(2, 50, size=rows)
    plain = training.order(rows, steps, batch, np.random.default_rng(seed))
    sorted_ = training.order(rows, steps, batch, np.random.default_rng(seed), lengths, bucket)
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
    """Watches every step with a function."""

    def __init__(self, look):
        self.look = look

    def start(self, state):
        pass

    def after(self, step):
        self.look(step)

    def tables(self):
        return {}


# What a step does.
@pytest.fixture
def run(tiny_model, moved, random_examples, control_vector):
    """A model, its original, a control vector and two terms on six rows each."""

    @dataclasses.dataclass
    class Run:
        original: torch.nn.Module
        start: torch.nn.Module
        terms: list
        control: torch.Tensor

        def train(self, settings, **arguments):
            model = copy.deepcopy(self.start)
            outcome = training.train(
                model, self.terms, settings, 6, "test", self.original, self.control, **arguments
            )
            return model, outcome

    def build(name="wtnpo", hyper=None, coefficient=0.7, dtype=torch.float64):
        original = tiny_model("phi", dtype=dtype)
        forget, retain = random_examples(6), random_examples(6)
        hyper = {"alpha": 0.5, "beta": 1.0} if hyper is None else hyper
        spec, kl = registry.get("objective", name), registry.get("regularizer", "kl")
        terms = [
            Term("objective", spec, hyper, lambda step: forget),
            Term("regularizer", kl, {}, lambda step: retain, coefficient),
        ]
        return Run(original, moved(original), terms, control_vector())

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


def pooled(model, case, term, examples):
    view = losses.view(
        model,
        collate(examples),
        term.spec.needs,
        term.hyper.get("layer"),
        case.original,
        case.control,
    )
    return view, term.spec.module().loss(view, **term.hyper)


def test_microbatch_reduction_averages_the_means_of_micro_batches(run):
    case = run()
    model, total = case.start, 0.0
    expected = {}
    for term in case.terms:
        examples = term.select(1)
        # 5 + 1 rows never hold equally many labels, so the pooled mean has to differ.
        means = [pooled(model, case, term, part)[1].mean for part in (examples[:5], examples[5:])]
        expected[term.name] = (sum(means) / 2).item()
        total = total + term.coefficient * sum(means) / 2
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total, model.parameters())])

    settings = dataclasses.replace(SMALL, micro_batch_size=5, reduction="microbatch")
    row = case.train(settings)[1].rows[0]
    for name, value in expected.items():
        assert row[f"loss_{name}"] == pytest.approx(value, rel=1e-10)
    assert row["grad_norm"] == pytest.approx(gradient.norm().item(), rel=1e-10)

    other = case.train(dataclasses.replace(settings, reduction="global"))[1].rows[0]
    assert other["loss_objective"] != pytest.approx(row["loss_objective"], rel=1e-6)


def test_log_holds_losses_weights_norm_and_learning_rate_of_every_step(run):
    case = run()
    settings = dataclasses.replace(SMALL, epochs=6, warmup_epochs=2, schedule="linear")
    states = {0: copy.deepcopy(case.start.state_dict())}
    model = copy.deepcopy(case.start)
    outcome = training.train(
        model,
        case.terms,
        settings,
        6,
        "test",
        case.original,
        case.control,
        Each(lambda step: states.update({step: copy.deepcopy(model.state_dict())})),
    )
    log = outcome.frame()
    assert outcome.diverged is None and not log["diverged"].any()
    assert log["step"].tolist() == [1, 2, 3, 4, 5, 6] == sorted(states)[1:]
    for row in log.to_dict("records"):
        before = copy.deepcopy(case.start)
        before.load_state_dict(states[row["step"] - 1])
        total = 0.0
        for term in case.terms:
            view, result = pooled(before, case, term, term.select(row["step"]))
            assert row[f"loss_{term.name}"] == pytest.approx(result.mean.item(), rel=1e-10)
            total = total + term.coefficient * result.mean
            if term.spec.weighted:
                weight = term.spec.module().weight(view, **term.hyper)
                mean = weight[view.mask].mean().item()
                assert row[f"weight_{term.name}"] == pytest.approx(mean, rel=1e-10)
        assert row["loss"] == pytest.approx(total.item(), rel=1e-10)
        gradient = torch.autograd.grad(total, before.parameters())
        norm = torch.cat([g.flatten() for g in gradient]).norm().item()
        assert row["grad_norm"] == pytest.approx(norm, rel=1e-10)
    factors = [0, 1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]
    expected = [settings.learning_rate * factor for factor in factors]
    assert log["learning_rate"].tolist() == pytest.approx(expected, rel=1e-12)
    assert "weight_regularizer" not in log


def test_checkpoint_sees_the_weights_after_the_update(run):
    case = run()
    model, seen = copy.deepcopy(case.start), []
    training.train(
        model,
        case.terms,
        SMALL,
        6,
        "test",
        case.original,
        case.control,
        Each(lambda step: seen.append((step, weights(model).clone()))),
    )
    assert [step for step, _ in seen] == [1, 2, 3]
    assert not torch.equal(seen[0][1], weights(case.start))
    assert torch.equal(seen[-1][1], weights(model))
    assert not model.training


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
    model, outcome = case.train(settings, watch=Each(seen.append))
    step, reason = outcome.diverged
    assert case_what in reason
    assert [row["step"] for row in outcome.rows] == list(range(1, step + 1))
    assert outcome.frame()["diverged"].tolist() == [False] * (step - 1) + [True]
    assert seen == list(range(1, step)), "a checkpoint of broken weights would be measured"
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
        training.fit(model, random_examples(6), settings, 1, "base training")
    assert "\n" not in str(error.value)


ONE_EPOCH = dataclasses.replace(PAPER, epochs=1)


def test_less_than_one_batch_is_a_config_error(run):
    with pytest.raises(ConfigError, match="batch_size"):
        run().train(ONE_EPOCH)


def test_less_than_one_batch_of_all_rows_is_a_config_error(tiny_model, random_examples):
    with pytest.raises(ConfigError, match="batch_size"):
        training.fit(tiny_model(), random_examples(15), ONE_EPOCH, 1, "fine-tuning")


def test_equal_seeds_give_equal_bits_and_different_seeds_do_not(tiny_model, random_examples, seed):
    start, examples = tiny_model("llama", dtype=torch.float32), random_examples(9)
    settings = dataclasses.replace(SMALL, batch_size=4, length_bucket=2)

    def fitted(seed):
        model = copy.deepcopy(start)
        log = training.fit(model, examples, settings, seed, "test")
        return weights(model), log

    (a, log_a), (b, log_b), (c, _) = fitted(seed), fitted(seed), fitted(seed + 1)
    assert torch.equal(a, b)
    assert log_a.equals(log_b)
    assert not torch.equal(a, c)


def test_fit_lowers_the_risk(tiny_model, random_examples):
    settings = dataclasses.replace(SMALL, epochs=20)
    log = training.fit(tiny_model(), random_examples(6), settings, 1, "test")
    assert log["loss_risk"].iloc[-1] < log["loss_risk"].iloc[0]
    assert log["loss"].equals(log["loss_risk"])
