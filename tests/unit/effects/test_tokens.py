"""Token effects by forward mode against one autograd backward per token."""

import pytest
import torch
from common import declarations
from naive import numpy_of, products

from geffect.data.batches import IGNORED, collate
from geffect.effects.gradients import Directions, data_batches, gradient
from geffect.effects.tokens import token_effects, value_effects
from geffect.losses.loss import RISK
from geffect.losses.view import next_tokens
from geffect.models.components import component_map

# Weights are detached for a backward pass, not for a forward one: the token table serves these.
SPECS = [spec for spec in declarations() if not spec.weighted]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_every_label_token_is_that_of_its_own_backward_pass(
    precision, tied, tiny_model, random_examples, direction, per_label, naive_view
):
    architecture, dtype, tolerance = precision
    model = tiny_model(architecture, dtype=dtype, tied=tied)
    examples = random_examples(4)
    components = component_map(model)
    expected = [per_label(model, example) for example in examples]
    risk = gradient(model, RISK, random_examples(3), 2)[1]
    directions = Directions({"risk": risk, "any": direction(model), "other": direction(model)})
    for size in (1, 3, len(examples)):
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            batch = collate(part)
            logp, by_direction = token_effects(model, batch, directions)
            for row, example in enumerate(part):
                first = example.prompt_length - 1 - batch.start
                naive = naive_view(model, example)
                for k, reference in enumerate(expected[start + row]):
                    at = example.prompt_length - 1 + k
                    assert logp[row, first + k].item() == pytest.approx(
                        naive.logp[0, at].item(), rel=max(tolerance, 1e-12) * 10
                    )
                    for name, found in by_direction.items():
                        given = numpy_of(directions[name])
                        value, scale = products(reference, given, components)["total"]
                        assert abs(found[row, first + k].item() - value) <= tolerance * scale
                outside = [t for t in range(logp.shape[1]) if not 0 <= t - first <= k]
                for found in by_direction.values():
                    assert (found[row, outside] == 0).all()


def test_directions_share_a_pass_and_do_not_mix(tiny_model, random_examples, direction):
    model, batch = tiny_model(), collate(random_examples(3))
    directions = Directions({name: direction(model) for name in "abc"})
    together = token_effects(model, batch, directions)[1]
    for name in directions:
        alone = token_effects(model, batch, Directions({"one": dict(directions[name])}))[1]["one"]
        torch.testing.assert_close(together[name], alone, rtol=1e-12, atol=1e-12)
    assert token_effects(model, batch, Directions({}))[1] == {}
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("spec", SPECS, ids=[f"{s.kind}-{s.name}" for s in SPECS])
def test_the_effects_of_what_any_loss_pools_sum_to_its_gradient_in_that_direction(
    spec,
    precision,
    tiny_model,
    moved,
    random_examples,
    direction,
    loss_of,
    control_vector,
):
    architecture, dtype, tolerance = precision
    original = tiny_model(architecture, dtype=dtype)
    model, examples = moved(original), random_examples(4)
    loss = loss_of(spec.kind, spec.name, original, control_vector())
    given = Directions({"risk": gradient(model, RISK, examples, 2)[1], "any": direction(model)})
    _, exact = gradient(model, loss, examples, 4)
    expected = {
        name: products(numpy_of(exact), numpy_of(tensors), component_map(model))["total"]
        for name, tensors in given.items()
    }
    for size in (1, 3, 4):
        batches = data_batches(loss, examples, size)
        masks = [next_tokens(batch) != IGNORED for batch in batches]
        slopes = [value_effects(model, loss, batch, given) for batch in batches]
        count = {"token": sum(len(e.labels) for e in examples), "sample": len(examples)}
        count = count[spec.reduction]
        for name, (slope, scale) in expected.items():
            pooled = [
                s[name][mask] if spec.reduction == "token" else s[name]
                for s, mask in zip(slopes, masks, strict=True)
            ]
            found = sum(values.sum().item() for values in pooled) / count
            assert abs(found - slope) <= tolerance * scale
