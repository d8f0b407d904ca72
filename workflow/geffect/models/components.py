"""The one map from parameter names to components: embed, shallow, middle, deep, lm.

shallow = blocks 1..⌈L/3⌉, middle = up to ⌈2L/3⌉, deep = the rest. Nothing is found by its name, so
that the map holds for every architecture: the blocks are the longest list of modules, what a model
runs before them is embed, and what it runs after them lm.
"""

from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from geffect.errors import ModelError
from geffect.models.compute import evaluating, input_device
from geffect.names import MINIMUM_BLOCKS, thirds


def block_count(config: PretrainedConfig) -> int | None:
    """The number of blocks that a config declares under whatever name; None if it does not."""
    blocks = getattr(config.get_text_config(), "num_hidden_layers", None)
    return blocks if isinstance(blocks, int) else None


def check_blocks(config: PretrainedConfig, where: str, layers: int | None = None) -> None:
    """Raises ModelError unless there are at least 3 blocks, and `layers` of them where given."""
    blocks = block_count(config)
    if blocks is None:
        raise ModelError(f"{where}: its config does not say num_hidden_layers; use another model")
    if blocks < MINIMUM_BLOCKS:
        raise ModelError(
            f"{where}: {blocks} blocks, but shallow, middle and deep need {MINIMUM_BLOCKS}"
        )
    if layers is not None and blocks != layers:
        raise ModelError(f"{where}: {blocks} blocks, but the configuration says layers: {layers}")


def component_map(model: PreTrainedModel) -> dict[str, tuple[str, int | None]]:
    """For every parameter: its component and its block (1..L, None outside the blocks).

    `embed` is what runs before the blocks (token embeddings, learned positions, their norm), `lm`
    what runs after them (final norm, unembedding); tied embeddings count under `embed` alone, since
    they are one parameter, and so does whatever several blocks share under the first of them.

    Raises:
        ModelError: no list of at least 3 blocks is found, or the model does not run through it.
    """
    prefix, blocks = _blocks(model)
    modules = dict(model.named_modules())
    early = _before(model, blocks[0])
    tokens = model.get_input_embeddings()
    third = thirds(len(blocks))
    result: dict[str, tuple[str, int | None]] = {}
    for name, _ in model.named_parameters():
        if name.startswith(prefix + "."):
            block = int(name[len(prefix) + 1 :].split(".")[0])
            result[name] = (third[block], block + 1)
        else:
            module = modules[name.rpartition(".")[0]]
            result[name] = ("embed" if module is tokens or module in early else "lm", None)
    return result


def _blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The longest list of modules that is in no other list, and its name.

    One that is as long as the config says goes before any other.
    """
    declared = block_count(model.config)
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    inner = {n for n in lists for other in lists if n.startswith(other + ".")}
    found = [(n, m) for n, m in lists.items() if n not in inner and len(m) >= MINIMUM_BLOCKS]
    if not found:
        raise ModelError(
            f"{type(model).__name__}: no list of at least {MINIMUM_BLOCKS} blocks was found; use "
            "another model"
        )
    return max(found, key=lambda item: (len(item[1]) == declared, len(item[1])))


class _Reached(Exception):
    """The first block is about to run."""


def _before(model: PreTrainedModel, first: nn.Module) -> set[nn.Module]:
    """The modules that have begun to run when the first block does, on one token."""
    begun: set[nn.Module] = set()

    def begin(module: nn.Module, _: Any) -> None:
        if module is first:
            raise _Reached
        begun.add(module)

    handles = [module.register_forward_pre_hook(begin) for module in model.modules()]
    token = torch.zeros(1, 1, dtype=torch.long, device=input_device(model))
    try:
        # In evaluation mode no dropout draws random numbers.
        with evaluating(model), torch.no_grad():
            model(input_ids=token, use_cache=False)
    except _Reached:
        return begun
    finally:
        for handle in handles:
            handle.remove()
    raise ModelError(f"{type(model).__name__}: it does not run its blocks; use another model")
