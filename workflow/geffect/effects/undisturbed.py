"""Measuring in the middle of somebody else's training, which must not notice.

Gradients that accumulate, random numbers, modes and wrappers are as they were when it goes on.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from geffect.errors import ModelError
from geffect.models.adapters import is_adapted
from geffect.models.compute import computing_in, evaluating

INSTEAD = "train on one device, or measure saved checkpoints with `python -m geffect effects`"
# By name: none of these is imported where it is not in use.
_SHARDED_MODULES = {"FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine"}
_SHARDED_PARAMETERS = {"DTensor", "FlatParameter"}


def check_undivided(model: torch.nn.Module) -> None:
    """Checks that gradients can be taken here: that every parameter is whole, and only a parameter.

    Raises:
        ModelError: the model is sharded (FSDP, DeepSpeed), offloaded, or quantised and without
            LoRA, or something acts on a gradient as soon as it is there.
    """

    def refuse(what: str) -> ModelError:
        return ModelError(f"{what}; G-effects need whole parameters: {INSTEAD}")

    for module in model.modules():
        if found := _SHARDED_MODULES & _kinds(module):
            raise refuse(f"{type(model).__name__} is sharded ({found.pop()})")
    # Their gradients pass through quantised weights, which have none of their own.
    adapted = is_adapted(model)
    for name, parameter in model.named_parameters():
        if found := _SHARDED_PARAMETERS & _kinds(parameter):
            raise refuse(f"parameter {name} is sharded ({found.pop()})")
        if hasattr(parameter, "ds_id"):
            raise refuse(f"parameter {name} is sharded (DeepSpeed ZeRO-3)")
        if parameter.numel() == 0:
            raise refuse(f"parameter {name} is sharded (nothing of it is here)")
        if parameter.is_meta:
            raise refuse(f"parameter {name} is offloaded")
        if not (parameter.is_floating_point() or adapted):
            raise refuse(f"parameter {name} is quantised ({parameter.dtype})")
        if parameter._post_accumulate_grad_hooks or parameter._backward_hooks:
            raise ModelError(
                f"parameter {name} has a hook on its gradient (an optimizer that updates layer by "
                f"layer?), which a measurement would set off; use another, or {INSTEAD}"
            )


def _kinds(thing: object) -> set[str]:
    return {base.__name__ for base in type(thing).__mro__}


@contextlib.contextmanager
def undisturbed(model: PreTrainedModel, precision: str) -> Iterator[None]:
    """Within it a model may be measured; afterwards everything is as it was before.

    The model is in evaluation mode, uncompiled, and without gradient checkpointing, which does not
    go together with forward-mode differentiation. What accelerate wraps around its forward pass is
    taken off: the measurement itself sees to the `precision` of each pass (`models.compute`).
    """
    modules, parameters = list(model.modules()), list(model.parameters())
    kept = [_Attributes(m, "gradient_checkpointing") for m in modules]
    kept += [_Attributes(m, "_compiled_call_impl") for m in modules]
    kept += [_Attributes(p, "grad") for p in parameters]
    kept += [_Attributes(model, "forward")]
    try:
        with (
            evaluating(model),
            _random_numbers(parameters),
            computing_in(precision),
            torch.enable_grad(),
        ):
            for module in modules:
                if hasattr(module, "gradient_checkpointing"):
                    vars(module)["gradient_checkpointing"] = False
                vars(module)["_compiled_call_impl"] = None
            for parameter in parameters:
                parameter.grad = None
            if "_original_forward" in vars(model):
                vars(model)["forward"] = vars(model)["_original_forward"]
            yield
    finally:
        for attributes in kept:
            attributes.restore()


class _Attributes:
    """What some attributes of an object were, and which it had of its own."""

    def __init__(self, owner: Any, *names: str):
        self.owner = owner
        if isinstance(owner, torch.Tensor):
            self.values = {name: getattr(owner, name) for name in names}
        else:
            self.values = {name: vars(owner)[name] for name in names if name in vars(owner)}
        self.missing = [name for name in names if name not in self.values]

    def restore(self) -> None:
        for name, value in self.values.items():
            setattr(self.owner, name, value)
        for name in self.missing:
            vars(self.owner).pop(name, None)


@contextlib.contextmanager
def _random_numbers(parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    devices = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
