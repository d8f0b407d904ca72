"""Every registered loss: its value by hand, its invariances, its gradient, its weight.

A new objective or regularizer is picked up by itself; give it an entry in `BY_HAND`.
"""

import copy
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geffect import losses, registry
from geffect.encoding import IGNORED, Batch, collate

SPECS = [spec for kind in registry.KINDS for spec in registry.catalogue(kind).values()]
IDS = [f"{spec.kind}-{spec.name}" for spec in SPECS]
WEIGHTED = [spec for spec in SPECS if spec.weighted]
BOUNDED = [spec for spec in SPECS if spec.minimum is not None]
EXACT = 1e-10

every_loss = pytest.mark.parametrize("spec", SPECS, ids=IDS)
every_weighted = pytest.mark.parametrize("spec", WEIGHTED, ids=[s.name for s in WEIGHTED])
every_bounded = pytest.mark.parametrize("spec", BOUNDED, ids=[s.name for s in BOUNDED])


@dataclass
class Situation:
    """A loss with everything that it may need, at weights θ away from θ_o."""

    spec: registry.Spec
    hyper: dict
    model: torch.nn.Module
    reference: torch.nn.Module
    control: torch.Tensor
    examples: list

    @property
    def module(self):
        return self.spec.module()

    def view(self, batch=None):
        batch = collate(self.examples) if batch is None else batch
        needs, layer = self.spec.needs, self.hyper.get("layer")
        return losses.view(self.model, batch, needs, layer, self.reference, self.control)

    def sum(self, batch=None):
        return self.module.loss(self.view(batch), **self.hyper)

    def value(self, batch=None):
        with torch.no_grad():
            return self.sum(batch).total.item()

    def weight(self, batch=None):
        return self.module.weight(self.view(batch), **self.hyper)

    def gradient(self, scalar):
        parameters = list(self.model.parameters())
        found = torch.autograd.grad(scalar, parameters, allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


@pytest.fixture
def situation(tiny_model, moved, random_examples, draw_hyperparameters, control_vector):
    def build(spec, architecture="phi", hyper=None):
        original = tiny_model(architecture)
        return Situation(
            spec=spec,
            hyper=draw_hyperparameters(spec) if hyper is None else hyper,
            model=moved(original),
            reference=original,
            control=control_vector(),
            examples=random_examples(5),
        )

    return build


def at_the_original(case):
    return replace(case, model=copy.deepcopy(case.reference))


# The formulas of the paper, one sample at a time, in plain Python. Each returns the terms that the
# mean pools: one per label token, or one per sample.
def ga(s):
    return [math.log(p) for p in s.p]


def wga(s, alpha):
    return [p**alpha * math.log(p) for p in s.p]


def npo(s, beta):
    ratio = math.prod(s.p) / math.prod(s.p_ref)
    return [2 / beta * math.log(1 + ratio**beta)]


def tnpo(s, beta):
    pairs = zip(s.p, s.p_ref, strict=True)
    return [2 * p**beta / (p**beta + o**beta) * math.log(p) for p, o in pairs]


def wtnpo(s, alpha, beta):
    pairs = zip(s.p, s.p_ref, strict=True)
    return [2 * p ** (beta + alpha) / (p**beta + o**beta) * math.log(p) for p, o in pairs]


def nll(s):
    return [-math.log(p) for p in s.p]


def rmu(s, layer, c):
    states = s.states[layer]
    return [sum((x - c * u) ** 2 for x, u in zip(h, s.u, strict=True)) / len(s.u) for h in states]


def rr(s, layer):
    pairs = zip(s.states[layer], s.states_ref[layer], strict=True)
    return [sum((a - b) ** 2 for a, b in zip(h, o, strict=True)) / len(h) for h, o in pairs]


def kl(s):
    pairs = zip(s.distributions_ref, s.distributions, strict=True)
    return [sum(o * math.log(o / q) for o, q in zip(os, qs, strict=True)) for os, qs in pairs]


BY_HAND = {
    "objective": {
        "ga": ga,
        "wga": wga,
        "npo": npo,
        "tnpo": tnpo,
        "wtnpo": wtnpo,
        "po": nll,
        "rmu": rmu,
    },
    "regularizer": {"nll": nll, "kl": kl, "rr": rr},
}


def looked_at(case, example):
    """What a model and its original say at the positions that predict an example's labels."""

    def run(model):
        with torch.no_grad():
            outputs = model(torch.tensor([example.ids]), output_hidden_states=True)
        positions = [i - 1 for i in range(example.prompt_length, len(example))]
        logits = outputs.logits[0].double().numpy()
        distributions = []
        for position in positions:
            odds = [math.exp(x) for x in logits[position]]
            distributions.append([x / sum(odds) for x in odds])
        probabilities = [
            d[example.ids[i + 1]] for i, d in zip(positions, distributions, strict=True)
        ]
        states = [
            [layer[0, i].double().tolist() for i in positions] for layer in outputs.hidden_states
        ]
        return distributions, probabilities, states

    distributions, p, states = run(case.model)
    distributions_ref, p_ref, states_ref = run(case.reference)
    return SimpleNamespace(
        p=p,
        p_ref=p_ref,
        distributions=distributions,
        distributions_ref=distributions_ref,
        states=states,
        states_ref=states_ref,
        u=case.control.double().tolist(),
    )


# Llama's norms compute in float32 whatever the dtype of the weights.
@pytest.mark.parametrize(("architecture", "tolerance"), [("phi", EXACT), ("llama", 1e-5)])
@every_loss
def test_value_is_the_one_computed_by_hand(spec, architecture, tolerance, situation):
    formula = BY_HAND[spec.kind].get(spec.name)
    if formula is None:
        pytest.skip(f"no formula for {spec.kind} {spec.name!r}: add it to BY_HAND in {__file__}")
    case = situation(spec, architecture)
    terms = [t for e in case.examples for t in formula(looked_at(case, e), **case.hyper)]
    result = case.sum()
    assert result.count == len(terms)
    assert result.total.item() == pytest.approx(math.fsum(terms), rel=tolerance)
    assert result.mean.item() == pytest.approx(math.fsum(terms) / len(terms), rel=tolerance)


@every_loss
def test_count_is_the_declared_reduction_of_the_batch(spec, situation):
    case = situation(spec)
    batch = collate(case.examples)
    labels = sum(len(e.labels) for e in case.examples)
    expected = labels if spec.reduction == "token" else len(case.examples)
    assert case.sum(batch).count == losses.count(batch, spec.reduction) == expected


@every_loss
def test_extra_padding_and_an_earlier_start_change_nothing(spec, situation, rng):
    case = situation(spec)
    batch = collate(case.examples)
    shape = (len(case.examples), int(rng.integers(1, 9)))
    filler = torch.from_numpy(rng.integers(0, 61, size=shape))
    padded = Batch(
        torch.cat([batch.input_ids, filler], dim=1),
        torch.cat([batch.labels, torch.full(shape, IGNORED)], dim=1),
        start=int(rng.integers(batch.start + 1)),
    )
    assert case.value(padded) == pytest.approx(case.value(batch), rel=EXACT)
    assert case.sum(padded).count == case.sum(batch).count


@every_loss
def test_micro_batches_add_up(spec, situation):
    case = situation(spec)
    whole = case.sum()
    for size in (1, 2, 3):
        starts = range(0, len(case.examples), size)
        parts = [case.sum(collate(case.examples[i : i + size])) for i in starts]
        assert sum(part.count for part in parts) == whole.count
        total = sum(part.total.item() for part in parts)
        assert total == pytest.approx(whole.total.item(), rel=EXACT)


@every_loss
def test_order_of_rows_changes_nothing(spec, situation, rng):
    case = situation(spec)
    shuffled = [case.examples[i] for i in rng.permutation(len(case.examples))]
    assert case.value(collate(shuffled)) == pytest.approx(case.value(), rel=EXACT)


@every_loss
def test_gradient_agrees_with_finite_differences(spec, situation, rng, monkeypatch):
    case = situation(spec)
    if spec.weighted:
        # Weights are constants of the gradient, so the difference quotient must not move them.
        fixed = case.weight()
        monkeypatch.setattr(case.module, "weight", lambda *args, **kwargs: fixed)
    gradient = case.gradient(case.sum().total)
    norm = gradient.norm().item()
    assert norm > 0
    start = torch.nn.utils.parameters_to_vector(case.model.parameters()).detach()

    def value(vector):
        torch.nn.utils.vector_to_parameters(vector, case.model.parameters())
        return case.value()

    for _ in range(3):
        direction = torch.from_numpy(rng.normal(size=len(start)))
        # A random direction is almost orthogonal to the gradient; half of it makes the test sharp.
        direction = direction / direction.norm() + gradient / norm
        step = 1e-5
        quotient = (value(start + step * direction) - value(start - step * direction)) / (2 * step)
        assert quotient == pytest.approx((gradient @ direction).item(), abs=1e-6 * norm)


@every_weighted
def test_gradient_is_the_weighted_gradient_of_log_likelihood(spec, situation):
    case = situation(spec)
    view = case.view()
    weight = case.module.weight(view, **case.hyper)
    logp = view.logp if spec.reduction == "token" else view.per_sample(view.logp)
    assert weight.shape == logp.shape
    inside = torch.where(view.mask, weight, 0) if spec.reduction == "token" else weight
    expected = case.gradient((inside * logp).sum())
    torch.testing.assert_close(
        case.gradient(case.sum().total), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


@every_weighted
def test_weight_carries_no_gradient_and_lowers_answers_or_raises_refusals(spec, situation):
    weight = situation(spec).weight()
    assert not weight.requires_grad
    assert ((weight <= 0) if "refusals" in spec.needs else (weight >= 0)).all()


@pytest.mark.parametrize("name", ["npo", "tnpo"])
def test_weight_against_the_original_is_one_at_the_original(name, situation):
    weight = at_the_original(situation(registry.get("objective", name))).weight()
    assert torch.equal(weight, torch.ones_like(weight))


@pytest.mark.parametrize("name", ["npo", "tnpo", "wtnpo"])
def test_weight_against_the_original_falls_with_the_probability(name, situation):
    case = situation(registry.get("objective", name))
    view = case.view()
    lowered = replace(view, logp=view.logp - 0.1)
    before = case.module.weight(view, **case.hyper)
    after = case.module.weight(lowered, **case.hyper)
    mask = view.mask if before.dim() == 2 else slice(None)
    assert (after[mask] < before[mask]).all()


def assert_is_ga(case):
    as_ga = replace(case, spec=registry.get("objective", "ga"), hyper={})
    assert case.value() == pytest.approx(as_ga.value(), rel=EXACT)
    expected = as_ga.gradient(as_ga.sum().total)
    torch.testing.assert_close(
        case.gradient(case.sum().total), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


def test_wga_without_confidence_is_ga(situation):
    assert_is_ga(situation(registry.get("objective", "wga"), hyper={"alpha": 0}))


def test_tnpo_at_the_original_is_ga(situation):
    assert_is_ga(at_the_original(situation(registry.get("objective", "tnpo"))))


def test_gradient_of_npo_at_the_original_is_the_sum_of_ga(situation):
    case = at_the_original(situation(registry.get("objective", "npo")))
    as_ga = replace(case, spec=registry.get("objective", "ga"), hyper={})
    expected = as_ga.gradient(as_ga.sum().total)
    torch.testing.assert_close(
        case.gradient(case.sum().total), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


@every_bounded
def test_declared_minimum_is_reached_exactly_at_the_original_alone(spec, situation):
    case = situation(spec)
    here = at_the_original(case)
    assert here.value() == here.sum().count * spec.minimum
    elsewhere = case.sum()
    assert elsewhere.total.item() > elsewhere.count * spec.minimum


@every_bounded
def test_gradient_vanishes_where_the_minimum_is_reached(spec, situation):
    case = situation(spec)
    here = at_the_original(case)
    scale = case.gradient(case.sum().total).norm().item()
    assert here.gradient(here.sum().total).norm().item() <= EXACT * scale


def test_kl_is_not_negative_at_any_position(situation):
    case = situation(registry.get("regularizer", "kl"))
    for example in case.examples:
        assert all(term >= 0 for term in kl(looked_at(case, example)))
        assert case.value(collate([example])) > 0


def test_kl_over_all_positions_pools_the_padding_too(situation, rng):
    case = situation(registry.get("regularizer", "kl"))
    width = 2 * max(map(len, case.examples))
    result = case.sum(collate(case.examples, pad_to=width))
    assert result.count == len(case.examples) * width
    total = 0.0
    for example in case.examples:
        padding = width - len(example)
        ids = torch.tensor([[*example.ids, *[example.ids[-1]] * padding]])
        attention = torch.tensor([[1] * len(example) + [0] * padding])
        with torch.no_grad():
            q = case.model(ids, attention_mask=attention).logits.softmax(-1).numpy()
            o = case.reference(ids, attention_mask=attention).logits.softmax(-1).numpy()
        total += np.sum(o * np.log(o / q))
    assert result.total.item() == pytest.approx(total, rel=EXACT)


def test_label_probabilities_are_those_of_the_next_token(situation):
    case = situation(registry.get("objective", "ga"))
    view = case.view()
    for row, example in enumerate(case.examples):
        expected = [math.log(p) for p in looked_at(case, example).p]
        assert view.logp[row][view.mask[row]].tolist() == pytest.approx(expected, rel=EXACT)
        assert view.mask[row].sum() == len(example.labels)
    assert (view.logp[~view.mask] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_raised_to_float32(dtype, random_examples, rng):
    batch = collate(random_examples(3))
    logits = torch.from_numpy(rng.normal(size=(*batch.labels[:, batch.start :].shape, 61))).to(
        dtype
    )
    logp = losses.log_probabilities(logits, batch)[0]
    assert logp.dtype == torch.float32
    expected = losses.log_probabilities(logits.double(), batch)[0]
    torch.testing.assert_close(logp.double(), expected, rtol=1e-5, atol=1e-5)
