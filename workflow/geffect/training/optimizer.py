"""AdamW's updates, with its moments in the machine's memory where the optimiser is offloaded."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geffect.models import offload

MOMENTS = ("exp_avg", "exp_avg_sq")


def update(optimizer: torch.optim.AdamW) -> None:
    """One update of every parameter that has a gradient.

    Where the optimiser is offloaded (`models.offload`) they are updated one after another, each
    with its own moments beside it: the same numbers, since no parameter's update depends on
    another's.
    """
    if not offload.away("optimizer"):
        optimizer.step()
        return
    parameters = [p for p in optimizer.param_groups[0]["params"] if p.grad is not None]
    gradients = [p.grad for p in parameters]
    optimizer.zero_grad(set_to_none=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
        state = optimizer.state[parameter]
        parked = {name: state[name] for name in MOMENTS if name in state}
        state |= {name: offload.raised(t, parameter.device) for name, t in parked.items()}
        optimizer.step()
        for name in MOMENTS:
            if name in parked:
                state[name] = parked[name].copy_(state[name])
            else:
                state[name] = offload.lowered(state[name])
        parameter.grad = None


def restore(
    optimizer: torch.optim.AdamW, moments: Mapping[int, dict[str, Tensor]], groups: list[Any]
) -> None:
    """Takes up the states by the parameters' numbers, and the groups, of `state_dict`."""
    if not offload.away("optimizer"):
        optimizer.load_state_dict({"state": dict(moments), "param_groups": groups})
        return
    optimizer.load_state_dict({"state": {}, "param_groups": groups})
    parameters = optimizer.param_groups[0]["params"]
    for number, state in moments.items():
        # Loaded by the optimiser itself, all moments would be on the card at once.
        device = parameters[number].device
        optimizer.state[parameters[number]] = {
            name: offload.lowered(tensor) if name in MOMENTS else tensor.to(device, copy=True)
            for name, tensor in state.items()
        }
