"""Token effects by forward mode against one autograd backward per token."""

import pytest
import torch
from common import declarations
from naive import entropy, numpy_of, products, runner_up

from geffect.data.batches import IGNORED, collate
from geffect.effects.gradients import Directions, data_batches, gradient
from geffect.effects.tokens import token_effects, value_effects
from geffect.losses.loss import RISK
from geffect.losses.view import next_tokens
from geffect.models.components import component_map

# Others have effects of tokens times weights.
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
    of_others = [per_label(model, example, "logp_runner_up") for example in examples]
    risk = gradient(model, RISK, random_examples(3), 2)[1]
    directions = Directions({"risk": risk, "any": direction(model), "other": direction(model)})
    for size in (1, 3, len(examples)):
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            batch = collate(part)
            found = token_effects(model, batch, directions)
            for row, example in enumerate(part):
                first = example.prompt_length - 1 - batch.start
                naive = naive_view(model, example)
                sides = (
                    (found.logp, found.effects, naive.logp, expected),
                    (
                        found.logp_runner_up,
                        found.effects_runner_up,
                        naive.logp_runner_up,
                        of_others,
                    ),
                )
                for logp, effects, naive_logp, references in sides:
                    for k, reference in enumerate(references[start + row]):
                        at = example.prompt_length - 1 + k
                        assert logp[row, first + k].item() == pytest.approx(
                            naive_logp[0, at].item(), rel=max(tolerance, 1e-12) * 10
                        )
                        for name, by_token in effects.items():
                            given = numpy_of(directions[name])
                            value, scale = products(reference, given, components)["total"]
                            error = abs(by_token[row, first + k].item() - value)
                            assert error <= tolerance * scale
                for k, label in enumerate(example.labels):
                    logits = naive.logits[0, example.prompt_length - 1 + k].double()
                    probabilities = logits.softmax(dim=-1).tolist()
                    second = runner_up(probabilities, label)
                    assert found.runner_up[row, first + k].item() == second
                    assert found.entropy[row, first + k].item() == pytest.approx(
                        entropy(probabilities), rel=max(tolerance, 1e-12) * 10
                    )
                outside = [t for t in range(logp.shape[1]) if not 0 <= t - first <= k]
                nothing = [found.logp, found.entropy, found.runner_up, found.logp_runner_up]
                nothing += [*found.effects.values(), *found.effects_runner_up.values()]
                assert all((of[row, outside] == 0).all() for of in nothing)


def test_directions_share_a_pass_and_do_not_mix(tiny_model, random_examples, direction):
    model, batch = tiny_model(), collate(random_examples(3))
    directions = Directions({name: direction(model) for name in "abc"})
    together = token_effects(model, batch, directions)
    for name in directions:
        alone = token_effects(model, batch, Directions({"one": dict(directions[name])}))
        for of in ("effects", "effects_runner_up"):
            mine, other = getattr(together, of)[name], getattr(alone, of)["one"]
            torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    nothing = token_effects(model, batch, Directions({}))
    assert nothing.effects == nothing.effects_runner_up == {}
    for of in ("logp", "entropy", "runner_up", "logp_runner_up"):
        torch.testing.assert_close(getattr(nothing, of), getattr(together, of))
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
