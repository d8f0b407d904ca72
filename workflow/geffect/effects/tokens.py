"""∇R(D) · ∇log p_i for every label token, by forward-mode differentiation.

One pass gives the change of every log p_i along all directions: in units of a forward and backward
pass over the same rows (three matrix products a weight), a third for the forward pass that all
directions share, and two thirds for each direction. Where a model has no forward mode, the same
comes from differentiating backwards twice: of v ↦ ⟨∇⟨v, log p⟩, G⟩, which is linear in v.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakSet

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from geffect.data.batches import IGNORED, Batch
from geffect.effects.gradients import Directions
from geffect.losses.loss import Loss
from geffect.losses.view import View, forward, log_probabilities, next_tokens

log = logging.getLogger(__name__)


def derivatives(
    model: PreTrainedModel, directions: Directions, function: Callable[[Any], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The value of `function(model)`, and its derivative along each direction."""
    if not directions:
        with torch.no_grad():
            return function(model), {}
    # Positions are cut out of the unembedding's input; vmap would copy its weight for every row.
    unembedding = model.get_output_embeddings()
    handle = unembedding.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    try:
        # The fused attention kernels have neither a forward mode nor second derivatives.
        with sdpa_kernel(SDPBackend.MATH):
            if has_forward_mode(model):
                try:
                    return _forwards(model, directions, function)
                except torch.OutOfMemoryError:
                    raise
                except (RuntimeError, NotImplementedError) as error:
                    why = " ".join(str(error).split())
                    found = _backwards(model, directions, function)
                    _without_forward_mode.add(model)
                    _say(type(model).__name__, why)
                    return found
            return _backwards(model, directions, function)
    finally:
        handle.remove()


_without_forward_mode: WeakSet[nn.Module] = WeakSet()


def has_forward_mode(model: PreTrainedModel) -> bool:
    """Whether nothing has shown so far that a model has no forward mode."""
    return model not in _without_forward_mode


@cache
def _say(model: str, why: str) -> None:
    """Once per process, since every checkpoint is a model of its own."""
    log.warning(
        "%s: tokens are measured by differentiating backwards twice, with all gradients and their "
        "graph in memory, since the model has no forward mode (%s)",
        model,
        why,
    )


def _forwards(
    model: PreTrainedModel, directions: Directions, function: Callable[[Any], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    # In one type with its tangent, as forward mode wants it; autocast would round it anyway.
    parameters = {
        name: p.detach().bfloat16() if name in directions.half else p.detach()
        for name, p in model.named_parameters()
    }
    tangents = {name: directions.stacked[name].to(p.dtype) for name, p in parameters.items()}

    def of(values: dict[str, Tensor]) -> Tensor:
        return function(At(model, values))

    def along(tangent: dict[str, Tensor]) -> Any:
        return jvp(of, (parameters,), (tangent,))

    with torch.no_grad():
        out_dims: Any = (None, 0)  # one value, a slope for each direction
        value, slopes = vmap(along, out_dims=out_dims)(tangents)
    return value, dict(zip(directions, slopes, strict=True))


def _backwards(
    model: PreTrainedModel, directions: Directions, function: Callable[[Any], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
    with torch.enable_grad():
        value = function(At(model, parameters))
        along = torch.zeros_like(value, requires_grad=True)
        gradients = torch.autograd.grad(
            value, list(parameters.values()), along, create_graph=True, allow_unused=True
        )
        slopes = {}
        for direction, tensors in directions.items():
            pairs = zip(parameters, gradients, strict=True)
            products = [(g * tensors[n].to(g.dtype)).sum() for n, g in pairs if g is not None]
            total = torch.stack([product.to(value.device) for product in products]).sum()
            slopes[direction] = torch.autograd.grad(total, along, retain_graph=True)[0]
    return value.detach(), slopes


class At:
    """A model at other parameter values, called like the model itself."""

    def __init__(self, model: PreTrainedModel, values: dict[str, Tensor]):
        self.model, self.values = model, values

    def __call__(self, **arguments: Any) -> Any:
        """The model's output at those values."""
        return functional_call(self.model, self.values, (), arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def token_effects(
    model: PreTrainedModel, batch: Batch, directions: Directions
) -> tuple[Tensor, dict[str, Tensor]]:
    """log p_i of every label token and its derivative along each direction.

    With ∇R(D) as the direction the derivative is the token's effect ∇R(D) · ∇log p_i.

    Returns:
        log p_i and, by direction, the derivatives; all [B, T] from `batch.start` on, 0 where no
        label is predicted.
    """

    def logp(at: Any) -> Tensor:
        return log_probabilities(forward(at, batch).logits, batch)[0]

    return derivatives(model, directions, logp)


def token_rows(
    model: PreTrainedModel,
    batch: Batch,
    directions: Directions,
    numbers: np.ndarray,
    objective: Loss | None = None,
) -> pd.DataFrame:
    """`token_effects` as a table with a row per label token.

    Args:
        batch: with reference log-probabilities (`losses.view.with_reference`).
        numbers: the numbers of the batch's rows [B].
        objective: adds the column `weight`, if it reweights log-likelihoods of these labels.

    Returns:
        `sample`, `token` (position among the sample's labels), `id`, `logp`, `logp_ref` (nats),
        `e_{name}` for every direction, and `weight` (a sample's weight stands at each of its
        tokens); all values in float64.
    """
    labels = next_tokens(batch)
    mask = labels != IGNORED
    logp, slopes = token_effects(model, batch, directions)
    assert batch.logp_ref is not None
    columns = {"logp": logp, "logp_ref": batch.logp_ref}
    columns |= {f"e_{name}": effects for name, effects in slopes.items()}
    if objective is not None and objective.weights is not None:
        weight = objective.weight(View(mask, logp, logp_ref=batch.logp_ref))
        columns["weight"] = weight[:, None].expand_as(logp) if weight.dim() == 1 else weight
    return pd.DataFrame(
        {
            "sample": numbers[mask.nonzero()[:, 0].cpu().numpy()],
            "token": (mask.cumsum(dim=1) - 1)[mask].cpu().numpy(),
            "id": labels[mask].cpu().numpy(),
            **{name: values[mask].double().cpu().numpy() for name, values in columns.items()},
        }
    )


def value_effects(
    model: PreTrainedModel, loss: Loss, batch: Batch, directions: Directions
) -> dict[str, Tensor]:
    """The derivatives of what a loss's mean pools, by direction: [B, T], or [B] for samples.

    For losses that do not reweight log-likelihoods (KL, RR, RMU), without a backward pass.
    """
    return derivatives(
        model, directions, lambda at: loss.values(loss.view(at, batch), **loss.hyper)
    )[1]
