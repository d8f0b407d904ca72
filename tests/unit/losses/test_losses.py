"""Every registered loss: its value by hand, its invariances, its gradient, its weight.

A new objective or regularizer is picked up by itself; give it an entry in `BY_HAND`. Files outside
of the package are tested too where `--loss KIND=PATH` names them (`make test-loss`).
"""

import copy
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from common import EOS, declarations

from geffect.data.batches import IGNORED, Batch, collate
from geffect.data.encoding import Example
from geffect.errors import LossError
from geffect.losses import registry
from geffect.losses.loss import PADDED_LENGTH, RISK, Loss, objective, regularizer
from geffect.losses.view import View, view, with_reference

SPECS = declarations()
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

    spec: registry.Declaration
    loss: Loss
    model: torch.nn.Module
    original: torch.nn.Module
    control: torch.Tensor
    examples: list

    def view(self, batch=None):
        return self.loss.view(self.model, collate(self.examples) if batch is None else batch)

    def total(self, batch=None):
        return self.loss.total(self.view(batch))

    def count(self, batch=None):
        return self.loss.count(collate(self.examples) if batch is None else batch)

    def value(self, batch=None):
        with torch.no_grad():
            return self.total(batch).item()

    def gradient(self, scalar):
        parameters = list(self.model.parameters())
        found = torch.autograd.grad(scalar, parameters, allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


@pytest.fixture
def situation(tiny_model, moved, random_examples, draw_hyperparameters, control_vector):
    def build(spec, architecture="phi", hyper=None):
        original = tiny_model(architecture)
        hyper = draw_hyperparameters(spec) if hyper is None else hyper
        control = control_vector()
        name = spec.name if spec in registry.catalogue(spec.kind).values() else str(spec.path)
        return Situation(
            spec=spec,
            loss=Loss.load(spec.kind, name, hyper).bind(original, control),
            model=moved(original),
            original=original,
            control=control,
            examples=random_examples(5),
        )

    return build


def at_the_original(case):
    return replace(case, model=copy.deepcopy(case.original))


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


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)


def length(v):
    return math.sqrt(sum(x * x for x in v))


def rmu(s, layer, c, normalize):
    scale = c / length(s.u) if normalize else c
    return [squared(h, [scale * u for u in s.u]) for h in s.states[layer]]


def adaptive_rmu(s, layer, beta):
    pairs = zip(s.states[layer], s.states_ref[layer], strict=True)
    scales = ((h, beta * length(o) / length(s.u)) for h, o in pairs)
    return [squared(h, [scale * u for u in s.u]) for h, scale in scales]


def rr(s, layer):
    pairs = zip(s.states[layer], s.states_ref[layer], strict=True)
    return [squared(h, o) for h, o in pairs]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def simnpo(s, beta, delta):
    mean = sum(math.log(p) for p in s.p) / len(s.p)
    return [-2 / beta * math.log(sigmoid(-beta * (mean + delta)))]


def satimp(s, beta1, beta2):
    return [p**beta1 * (1 - p) ** beta2 * math.log(p) for p in s.p]


def ceu(s):
    return [-math.log(1 - p) for p in s.p]


def log_ratio(s):
    return math.log(math.prod(s.p)) - math.log(math.prod(s.p_ref))


def dpo(s, beta):
    return [-2 / beta * math.log(sigmoid(beta * (log_ratio(s.refusal) - log_ratio(s))))]


def flat(s):
    answer, refusal = (sum(t.p) / len(t.p) for t in (s, s.refusal))
    return [math.tanh(answer) / 2 - math.tanh(refusal) / 2]


def undial(s, beta):
    terms = []
    for label, p, o in zip(s.labels, s.distributions, s.distributions_ref, strict=True):
        odds = [q * math.exp(-beta) if v == label else q for v, q in enumerate(o)]
        terms.append(-sum(t / sum(odds) * math.log(q) for t, q in zip(odds, p, strict=True)))
    return terms


def ihl(s):
    pairs = zip(s.labels, s.distributions, strict=True)
    return [1 + d[y] - max(p for v, p in enumerate(d) if v != y) for y, d in pairs]


