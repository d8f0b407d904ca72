"""Which term of the loss moved the weights how far: the displacement of AdamW, split exactly.

AdamW's update is linear in the clipped gradients once its second moment v is given. With
g = λ∇L_reg and c_t the factor of clipping, the first moment of the regularizer alone is

    m_reg ← β1 · m_reg + (1 - β1) · c_t · g

and it moves the weights by

    Δ_reg += -lr_t · [m_reg / (1 - β1^t)] / (√(v_t / (1 - β2^t)) + ε).

Weight decay moves them by Δ_decay += -lr_t · (weight decay) · θ_{t-1}, and the objective by the
rest. This is an attribution and not a counterfactual: v, c and all later steps are shared.

Memory, in units of the model's size: 2 for the regularizer's share (and in every resume state), 1
for that of weight decay where there is any; nothing without a regularizer and weight decay, or
without anybody who looks. All of it can be parked (`models.offload`).
"""

from collections.abc import Mapping, MutableMapping

import torch
from transformers import PreTrainedModel

from geffect.models.offload import parked, resting
from geffect.names import DECAY, REGULARIZER

Displacement = MutableMapping[str, torch.Tensor]
"""Parameter -> how far it was moved."""


class Shares:
    """The shares of the regularizer and of weight decay since somebody last looked.

    Args:
        model: what is trained; its parameters are followed by name.
        optimizer: AdamW with one group of parameters.
        regularized: whether there is a regularizer.
        observed: whether anybody ever looks; if not, nothing is kept.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        optimizer: torch.optim.AdamW,
        regularized: bool,
        observed: bool,
    ):
        regularized = regularized and observed
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimizer = optimizer
        self.moment: Displacement = self._zeros() if regularized else {}
        self.moved: dict[str, Displacement] = {}
        if regularized:
            self.moved[REGULARIZER] = self._zeros()
        if observed and optimizer.param_groups[0]["weight_decay"]:
            self.moved[DECAY] = self._zeros()

    def _zeros(self) -> Displacement:
        return parked("shares", {name: torch.zeros_like(p) for name, p in self.parameters.items()})

    @torch.no_grad()
    def before_update(self, gradient: Mapping[str, torch.Tensor], clip: float) -> None:
        """Call when gradients are clipped and weights not yet moved.

        Args:
            gradient: λ∇L_reg before clipping; parameters that it does not hold have none.
            clip: c_t, by which all gradients were multiplied.
        """
        group = self.optimizer.param_groups[0]
        beta1 = group["betas"][0]
        for name, moment in self.moment.items():
            moment.mul_(beta1)
            if name in gradient:
                moment.add_(gradient[name], alpha=(1 - beta1) * clip)
            self.moment[name] = moment
        if DECAY in self.moved:
            factor = -group["lr"] * group["weight_decay"]
            for name, moved in self.moved[DECAY].items():
                if self.parameters[name].grad is not None:  # else AdamW leaves it as it is
                    self.moved[DECAY][name] = moved.add_(self.parameters[name], alpha=factor)

    @torch.no_grad()
    def after_update(self, learning_rate: float) -> None:
        """Call when the optimiser has moved the weights; `learning_rate` is that of this update."""
        group = self.optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        for name, moment in self.moment.items():
            state = self.optimizer.state[self.parameters[name]]
            if not state:  # no gradient has ever reached it, so it was not moved
                continue
            step = float(state["step"])
            square = state["exp_avg_sq"].to(moment.device)
            scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
            # A learning rate that leaves the range of the weights' type moves them to infinity.
            factor = torch.tensor(-learning_rate / (1 - beta1**step), dtype=moment.dtype).item()
            share = self.moved[REGULARIZER]
            share[name] = share[name].addcdiv_(moment, scale, value=factor)

    def reset(self) -> None:
        """Starts again from zero: somebody has looked."""
        for moved in self.moved.values():
            for tensor in resting(moved).values():
                tensor.zero_()

    def state(self) -> dict[str, torch.Tensor]:
        """Everything as tensors by name, for a resume state."""
        groups = {"moment": self.moment, **self.moved}
        return {
            f"{group}.{name}": tensor
            for group, tensors in groups.items()
            for name, tensor in resting(tensors).items()
        }

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes up what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
