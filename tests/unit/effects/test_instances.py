"""The instance × component pass against one autograd backward per instance."""

import copy

import pytest
import torch
from naive import numpy_of, products, summed
from torch import nn

from geffect.data.batches import collate
from geffect.effects.gradients import Directions, gradient, places
from geffect.effects.instances import instance_effects, plan
from geffect.losses.loss import RISK
from geffect.models.components import component_map
from geffect.names import COMPONENTS


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_every_instance_and_component_is_that_of_its_own_backward_pass(
    precision, tied, tiny_model, random_examples, direction, per_label
):
    architecture, dtype, tolerance = precision
    model = tiny_model(architecture, dtype=dtype, tied=tied)
    examples, retain = random_examples(5), random_examples(4)
    components = component_map(model)
    directions = Directions(
        {
            "unlearn": gradient(model, RISK, examples, 2)[1],
            "retain": gradient(model, RISK, retain, 3)[1],
            "anything": direction(model),
        }
    )
    expected = [summed(per_label(model, example)) for example in examples]
    for size in (1, 3, len(examples)):
        for start in range(0, len(examples), size):
            part = examples[start : start + size]
            logp, found = instance_effects(model, collate(part), directions, components)
            assert logp.shape[0] == len(part)
            for name, tensors in directions.items():
                assert list(found[name]) == places(components)
                for row in range(len(part)):
                    reference = products(expected[start + row], numpy_of(tensors), components)
                    for place, (value, scale) in reference.items():
                        error = abs(found[name][place][row].item() - value)
                        assert error <= tolerance * scale, (name, place, row)


def test_components_add_up_to_the_total(tiny_model, random_examples, direction):
    model = tiny_model(blocks=4)
    components = component_map(model)
    directions = Directions({"any": direction(model)})
    found = instance_effects(model, collate(random_examples(3)), directions, components)[1]["any"]
    total = sum(found[component] for component in COMPONENTS)
    torch.testing.assert_close(total, found["total"], rtol=0, atol=0)
    blocks = sum(found[f"layer.{block}"] for block in range(1, 5))
    thirds = sum(found[name] for name in ("shallow", "middle", "deep"))
    torch.testing.assert_close(blocks, thirds, rtol=1e-12, atol=1e-12)


def test_log_probability_is_the_sum_over_the_labels(tiny_model, random_examples, naive_view):
    model, examples = tiny_model(), random_examples(4)
    logp, _ = instance_effects(model, collate(examples), Directions({}), component_map(model))
    for row, example in enumerate(examples):
        expected = naive_view(model, example).logp.sum().item()
        assert logp[row].sum().item() == pytest.approx(expected, rel=1e-12)


def test_the_model_is_left_as_it_was(tiny_model, random_examples, direction):
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    examples = collate(random_examples(3))
    directions = Directions({"any": direction(model)})
    instance_effects(model, examples, directions, component_map(model))
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


class Squared(nn.Module):
    """A layer that is not linear in its parameter."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.gain = inner, nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x):
        return self.inner(x) * self.gain**2


class GemmaRMSNorm(nn.Module):
    """Scales by 1 + weight: not linear in it."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, x):
        return x * x.square().mean(-1, keepdim=True).rsqrt() * (1 + self.weight)


@pytest.mark.parametrize("other", ["Squared", "GemmaRMSNorm"])
def test_a_module_that_is_not_linear_in_its_parameters_is_differentiated(
    other, tiny_model, random_examples, direction, per_label
):
    model = tiny_model("llama")
    block = model.model.layers[1]
    if other == "Squared":
        block.mlp.down_proj = Squared(block.mlp.down_proj)
    else:
        block.input_layernorm = GemmaRMSNorm(16)
    _are_those_of_their_own_backward_passes(model, random_examples(3), direction, per_label)


class WithPositions(nn.Module):
    """Token embeddings with learned positions, which all rows share."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens, self.positions = tokens, nn.Embedding(128, 16, dtype=torch.float64)

    @property
    def weight(self):
        return self.tokens.weight

    def forward(self, ids):
        return self.tokens(ids) + self.positions(torch.arange(ids.shape[1])[None])


def test_learned_positions_that_all_rows_share_are_right(
    tiny_model, random_examples, direction, per_label
):
    model = tiny_model()
    model.model.embed_tokens = WithPositions(model.model.embed_tokens)
    _are_those_of_their_own_backward_passes(model, random_examples(3), direction, per_label)


class Mixing(nn.Module):
    """A layer in which the rows of a batch stand one after the other in another order."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return (
            self.inner(x.transpose(0, 1).flatten(0, 1)).unflatten(0, x.shape[1::-1]).transpose(0, 1)
        )


def test_a_module_that_sees_tokens_in_another_order_is_not_trusted(
    tiny_model, random_examples, direction, per_label
):
    model = tiny_model("llama")
    mlp = model.model.layers[1].mlp
    mlp.down_proj = Mixing(mlp.down_proj)
    _are_those_of_their_own_backward_passes(model, random_examples(3), direction, per_label)
    assert "model.layers.1.mlp.down_proj" in plan(model).owners


def _are_those_of_their_own_backward_passes(model, examples, direction, per_label):
    components = component_map(model)
    directions = Directions({"any": direction(model)})
    found = instance_effects(model, collate(examples), directions, components)[1]["any"]
    for row, example in enumerate(examples):
        own = summed(per_label(model, example))
        for place, (value, scale) in products(own, numpy_of(directions["any"]), components).items():
            assert abs(found[place][row].item() - value) <= 1e-6 * scale, (place, row)