def me(s):
    sizes = ((1 / len(d), d) for d in s.distributions)
    return [sum(u * math.log(u / p) for p in d) for u, d in sizes]


def ap(s, beta):
    gap = math.log(math.prod(s.refusal.p)) - math.log(math.prod(s.p))
    return [-math.log(sigmoid(-beta * gap)) / beta]


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
        "adaptive_rmu": adaptive_rmu,
        "simnpo": simnpo,
        "satimp": satimp,
        "ceu": ceu,
        "dpo": dpo,
        "flat": flat,
        "undial": undial,
        "ihl": ihl,
        "me": me,
    },
    "regularizer": {"nll": nll, "kl": kl, "rr": rr, "ap": ap},
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
    distributions_ref, p_ref, states_ref = run(case.original)
    return SimpleNamespace(
        labels=example.labels,
        p=p,
        p_ref=p_ref,
        distributions=distributions,
        distributions_ref=distributions_ref,
        states=states,
        states_ref=states_ref,
        u=case.control.double().tolist(),
        refusal=None if example.refusal is None else looked_at(case, example.refusal),
    )


# Llama's norms compute in float32 whatever the dtype of the weights.
@pytest.mark.parametrize(("architecture", "tolerance"), [("phi", EXACT), ("llama", 1e-5)])
@every_loss
def test_value_is_the_one_computed_by_hand(spec, architecture, tolerance, situation):
    formula = BY_HAND[spec.kind].get(spec.name)
    if formula is None:
        pytest.skip(f"{spec.kind} {spec.name!r} has no hand-computed value: see the test below")
    case = situation(spec, architecture)
    terms = [t for e in case.examples for t in formula(looked_at(case, e), **case.loss.hyper)]
    assert case.count() == len(terms)
    assert case.total().item() == pytest.approx(math.fsum(terms), rel=tolerance)


def test_every_loss_has_a_hand_computed_value():
    """Fails for a new file, which is what its author has to know; everything else picks it up."""
    lacking = [f"{s.kind} {s.name!r}" for s in SPECS if s.name not in BY_HAND[s.kind]]
    if lacking:
        pytest.xfail(f"add a formula of {', '.join(lacking)} to BY_HAND in {__file__}")


@every_loss
def test_count_is_the_declared_reduction_of_the_batch(spec, situation):
    case = situation(spec)
    labels = sum(len(e.labels) for e in case.examples)
    assert case.count() == (labels if spec.reduction == "token" else len(case.examples))


def test_the_risk_is_the_mean_negative_log_likelihood(situation):
    case = situation(registry.get("objective", "ga"))
    terms = [t for e in case.examples for t in nll(looked_at(case, e))]
    batch = collate(case.examples)
    assert RISK.total(RISK.view(case.model, batch)).item() == pytest.approx(math.fsum(terms))
    assert RISK.count(batch) == len(terms)


@every_loss
def test_extra_padding_and_an_earlier_start_change_nothing(spec, situation, rng):
    case = situation(spec)
    batch = collate(case.examples)

    def padding(of):
        shape = (len(case.examples), int(rng.integers(1, 9)))
        filler = torch.from_numpy(rng.integers(0, 61, size=shape))
        return Batch(
            torch.cat([of.input_ids, filler], dim=1),
            torch.cat([of.labels, torch.full(shape, IGNORED)], dim=1),
            start=int(rng.integers(of.start + 1)),
        )

    padded = replace(padding(batch), refusal=padding(batch.refusal))
    assert case.value(padded) == pytest.approx(case.value(batch), rel=EXACT)
    assert case.count(padded) == case.count(batch)


