"""∇R(D) · ∇log p_i for every label token and its runner-up, by forward-mode differentiation.

One pass gives the change of every log p_i along all directions: in units of a forward and backward
pass over the same rows (three matrix products a weight), a third for the forward pass that all
directions share, and two thirds for each direction. The runner-up, the most probable token other
than the label, and the entropy are read off the same pass. Where a model has no forward mode, the
same comes from differentiating backwards twice: of v ↦ ⟨∇⟨v, log p⟩, G⟩, which is linear in v.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
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
from geffect.losses.view import View, chosen, entropy, forward, next_tokens, runner_up
from geffect.messages import warn_once
from geffect.models.compute import raised

log = logging.getLogger(__name__)


def derivatives(
    model: PreTrainedModel,
    directions: Directions,
    function: Callable[[Any], tuple[Tensor, tuple[Tensor, ...]]],
) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, ...]]:
    """The value of `function(model)`, its derivative along each direction, and what else it gives.

    Args:
        function: a model -> the value, and tensors that are not differentiated.
    """
    if not directions:
        with torch.no_grad():
            value, others = function(model)
            return value, {}, others
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
                    warn_once(
                        log,
                        f"{type(model).__name__}: tokens are measured by differentiating backwards "
                        "twice, with all gradients and their graph in memory, since the model has "
                        f"no forward mode ({why})",
                    )
                    return found
            return _backwards(model, directions, function)
    finally:
        handle.remove()


_without_forward_mode: WeakSet[nn.Module] = WeakSet()


def has_forward_mode(model: PreTrainedModel) -> bool:
    """Whether nothing has shown so far that a model has no forward mode."""
    return model not in _without_forward_mode


def _forwards(
    model: PreTrainedModel,
    directions: Directions,
    function: Callable[[Any], tuple[Tensor, tuple[Tensor, ...]]],
) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, ...]]:
    # In one type with its tangent, as forward mode wants it; autocast would round it anyway.
    parameters = {
        name: p.detach().bfloat16() if name in directions.half else p.detach()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    tangents = {name: directions.stacked[name].to(p.dtype) for name, p in parameters.items()}

    def of(values: dict[str, Tensor]) -> Any:
        return function(At(model, values))

    def along(tangent: dict[str, Tensor]) -> Any:
        return jvp(of, (parameters,), (tangent,), has_aux=True)

    with torch.no_grad():
        out_dims: Any = (None, 0, None)  # one value, a slope for each direction
        value, slopes, others = vmap(along, out_dims=out_dims)(tangents)
    return value, dict(zip(directions, slopes, strict=True)), others


def _backwards(
    model: PreTrainedModel,
    directions: Directions,
    function: Callable[[Any], tuple[Tensor, tuple[Tensor, ...]]],
) -> tuple[Tensor, dict[str, Tensor], tuple[Tensor, ...]]:
    parameters = {
        name: p.detach().requires_grad_() for name, p in model.named_parameters() if p.requires_grad
    }
    with torch.enable_grad():
        value, others = function(At(model, parameters))
        along = torch.zeros_like(value, requires_grad=True)
        gradients = torch.autograd.grad(
            value, list(parameters.values()), along, create_graph=True, allow_unused=True
        )
        slopes = {}
        for direction, tensors in directions.items():
            pairs = zip(parameters, gradients, strict=True)
            products = [(g * tensors[n]).sum() for n, g in pairs if g is not None]
            total = torch.stack([product.to(value.device) for product in products]).sum()
            slopes[direction] = torch.autograd.grad(total, along, retain_graph=True)[0]
    return value.detach(), slopes, others


class At:
    """A model at other parameter values, called like the model itself."""

    def __init__(self, model: PreTrainedModel, values: dict[str, Tensor]):
        self.model, self.values = model, values

    def __call__(self, **arguments: Any) -> Any:
        """The model's output at those values."""
        return functional_call(self.model, self.values, (), arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@dataclass(frozen=True)
class TokenEffects:
    """What a pass tells of every label token; all [B, T] from `Batch.start` on.

    Attributes:
        logp: log p_i in nats.
        effects: by direction, the derivative of log p_i along it.
        entropy: of the model's distribution at the token's place, in nats.
        runner_up: the id of the most probable token other than the label.
        logp_runner_up, effects_runner_up: as those of the label, of that token.

    Where no label is predicted everything is 0.
    """

    logp: Tensor
    effects: dict[str, Tensor]
    entropy: Tensor
    runner_up: Tensor
    logp_runner_up: Tensor
    effects_runner_up: dict[str, Tensor]


def token_effects(model: PreTrainedModel, batch: Batch, directions: Directions) -> TokenEffects:
    """log p of every label token and of its runner-up, and their derivatives along directions.

    With ∇R(D) as the direction the derivative is the token's effect ∇R(D) · ∇log p_i.
    """
    labels = next_tokens(batch)
    mask = labels != IGNORED

    def logp(at: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        distribution = raised(forward(at, batch).logits).log_softmax(dim=-1)
        of_label = labels.clamp(min=0)
        second = runner_up(distribution, of_label)
        both = [chosen(distribution, ids, mask) for ids in (of_label, second)]
        others = (entropy(distribution), second)
        return torch.stack(both), tuple(of.masked_fill(~mask, 0) for of in others)

    (of_labels, of_others), slopes, (entropies, second) = derivatives(model, directions, logp)
    return TokenEffects(
        of_labels,
        {name: slope[0] for name, slope in slopes.items()},
        entropies,
        second,
        of_others,
        {name: slope[1] for name, slope in slopes.items()},
    )


def token_rows(
    model: PreTrainedModel,
    batch: Batch,
    directions: Directions,
    numbers: np.ndarray,
    objective: Loss | None = None,
    left: Tensor | None = None,
) -> pd.DataFrame:
    """`token_effects` as a table with a row per label token.

    Args:
        batch: with reference log-probabilities (`losses.view.with_reference`).
        numbers: the numbers of the batch's rows [B].
        objective: adds the column `weight`, if it reweights log-likelihoods of these labels alone.
        left: [B, T], the labels that a selection of tokens leaves to the objective; None for all.

    Returns:
        `sample`, `token` (position among the sample's labels), `id`, `logp`, `logp_ref` (nats),
        `e_{name}` for every direction; `entropy` (nats), `runner_up` (the id of the most probable
        token other than the label), `logp_runner_up`, `e_{name}_runner_up`; and `weight` (a
        sample's weight stands at each of its tokens; 0 at what is not left). All values in float64.
    """
    labels = next_tokens(batch)
    mask = labels != IGNORED
    found = token_effects(model, batch, directions)
    assert batch.logp_ref is not None
    columns = {"logp": found.logp, "logp_ref": batch.logp_ref}
    columns |= {f"e_{name}": effects for name, effects in found.effects.items()}
    columns |= {"entropy": found.entropy, "logp_runner_up": found.logp_runner_up}
    columns |= {f"e_{name}_runner_up": e for name, e in found.effects_runner_up.items()}
    if objective is not None and objective.weighs_labels_alone:
        view = weighed(mask if left is None else left, found.logp, batch.logp_ref)
        columns["weight"] = view.by_token(objective.weight(view)).masked_fill(~view.mask, 0)
    return pd.DataFrame(
        {
            "sample": numbers[mask.nonzero()[:, 0].cpu().numpy()],
            "token": (mask.cumsum(dim=1) - 1)[mask].cpu().numpy(),
            "id": labels[mask].cpu().numpy(),
            "runner_up": found.runner_up[mask].cpu().numpy(),
            **{name: values[mask].double().cpu().numpy() for name, values in columns.items()},
        }
    )


def weighed(mask: Tensor, logp: Tensor, logp_ref: Tensor) -> View:
    """What the weights of an objective look at, of the labels of a mask; all [B, T]."""
    return View(mask, logp.masked_fill(~mask, 0), logp_ref=logp_ref.masked_fill(~mask, 0))


def value_effects(
    model: PreTrainedModel, loss: Loss, batch: Batch, directions: Directions
) -> dict[str, Tensor]:
    """The derivatives of what a loss's mean pools, by direction: [B, T], or [B] for samples.

    For losses that do not reweight log-likelihoods (KL, RR, RMU), without a backward pass.
    """
    return derivatives(
        model, directions, lambda at: (loss.values(loss.view(at, batch), **loss.hyper), ())
    )[1]
