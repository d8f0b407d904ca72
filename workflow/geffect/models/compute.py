"""Where and how a model computes: its device, threads, determinism, precision."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from geffect.errors import ModelError
from geffect.models import offload as _offload
from geffect.models.setting import Setting
from geffect.names import PRECISIONS


def prepare(
    device: str = "auto",
    threads: int = 1,
    precision: str = "float32",
    tf32: bool = False,
    offload: Sequence[str] = (),
) -> torch.device:
    """Fixes everything that numbers depend on besides the data, and returns the device.

    The thread count comes from the configuration and never from the scheduler, since one and two
    threads give different bits.

    Args:
        device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
        threads: the number of threads on the CPU.
        precision: of every forward pass from now on, see `computing_in`.
        tf32: whether a GPU may round the factors of float32 matrix products to 10 bits.
        offload: what rests in the machine's memory when it is not read (`names.OFFLOADED`).

    Raises:
        ModelError: CUDA is requested but not available, or the GPU knows no bfloat16 or TF32 that
            is asked for, or something unknown is to be offloaded.
    """
    found = find_device(device)
    check_formats(found, precision, tf32)
    _precision.set(precision)
    _offload.prepare(offload)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a property of the module
    return found


def computing_in(precision: str) -> AbstractContextManager[None]:
    """Every forward pass within it computes in this precision.

    "bf16" is autocast: matrix products take and give bfloat16, while weights, gradients, sums over
    tokens, and products of gradients stay as they are. "float32" leaves all as the model has it.

    Raises:
        ModelError: the precision is unknown.
    """
    return _precision.within(precision)


def _known(precision: str) -> str:
    if precision not in PRECISIONS:
        raise ModelError(f"precision: {precision!r} is unknown; use {' or '.join(PRECISIONS)}")
    return precision


_precision = Setting("float32", _known)


def check_formats(device: torch.device, precision: str, tf32: bool) -> None:
    """Raises ModelError unless a device computes in the number formats that are asked for.

    A GPU that only emulates bfloat16 counts as one without it. The CPU has all of them, slowly.
    """
    if device.type != "cuda":
        return
    asked = {"precision: bf16": precision == "bf16", "tf32: true": tf32}
    with torch.cuda.device(device):
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return
        name = torch.cuda.get_device_name()
        version = ".".join(map(str, torch.cuda.get_device_capability()))
    for key in (key for key, wanted in asked.items() if wanted):
        instead = key.replace("bf16", "float32").replace("true", "false")
        raise ModelError(
            f"{key}: {name} (compute capability {version}) has no such format, which needs 8.0; "
            f"set {instead}, or use another GPU"
        )


def gpus(device: torch.device) -> list[tuple[str, int]]:
    """Name and bytes of memory of every GPU over which a model on this device is spread."""
    if device.type != "cuda":
        return []
    seen = range(torch.cuda.device_count()) if device.index is None else [device.index]
    found = [torch.cuda.get_device_properties(index) for index in seen]
    return [(properties.name, properties.total_memory) for properties in found]


def find_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA if available, else the CPU.

    Raises:
        ModelError: there is no such device, or CUDA is requested but not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device: {name!r} is requested, but torch sees no GPU; use cpu or auto")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device: {name!r} is unknown; use auto, cpu, cuda or cuda:N") from error


def input_device(model: PreTrainedModel) -> torch.device:
    """The device on which a model expects its token ids."""
    return cast(torch.Tensor, model.get_input_embeddings().weight).device


def autocast(device: torch.device, several: bool = False) -> AbstractContextManager:
    """The context of a forward pass, or of `several`, in the precision that is in force.

    Only several passes keep the rounded weights from one use to the next: a single pass uses each
    weight once, and copies of all of them would take half of their memory again.
    """
    if _precision.now == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=several)


def halved(model: PreTrainedModel) -> frozenset[str]:
    """The parameters that are rounded to bfloat16 wherever they are used, as precision is now.

    Those of linear layers are; those that something else uses as well are not.
    """
    if _precision.now == "float32":
        return frozenset()
    users: dict[int, list[bool]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            users.setdefault(id(parameter), []).append(type(module) is nn.Linear)
    return frozenset(name for name, p in model.named_parameters() if all(users[id(p)]))


def frozen(model: PreTrainedModel) -> PreTrainedModel:
    """The model, never to be trained: what each use would round (`halved`) is rounded once.

    No output changes, and its matrices take half of their memory.
    """
    names = halved(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False)
        if name in names:
            parameter.data = parameter.data.bfloat16()
    return model


def recompute(model: PreTrainedModel) -> None:
    """Has blocks computed again in the backward passes of training, and `while_recomputing`."""
    model.activation_checkpointing_enable()
    # Its hook is for frozen embeddings, and cannot be differentiated in forward mode.
    model.disable_input_require_grads()


@contextlib.contextmanager
def while_recomputing(model: PreTrainedModel) -> Iterator[None]:
    """Backward passes compute blocks again, also in evaluation mode, if `recompute` was called.

    Transformers looks at the block's own mode for that. So do some blocks for their dropout, which
    is why a block is in training mode only up to its own code.
    """
    blocks: list[Any] = [
        module
        for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]
    checkpoints = [block._gradient_checkpointing_func for block in blocks]
    try:
        for block, checkpoint in zip(blocks, checkpoints, strict=True):
            block._gradient_checkpointing_func = partial(
                _in_its_mode, block.training, block, checkpoint
            )
        with _in_mode(blocks, training=True):
            yield
    finally:
        for block, checkpoint in zip(blocks, checkpoints, strict=True):
            block._gradient_checkpointing_func = checkpoint


def _in_its_mode(
    training: bool, block: nn.Module, checkpoint: Callable, compute: Callable, *given: Any
) -> Any:
    def computed(*given: Any) -> Any:
        with _in_mode([block], training):
            return compute(*given)

    return checkpoint(computed, *given)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it the model is in evaluation mode; afterwards each module in that which it was in."""
    with _in_mode(model.modules(), training=False):
        yield


@contextlib.contextmanager
def _in_mode(modules: Iterable[nn.Module], training: bool) -> Iterator[None]:
    before = [(module, module.training) for module in modules]
    try:
        for module, _ in before:
            module.training = training
        yield
    finally:
        for module, mode in before:
            module.training = mode


def raised(values: torch.Tensor) -> torch.Tensor:
    """Half-precision values in float32, in which they can be summed; others as they are."""
    return values.float() if values.itemsize < 4 else values
