"""What of a model with adapters is measured along somebody else's training.

The workflow's own adapters are plain LoRA, and all that it trains. Elsewhere they may be of any
kind that PEFT has, and other parameters may be trained beside them. In the coordinates
`names.ADAPTER` whatever is trainable is measured as it is; `names.MERGED` stands for W0 + s · BA
alone.
"""

from typing import cast

from torch import nn
from transformers import PreTrainedModel

from geffect.errors import ConfigError, ModelError
from geffect.models.adapters import Original, is_adapted, layers, weights
from geffect.names import ADAPTER, MERGED


def check_parameters(parameters: str) -> None:
    """Raises ConfigError unless there are such coordinates."""
    if parameters not in (ADAPTER, MERGED):
        raise ConfigError(f"parameters: {parameters!r} is unknown; use {ADAPTER} or {MERGED}")


def check_coordinates(model: nn.Module, parameters: str) -> None:
    """Checks that a model can be measured in some coordinates.

    Raises:
        ConfigError: merged weights are asked for without adapters.
        ModelError: or with others than plain LoRA, or something else is trained beside it.
    """
    if parameters == ADAPTER:
        return
    if not is_adapted(model):
        raise ConfigError(
            f"parameters: {MERGED}: the model has no LoRA adapters; leave it out, and what is "
            "trained is measured"
        )
    if why := _beyond_lora(model):
        raise ModelError(
            f"{why}; there are no G-effects of merged weights then: leave out parameters: "
            f"{MERGED}, and what is trained is measured as it is"
        )
    parameters_of = dict(model.named_parameters())
    for name in layers(model):
        weight = parameters_of.get(f"{name}.base_layer.weight")
        if weight is None:
            raise ModelError(
                f"{name}: its weight is another module's as well, or not called so; there are no "
                f"G-effects of merged weights then: leave out parameters: {MERGED}"
            )
        if not weight.is_floating_point():
            raise ModelError(
                f"{name}: its weight is quantised ({weight.dtype}), and has no gradient; leave out "
                f"parameters: {MERGED}, and the adapters are measured"
            )


def is_lora_alone(model: nn.Module) -> bool:
    """Whether plain LoRA adapters are all that is trained."""
    return is_adapted(model) and not _beyond_lora(model)


def _beyond_lora(model: nn.Module) -> str:
    """What else is trained than all of plain LoRA adapters; empty if nothing is."""
    try:
        own = weights(model)
    except ModelError as error:
        return str(error)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in own:
            return f"{name} is trained beside the adapters"
    frozen = [name for name, parameter in own.items() if not parameter.requires_grad]
    return f"{frozen[0]} is frozen" if frozen else ""


def original_within(model: PreTrainedModel) -> PreTrainedModel | None:
    """θ_o without a copy of it: the model at its start itself, its adapters switched off.

    None where that would be another model, since the adapters do not begin at zero, or are not all
    that is trained.
    """
    if not is_lora_alone(model):
        return None
    begun = any(p.any() for name, p in weights(model).items() if ".lora_B." in name)
    return None if begun else cast(PreTrainedModel, Original(model))
