"""Weights rounded to few bits, as a model is that is made small for use.

Round to nearest, symmetrically, with one scale for every output channel: the channel's greatest
weight is (2^(b-1) - 1) steps from 0. Rounded are the weights of the linear layers in the blocks;
embeddings, the unembedding, norms and biases stay as they are, as bitsandbytes and GPTQ leave
them. Products are computed in the model's own format, so that nothing but the weights changes.
"""

from collections.abc import Iterator

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from geffect.errors import ModelError
from geffect.models.components import component_map

LEAST = 0.5
"""The share of the blocks' parameters that must lie in linear layers."""


@torch.no_grad()
def rounded(weight: torch.Tensor, bits: int, axis: int = 0) -> torch.Tensor:
    """A weight at the nearest of its 2^b - 1 levels.

    Args:
        weight: [out, in], or with its output channels along another `axis`.
        bits: b, at least 2.

    Returns:
        The same shape and type: |w - q| ≤ s/2 with s = max|w| / (2^(b-1) - 1) of its channel.
    """
    top = 2 ** (bits - 1) - 1
    others = [dim for dim in range(weight.dim()) if dim != axis]
    scale = weight.abs().amax(dim=others) / top
    scale = torch.where(scale > 0, scale, torch.ones_like(scale)).float()  # a channel of zeros
    zero = torch.zeros(scale.shape, dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -top, top)


@torch.no_grad()
def round_weights(model: PreTrainedModel, bits: int) -> float:
    """Rounds a model's weights in place; returns the share of its parameters that it rounds.

    Raises:
        ModelError: most parameters of its blocks are in no linear layer (experts, for one).
    """
    inside = {name for name, (_, block) in component_map(model).items() if block is not None}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    found = dict(_linear(model, inside))
    rounds = sum(sizes[name] for name in found)
    if rounds < LEAST * sum(sizes[name] for name in inside):
        raise ModelError(
            f"{type(model).__name__}: most weights of its blocks are in no linear layer and cannot "
            "be rounded by output channel; set quantize: []"
        )
    for weight, axis in found.values():
        weight.copy_(rounded(weight, bits, axis))
    return rounds / sum(sizes.values())


def _linear(
    model: PreTrainedModel, inside: set[str]
) -> Iterator[tuple[str, tuple[torch.Tensor, int]]]:
    """Name -> weight and the axis of its output channels, of the linear layers of the blocks."""
    for name, module in model.named_modules():
        path = f"{name}.weight"
        if path in inside and isinstance(module, nn.Linear | Conv1D):
            yield path, (module.weight, 1 if isinstance(module, Conv1D) else 0)
