"""The training loop: what a step sees, what it does, what it logs; and a cell's terms."""

import copy
import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from geffect import losses, registry, training
from geffect.cell import Cell, Draws, Encoder, Loss
from geffect.encoding import collate
from geffect.errors import ConfigError, ModelError
from geffect.models import Checkpoints
from geffect.rows import trainable
from geffect.templates import Template
from geffect.training import Settings, Term

PAPER = Settings(
    epochs=5,
    batch_size=16,
    micro_batch_size=4,
    learning_rate=2e-5,
    weight_decay=0.0,
    warmup_epochs=1,
    schedule="linear",
    max_grad_norm=1.0,
)
# Three steps on all six rows each; without warm-up, whose first update has learning rate 0.
SMALL = dataclasses.replace(
    PAPER, epochs=3, batch_size=6, micro_batch_size=3, learning_rate=1e-2, schedule="constant"
)
REFUSALS = [f"I do not know that, reason {i}." for i in range(20)]


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
        lambda step: states.update({step: copy.deepcopy(model.state_dict())}),
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
        lambda step: seen.append((step, weights(model).clone())),
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
    model, outcome = case.train(settings, checkpoint=seen.append)
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


# The terms of a cell.
HELD_OUT = 7


@pytest.fixture
def cell_of(tokenizer, seed):
    encoder = Encoder(
        tokenizer, Template("Question: {question}\nAnswer: {answer}", "Answer: "), 128
    )

    def rows(start, stop):
        return [
            {"row": i, "question": f"What is number {i}?", "answer": f"It is {i} of them."}
            for i in range(start, stop)
        ]

    def build(objective="ga", regularizer="kl", seed=seed, forget=10):
        retain = trainable(rows(0, 30), HELD_OUT)
        cell = Cell(
            encoder,
            rows(30, 30 + forget),
            retain,
            REFUSALS,
            Loss(objective, {}),
            None if regularizer is None else Loss(regularizer, {}, 0.5),
            seed,
        )
        cell.held_out = encoder.rows(rows(0, HELD_OUT), "held-out rows")
        return cell

    return build


CELL = dataclasses.replace(PAPER, batch_size=4)


def test_less_than_one_batch_of_forget_rows_is_a_config_error(cell_of, tiny_model, tmp_path):
    cell, checkpoints = cell_of(regularizer=None), Checkpoints(tmp_path / "checkpoints", 5)
    model = tiny_model(vocabulary=320)
    with pytest.raises(ConfigError, match="batch_size"):
        cell.unlearn(model, ONE_EPOCH, cell.draw(16), None, checkpoints, "unlearning")


def test_cell_unlearns_with_a_checkpoint_where_one_is_due(cell_of, tiny_model, tmp_path):
    cell, checkpoints = cell_of("ga", "kl"), Checkpoints(tmp_path / "checkpoints", 5)
    original = tiny_model(vocabulary=320)
    model = copy.deepcopy(original)
    outcome = cell.unlearn(model, CELL, cell.draw(16), original, checkpoints, "unlearning")
    assert len(outcome.rows) == CELL.steps(10) == 12
    assert outcome.rows[0]["loss_regularizer"] == 0, "KL is zero at the original model"
    found = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert found == ["step-00005", "step-00010"]


def test_no_held_out_row_is_ever_trained_on(cell_of, seed):
    cell = cell_of()
    held_out, allowed = set(cell.held_out), set(cell.retain)
    assert len(allowed) == 30 - HELD_OUT
    assert not held_out & allowed
    objective, regularizer = cell.training_terms(CELL)
    draws = Draws.draw(seed, 16, len(cell.forget), len(cell.retain), len(REFUSALS))
    for step in range(1, CELL.steps(10) + 1):
        assert set(objective.select(step)) <= set(cell.forget)
        assert set(regularizer.select(step)) <= allowed
    assert set(cell.sample(draws)) <= allowed


def test_every_forget_row_is_paired_with_a_retain_row(cell_of):
    objective, regularizer = cell_of().training_terms(CELL)
    assert (objective.name, regularizer.name) == ("objective", "regularizer")
    assert (objective.coefficient, regularizer.coefficient) == (1.0, 0.5)
    partners = []
    for step in range(1, CELL.steps(10) + 1):
        assert len(objective.select(step)) == len(regularizer.select(step)) == CELL.batch_size
        assert regularizer.select(step) == regularizer.select(step)
        partners += regularizer.select(step)
    assert len(set(partners)) > 1


