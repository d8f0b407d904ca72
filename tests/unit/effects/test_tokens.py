"""Token effects by forward mode against one autograd backward per token."""

import math

import pytest
from naive import numpy_of, products

from geffect import registry
from geffect.effects.gradients import data_batches, gradient, risk_term
from geffect.effects.tokens import directional, token_effects
from geffect.encoding import collate
from geffect.errors import NotFiniteError
from geffect.models import component_map
from geffect.training import Term

# Weights are detached for a backward pass, not for a forward one: the token table serves these.
SPECS = [
    spec
    for kind in registry.KINDS
    for spec in registry.catalogue(kind).values()
    if not spec.weighted
]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_every_label_token_is_that_of_its_own_backward_pass(
    precision, tied, tiny_model, random_examples, direction, per_label, naive_view
):
    architecture, dtype, tolerance = precision
    model = tiny_model(architecture, dtype=dtype, tied=tied)
    examples = random_examples(4)
    components = component_map(model)
    expected = [per_label(model, example) for example in examples]
    for given in (gradient(model, risk_term(random_examples(3)), 2)[1], direction(model)):
        for size in (1, 3, len(examples)):
            for start in range(0, len(examples), size):
                part = examples[start : start + size]
                batch = collate(part)
                logp, found = token_effects(model, batch, given)
                for row, example in enumerate(part):
                    first = example.prompt_length - 1 - batch.start
                    naive = naive_view(model, example)
                    for k, reference in enumerate(expected[start + row]):
                        value, scale = products(reference, numpy_of(given), components)["total"]
                        assert abs(found[row, first + k].item() - value) <= tolerance * scale
                        at = example.prompt_length - 1 + k
                        assert logp[row, first + k].item() == pytest.approx(
                            naive.logp[0, at].item(), rel=max(tolerance, 1e-12) * 10
                        )
                    outside = [t for t in range(found.shape[1]) if not 0 <= t - first <= k]
                    assert (found[row, outside] == 0).all()


@pytest.mark.parametrize("spec", SPECS, ids=[f"{s.kind}-{s.name}" for s in SPECS])
def test_the_directional_derivative_of_any_loss_is_its_gradient_in_that_direction(
    spec,
    precision,
    tiny_model,
    moved,
    random_examples,
    direction,
    draw_hyperparameters,
    control_vector,
):
    architecture, dtype, tolerance = precision
    original = tiny_model(architecture, dtype=dtype)
    model, control, examples = moved(original), control_vector(), random_examples(4)
    term = Term(spec.kind, spec, draw_hyperparameters(spec), lambda step: examples)
    given = direction(model)
    value, exact = gradient(model, term, 4, original, control)
    expected, scale = products(numpy_of(exact), numpy_of(given), component_map(model))["total"]
    for size in (1, 3, 4):
        sums = [
            directional(model, term, batch, given, original, control)
            for batch in data_batches(term, size)
        ]
        count = {"token": sum(len(e.labels) for e in examples), "sample": len(examples)}
        count = count[spec.reduction]
        total, slope = (sum(s[k].item() for s in sums) / count for k in (0, 1))
        assert total == pytest.approx(value, rel=max(tolerance, 1e-9))
        assert abs(slope - expected) <= tolerance * scale


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_direction_that_is_not_finite_is_an_error_that_names_the_parameter(
    value, tiny_model, random_examples, direction
):
    model = tiny_model()
    broken = direction(model)
    name = list(broken)[2]
    broken[name].view(-1)[0] = value
    with pytest.raises(NotFiniteError, match=name):
        token_effects(model, collate(random_examples(2)), broken)
