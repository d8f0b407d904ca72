"""The one map from parameter names to components: embed, shallow, middle, deep, lm.

shallow = blocks 1..⌈L/3⌉, middle = up to ⌈2L/3⌉, deep = the rest.
"""

import torch
from transformers import PretrainedConfig, PreTrainedModel

from geffect.errors import ModelError
from geffect.names import MINIMUM_BLOCKS


def check_blocks(config: PretrainedConfig, where: str, layers: int | None = None) -> None:
    """Raises ModelError unless there are at least 3 blocks, and `layers` of them where given."""
    blocks = getattr(config, "num_hidden_layers", None)
    if not isinstance(blocks, int):
        raise ModelError(f"{where}: its config does not say num_hidden_layers; use another model")
    if blocks < MINIMUM_BLOCKS:
        raise ModelError(
            f"{where}: {blocks} blocks, but shallow, middle and deep need {MINIMUM_BLOCKS}"
        )
    if layers is not None and blocks != layers:
        raise ModelError(f"{where}: {blocks} blocks, but the configuration says layers: {layers}")


def thirds(layers: int) -> list[str]:
    """The component of each block: 1..⌈L/3⌉ shallow, up to ⌈2L/3⌉ middle, the rest deep."""
    shallow, middle = -(-layers // 3), -(-2 * layers // 3)
    return ["shallow"] * shallow + ["middle"] * (middle - shallow) + ["deep"] * (layers - middle)


def component_map(model: PreTrainedModel) -> dict[str, tuple[str, int | None]]:
    """For every parameter: its component and its block (1..L, None outside the blocks).

    `embed` is the input embedding (learned positions included), `lm` the final norm and the
    unembedding; tied embeddings count under `embed` alone, since they are one parameter.

    Raises:
        ModelError: a parameter belongs to no component (an unknown architecture).
    """
    layers = model.config.num_hidden_layers
    blocks = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers
    ]
    if not blocks:
        raise ModelError(f"{type(model).__name__}: no list of {layers} blocks was found")
    prefix = blocks[0]
    parent = prefix.rpartition(".")[0]
    modules = dict(model.named_modules())
    names = {id(m): name for name, m in modules.items()}
    embed = names[id(model.get_input_embeddings())]
    head = names[id(model.get_output_embeddings())]
    third = thirds(layers)
    result: dict[str, tuple[str, int | None]] = {}
    for name, _ in model.named_parameters():
        module = name.rpartition(".")[0]
        if name.startswith(prefix + "."):
            block = int(name[len(prefix) + 1 :].split(".")[0])
            result[name] = (third[block], block + 1)
        elif module == embed or isinstance(modules[module], torch.nn.Embedding):
            result[name] = ("embed", None)
        elif module == head or (module.startswith(parent) and "norm" in module.lower()):
            result[name] = ("lm", None)
        else:
            raise ModelError(
                f"{type(model).__name__}: {name} belongs to no component; extend component_map"
            )
    return result