def test_every_epoch_of_a_cell_visits_every_forget_row_once(cell_of):
    cell = cell_of()
    objective = cell.training_terms(CELL)[0]
    visits = [e for step in range(1, CELL.steps(10) + 1) for e in objective.select(step)]
    for start in range(0, 40, 10):
        assert Counter(visits[start : start + 10]) == Counter(cell.forget)


def test_objectives_of_a_comparison_see_the_same_batches(cell_of, seed):
    ga, other = cell_of("ga"), cell_of("npo")
    another_seed = cell_of("ga", seed=seed + 1)
    steps = range(1, CELL.steps(10) + 1)

    def batches(cell):
        return [[term.select(step) for term in cell.training_terms(CELL)] for step in steps]

    assert batches(ga) == batches(other)
    assert batches(ga) != batches(another_seed)


def test_cell_without_regularizer_has_one_term(cell_of, seed):
    cell = cell_of(regularizer=None)
    draws = Draws.draw(seed, 16, 10, 23, len(REFUSALS))
    assert [term.name for term in cell.training_terms(CELL)] == ["objective"]
    assert list(cell.effect_terms(draws)) == ["objective"]


def test_refusals_are_redrawn_at_every_visit_in_training(cell_of, tokenizer):
    cell = cell_of("po")
    order = cell_of("ga").training_terms(CELL)[0]
    refused = cell.training_terms(CELL)[0]
    possible = {row: {cell.refused(row, r) for r in range(len(REFUSALS))} for row in range(10)}
    seen = {row: set() for row in range(10)}
    for step in range(1, CELL.steps(10) + 1):
        assert refused.select(step) == refused.select(step)
        for forget, example in zip(order.select(step), refused.select(step), strict=True):
            row = cell.forget.index(forget)
            assert example in possible[row], "a refusal has to follow its own row's question"
            assert example.prompt == forget.prompt
            seen[row].add(example)
    assert sum(len(s) > 1 for s in seen.values()) > 5
    assert tokenizer.decode(next(iter(seen[0])).labels).strip().startswith("Answer: I do not know")


def test_refusals_of_geffects_are_those_of_the_draws(cell_of, seed):
    cell = cell_of("po")
    draws = Draws.draw(seed, 16, 10, 23, len(REFUSALS))
    terms = cell.effect_terms(draws)
    expected = [cell.refused(row, int(r)) for row, r in enumerate(draws.refusals)]
    for step in (0, 1, 7):
        assert terms["objective"].select(step) == expected
        assert terms["regularizer"].select(step) == cell.sample(draws)
    assert cell_of("ga").effect_terms(draws)["objective"].select(0) == cell.forget


def test_draws_survive_saving(tmp_path, seed):
    draws = Draws.draw(seed, 16, 10, 23, 100)
    draws.save(tmp_path / "draws.safetensors")
    loaded = Draws.load(tmp_path / "draws.safetensors")
    for name, value in vars(draws).items():
        found = getattr(loaded, name)
        assert found.dtype == value.dtype and torch.equal(found, value)


@pytest.mark.parametrize(("forget", "retain"), [(10, 23), (10, 10), (12, 5)])
def test_draws_stay_in_range_and_repeat_no_row_where_they_can(forget, retain, seed):
    draws = Draws.draw(seed, 16, forget, retain, 100)
    assert draws.control_vector.dtype == torch.float32
    assert ((draws.control_vector >= 0) & (draws.control_vector < 1)).all()
    rows = draws.regularizer_rows.tolist()
    assert len(rows) == len(draws.refusals) == forget
    assert set(rows) <= set(range(retain)) and set(draws.refusals.tolist()) <= set(range(100))
    assert forget > retain or len(set(rows)) == forget
    again, other = (Draws.draw(s, 16, forget, retain, 100) for s in (seed, seed + 1))
    assert torch.equal(again.control_vector, draws.control_vector)
    assert not torch.equal(other.control_vector, draws.control_vector)
