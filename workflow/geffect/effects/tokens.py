"""∇R(D) · ∇log p_i for every label token, by forward-mode differentiation.

One pass a direction gives the change of every log p_i along it: in units of a forward and backward
pass over the same rows about one (a forward pass, and twice its products for the tangent).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from geffect.effects.gradients import Gradient, check_finite
from geffect.encoding import Batch
from geffect.losses import forward, log_probabilities
from geffect.training import Term, term_view


def along(model, direction: Gradient, function: Callable) -> tuple[Tensor, Tensor]:
    """The value of `function(model)` and its derivative along a direction in parameter space.

    Raises:
        NotFiniteError: the direction is not finite.
    """
    check_finite(direction, "direction")
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    tangents = {name: direction[name].to(p.dtype) for name, p in parameters.items()}

    def of(values):
        return function(_At(model, values))

    # The fused attention kernels have no forward mode.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return jvp(of, (parameters,), (tangents,))


class _At:
    """A model at other parameter values, to be called as the model is."""

    def __init__(self, model, values):
        self.model, self.values = model, values

    def __call__(self, **arguments):
        return functional_call(self.model, self.values, (), arguments)

    def __getattr__(self, name):
        return getattr(self.model, name)


def token_effects(model, batch: Batch, direction: Gradient) -> tuple[Tensor, Tensor]:
    """log p_i of every label token and its derivative along a direction.

    With ∇R(D) as the direction the derivative is the token's effect ∇R(D) · ∇log p_i.

    Returns:
        Both [B, T] from `batch.start` on, 0 where no label is predicted.

    Raises:
        NotFiniteError: the direction is not finite.
    """

    def logp(at):
        return log_probabilities(forward(at, batch).logits, batch)[0]

    return along(model, direction, logp)


def directional(
    model, term: Term, batch: Batch, direction: Gradient, reference=None, control=None
) -> tuple[Tensor, Tensor]:
    """The sum of a term's loss over a batch, and its derivative along a direction (scalars).

    For losses that do not reweight log-likelihoods (KL, RR, RMU), without a backward pass.
    """
    module = term.spec.module()

    def total(at):
        return module.loss(term_view(at, term, batch, reference, control), **term.hyper).total

    return along(model, direction, total)