@every_loss
def test_micro_batches_add_up(spec, situation):
    case = situation(spec)
    for size in (1, 2, 3):
        parts = case.loss.batches(case.examples, size)
        assert [len(part.input_ids) for part in parts][:-1] == [size] * (len(parts) - 1)
        assert sum(case.count(part) for part in parts) == case.count()
        total = sum(case.value(part) for part in parts)
        assert total == pytest.approx(case.value(), rel=EXACT)


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
        fixed = case.loss.weight(case.view())
        monkeypatch.setattr(spec.module(), "weight", lambda *args, **kwargs: fixed)
    gradient = case.gradient(case.total())
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
    weighted = [(view, case.loss.weight(view))]
    if case.loss.pairs_refusals:
        weighted.append((view.refusal, case.loss.refusal_weight(view)))
    if case.loss.looks_at_runner_up:
        others = replace(view, logp=view.logp_runner_up)
        weighted.append((others, case.loss.runner_up_weight(view)))
    total = 0
    for part, weight in weighted:
        by_token = weight.dim() == 2
        assert by_token or spec.reduction == "sample"
        logp = part.logp if by_token else part.per_sample(part.logp)
        assert weight.shape == logp.shape
        total = total + ((torch.where(part.mask, weight, 0) if by_token else weight) * logp).sum()
    expected = case.gradient(total)
    torch.testing.assert_close(
        case.gradient(case.total()), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


@every_weighted
def test_weight_carries_no_gradient_and_lowers_answers_or_raises_others(spec, situation):
    case = situation(spec)
    weight = case.loss.weight(case.view())
    assert not weight.requires_grad
    assert ((weight <= 0) if "refusals" in spec.needs else (weight >= 0)).all()
    if case.loss.pairs_refusals:
        of_refusals = case.loss.refusal_weight(case.view())
        assert not of_refusals.requires_grad
        assert (of_refusals <= 0).all()
    if case.loss.looks_at_runner_up:
        of_others = case.loss.runner_up_weight(case.view())
        assert not of_others.requires_grad
        assert (of_others <= 0).all()


@pytest.mark.parametrize("name", ["npo", "tnpo", "dpo"])
def test_weight_against_the_original_is_one_at_the_original(name, situation):
    case = at_the_original(situation(registry.get("objective", name)))
    weight = case.loss.weight(case.view())
    assert torch.equal(weight, torch.ones_like(weight))


@pytest.mark.parametrize("name", ["npo", "tnpo", "wtnpo"])
def test_weight_against_the_original_falls_with_the_probability(name, situation):
    case = situation(registry.get("objective", name))
    view = case.view()
    lowered = replace(view, logp=view.logp - 0.1)
    before = case.loss.weight(view)
    after = case.loss.weight(lowered)
    mask = view.mask if before.dim() == 2 else slice(None)
    assert (after[mask] < before[mask]).all()


def same_gradient(case, expected):
    torch.testing.assert_close(
        case.gradient(case.total()), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


def test_ceu_has_the_gradient_of_the_cross_entropy_to_the_softmax_without_the_label(situation):
    case = situation(registry.get("objective", "ceu"))
    view = case.view()
    logits, labels = view.logits[view.mask], view.labels[view.mask]
    rows = torch.arange(len(labels))
    others = logits.detach().clone()
    others[rows, labels] = -math.inf
    target = others.softmax(dim=-1)
    same_gradient(case, case.gradient(-(target * logits.log_softmax(dim=-1)).sum()))


@pytest.mark.parametrize("name", ["ceu", "satimp", "ihl"])
def test_a_label_that_is_certain_leaves_no_gap_in_value_or_gradient(name, loss_of):
    logits = torch.zeros(1, 2, 7)
    logits[0, :, 3] = 200
    logits.requires_grad_()
    labels = torch.full((1, 2), 3)
    distribution = logits.log_softmax(dim=-1)
    logp, of_other = distribution[..., 3], distribution[..., 0]
    mask = torch.ones(1, 2, dtype=torch.bool)
    seen = View(mask, logp, labels=labels, logits=logits, logp_runner_up=of_other)
    loss = loss_of("objective", name)
    total = loss.total(seen)
    (gradient,) = torch.autograd.grad(total, logits)
    assert logp[0, 0] == 0, "p rounds to 1"
    assert torch.isfinite(total) and torch.isfinite(gradient).all()
    if name == "ceu":
        # p - q, q being the softmax of the other tokens.
        assert gradient[0, 0].tolist() == pytest.approx([-1 / 6] * 3 + [1] + [-1 / 6] * 3, rel=1e-5)
        assert torch.isfinite(loss.weight(seen)).all()


def test_satimp_without_importance_is_wga(situation):
    case = situation(registry.get("objective", "satimp"), hyper={"beta1": 1.7, "beta2": 0})
    wga = replace(case, loss=objective("wga", alpha=1.7))
    assert case.value() == pytest.approx(wga.value(), rel=EXACT)
    same_gradient(case, wga.gradient(wga.total()))


def test_dpo_is_npo_once_refusals_are_as_likely_as_at_the_original(situation):
    case = situation(registry.get("objective", "dpo"), hyper={"beta": 0.6})
    npo = replace(case, loss=objective("npo", beta=0.6).bind(case.original))
    view = case.view()
    unmoved = replace(view, refusal=replace(view.refusal, logp=view.refusal.logp_ref))
    expected = npo.loss.values(npo.view(), beta=0.6)
    torch.testing.assert_close(case.loss.values(unmoved, beta=0.6), expected)


def test_simnpo_is_npo_with_a_reference_of_the_margin_over_the_length(situation):
    case = situation(registry.get("objective", "simnpo"), hyper={"beta": 1.3, "delta": 0.4})
    seen = case.view()
    lengths = seen.mask.sum(dim=1)
    # log p_o(s) = -|y| δ, and β / |y| in the place of β.
    reference = torch.where(seen.mask, -0.4, 0.0)
    ratio = seen.per_sample(seen.logp - reference)
    expected = 2 / 1.3 * torch.nn.functional.softplus(1.3 / lengths * ratio)
    torch.testing.assert_close(case.loss.values(seen, **case.loss.hyper), expected)


def test_undial_is_least_where_the_model_is_its_target(situation):
    case = situation(registry.get("objective", "undial"), hyper={"beta": 3.0})
    seen = case.view()
    lowered = seen.logits_ref - 3 * torch.nn.functional.one_hot(seen.labels, 61)
    at_target = replace(seen, logits=lowered.clone().requires_grad_())
    (gradient,) = torch.autograd.grad(case.loss.total(at_target), at_target.logits)
    assert gradient.abs().max() < 1e-12
    assert case.loss.total(at_target) < case.loss.total(seen)


def test_me_is_zero_at_the_uniform_distribution_alone(situation):
    case = situation(registry.get("objective", "me"))
    seen = case.view()
    uniform = replace(seen, logits=torch.full_like(seen.logits, 2.5))
    assert abs(case.loss.total(uniform).item()) < 1e-12
    assert (case.loss.values(seen)[seen.mask] > 0).all()


def test_ihl_gives_what_the_label_loses_to_the_runner_up_alone(rng):
    logits = torch.from_numpy(rng.normal(size=(1, 1, 6))).requires_grad_()
    label = int(rng.integers(6))
    logp = logits.log_softmax(dim=-1)
    others = [v for v in range(6) if v != label]
    p = logp[0, 0].exp().tolist()
    runner_up = max(others, key=lambda v: p[v])
    seen = View(
        torch.ones(1, 1, dtype=torch.bool),
        logp[..., label],
        logp_runner_up=logp[..., runner_up],
    )
    (gradient,) = torch.autograd.grad(objective("ihl").total(seen), logits)
    lifted = p[runner_up] - p[label]
    for v in range(6):
        own = {label: p[v], runner_up: -p[v]}.get(v, 0)
        assert gradient[0, 0, v].item() == pytest.approx(own + lifted * p[v], rel=1e-9)


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_a_normalised_direction_makes_rmu_blind_to_its_length(scale, situation):
    case = situation(registry.get("objective", "rmu"), hyper={"layer": 2, "c": 3.0})
    normalised = replace(
        case, loss=objective("rmu", layer=2, c=3.0, normalize=True).bind(None, case.control)
    )
    longer = replace(normalised, loss=normalised.loss.bind(None, scale * case.control))
    assert longer.value() == pytest.approx(normalised.value(), rel=1e-6)
    other = replace(case, loss=case.loss.bind(None, case.control / case.control.norm()))
    assert other.value() == pytest.approx(normalised.value(), rel=1e-6)
    assert case.value() != pytest.approx(normalised.value(), rel=1e-3)


def test_flat_changes_its_sign_where_answer_and_refusal_change_places(situation):
    case = situation(registry.get("objective", "flat"))
    view = case.view()
    swapped = replace(view.refusal, refusal=view)
    values = case.loss.values(view)
    torch.testing.assert_close(case.loss.values(swapped), -values)
    assert values.abs().max() > 0
    for mine, others in (("weight", "refusal_weight"), ("refusal_weight", "weight")):
        here, there = getattr(case.loss, mine)(view), getattr(case.loss, others)(swapped)
        torch.testing.assert_close(here, -there)


def test_ap_pulls_the_less_the_further_the_answer_is_ahead_of_the_refusal(situation):
    case = situation(registry.get("regularizer", "ap"), hyper={"beta": 0.5})
    view = case.view()
    pulls = []
    for ahead in (-20.0, 0.0, 20.0):
        # log p(answer) - log p(refusal) = ahead, all of it at the first label.
        refusal = replace(view.refusal, logp=torch.zeros_like(view.refusal.logp))
        logp = torch.zeros_like(view.logp)
        logp[torch.arange(len(logp)), view.mask.float().argmax(dim=1)] = ahead
        logp.requires_grad_()
        total = case.loss.total(replace(view, logp=logp, refusal=refusal))
        (gradient,) = torch.autograd.grad(total, logp)
        assert (gradient[view.mask] <= 0).all(), "descent raises the answers"
        pulls.append(-gradient[0][view.mask[0]].mean().item())
    assert pulls == pytest.approx([1, 0.5, 0], abs=1e-3)


def test_pairs_without_refusals_are_an_error_that_names_the_loss(situation):
    case = situation(registry.get("objective", "dpo"))
    alone = [replace(example, refusal=None) for example in case.examples]
    with pytest.raises(LossError, match="dpo: an example has no refusal beside it; set its"):
        case.loss.batches(alone, 2)
    with pytest.raises(LossError, match="ga does not look at refusals beside the answers"):
        objective("ga").refusal_weight(case.view())
    with pytest.raises(LossError, match="ga does not look at the runners-up to the labels"):
        objective("ga").runner_up_weight(case.view())


def assert_is_ga(case):
    as_ga = replace(case, loss=objective("ga"))
    assert case.value() == pytest.approx(as_ga.value(), rel=EXACT)
    expected = as_ga.gradient(as_ga.total())
    torch.testing.assert_close(
        case.gradient(case.total()), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


def test_wga_without_confidence_is_ga(situation):
    assert_is_ga(situation(registry.get("objective", "wga"), hyper={"alpha": 0}))


def test_tnpo_at_the_original_is_ga(situation):
    assert_is_ga(at_the_original(situation(registry.get("objective", "tnpo"))))


def test_gradient_of_npo_at_the_original_is_the_sum_of_ga(situation):
    case = at_the_original(situation(registry.get("objective", "npo")))
    as_ga = replace(case, loss=objective("ga"))
    expected = as_ga.gradient(as_ga.total())
    torch.testing.assert_close(
        case.gradient(case.total()), expected, rtol=0, atol=EXACT * expected.norm().item()
    )


@every_bounded
def test_declared_minimum_is_reached_exactly_at_the_original_alone(spec, situation):
    case = situation(spec)
    here = at_the_original(case)
    assert here.value() == here.count() * spec.minimum
    assert case.value() > case.count() * spec.minimum


# Pooling, binding, and what a loss's file may get wrong.
def test_all_positions_pool_questions_and_padding(situation):
    case = situation(registry.get("regularizer", "kl"))
    everywhere = regularizer("kl", positions="all").bind(case.original)
    batch = everywhere.batches(case.examples, 5)[0]
    assert batch.input_ids.shape[1] == PADDED_LENGTH > 128


def test_kl_at_all_positions_is_that_of_every_position(tiny_model, moved, random_examples):
    original = tiny_model("phi")
    model, examples = moved(original), random_examples(3)
    loss = replace(regularizer("kl", positions="all"), original=original)
    batch = collate(examples, pad_to=20)
    assert loss.count(batch) == 3 * 20
    with torch.no_grad():
        args = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        p, q = (m(**args).logits.log_softmax(-1) for m in (original, model))
        expected = (p.exp() * (p - q)).sum().item()
        assert loss.total(loss.view(model, batch)).item() == pytest.approx(expected, rel=1e-9)


def test_rows_end_in_their_own_eos_and_padding_is_no_label(random_examples):
    examples = [Example((7, 8, EOS), 1), Example((7, EOS, 9, 10, EOS), 2)]
    batch = collate(examples)
    assert batch.labels.tolist() == [
        [IGNORED, 8, EOS, IGNORED, IGNORED],
        [IGNORED, IGNORED, 9, 10, EOS],
    ]
    assert batch.start == 0 and batch.label_count == 5


def test_log_probabilities_that_a_batch_brings_along_are_taken(situation):
    case = situation(registry.get("objective", "tnpo"))
    batch = with_reference(case.original, collate(case.examples))
    expected = case.value()
    case.loss = replace(case.loss, original=None)
    assert case.value(batch) == pytest.approx(expected, rel=EXACT)


def test_a_loss_holds_the_original_model_only_where_it_looks_at_it():
    assert objective("ga").bind("θ_o", "u") == objective("ga")
    assert objective("npo", beta=1.0).bind("θ_o", "u").original == "θ_o"
    rmu = objective("rmu", layer=1, c=1.0).bind("θ_o", "u")
    assert rmu.original is None and rmu.control_vector == "u"
    rr = regularizer("rr", layer=1, coefficient=3.0).bind("θ_o", "u")
    assert (rr.original, rr.control_vector, rr.coefficient) == ("θ_o", None, 3.0)


def test_weights_are_detached_and_pooled_as_the_loss_is(random_examples, tiny_model):
    seen = RISK.view(tiny_model(), collate(random_examples(4)))
    loss = Loss("mine", lambda view: view.logp, weights=lambda view: view.logp * 2)
    assert not loss.weight(seen).requires_grad
    assert loss.total_weight(seen).item() == pytest.approx(2 * seen.logp.sum().item())
    by_sample = Loss("mine", lambda v: v.logp.sum(1), lambda v: v.logp[:, 0] * 0 + 3, {}, "sample")
    assert by_sample.total_weight(seen).item() == 12
    with pytest.raises(LossError, match="risk does not reweight"):
        RISK.weight(seen)


@pytest.mark.parametrize(
    ("reduction", "values"),
    [("sample", lambda view: view.logp), ("token", lambda view: view.logp.sum(dim=1))],
)
def test_values_of_another_shape_than_declared_are_an_error_that_names_the_loss(reduction, values):
    mask = torch.ones(3, 4, dtype=torch.bool)
    seen = View(mask, torch.zeros(3, 4))
    with pytest.raises(LossError, match=r"mine: returns values of shape \[.*set REDUCTION"):
        Loss("mine", values, reduction=reduction).total(seen)


def test_hyper_parameters_with_a_default_may_be_left_out():
    assert objective("rmu", layer=1, c=2.0).hyper["normalize"] is False
    assert objective("rmu", layer=1, c=2.0, normalize=True).hyper["normalize"] is True
    with pytest.raises(LossError, match="hyper-parameters are layer, c, normalize, not c"):
        objective("rmu", c=2.0)


def test_hyper_parameters_are_exactly_those_declared():
    with pytest.raises(LossError, match="hyper-parameters are alpha, not none"):
        objective("wga")
    with pytest.raises(LossError, match="pools the positions labels, not 'all'"):
        regularizer("nll", positions="all")


def test_what_half_precision_computes_comes_in_float32(tiny_model, random_examples):
    model, original = (tiny_model(dtype=torch.bfloat16) for _ in range(2))
    needs = {"reference_logits", "reference_hidden_states", "hidden_states"}
    seen = view(model, collate(random_examples(2)), needs, layer=1, original=original)
    for found in (seen.logits, seen.logits_ref, seen.hidden, seen.hidden_ref, seen.logp):
        assert found.dtype == torch.float32
    p, q = (x.double().log_softmax(-1) for x in (seen.logits, seen.logits_ref))
    found = regularizer("kl").values(seen)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), (q.exp() * (q - p)).sum(dim=-1), rtol=1e-4, atol=1e-6
    )
