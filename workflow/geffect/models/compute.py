"""Where and how a model computes: its device, threads, determinism, precision."""

import contextlib
import os
from contextlib import AbstractContextManager
from typing import cast

import torch
from transformers import PreTrainedModel

from geffect.errors import ModelError


def prepare(device: str = "auto", threads: int = 1) -> torch.device:
    """Fixes everything that numbers depend on besides the data, and returns the device.

    The thread count comes from the configuration and never from the scheduler, since one and two
    threads give different bits.

    Args:
        device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
        threads: the number of threads on the CPU.

    Raises:
        ModelError: CUDA is requested but not available.
    """
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # a property of the module
    return find_device(device)


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


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context of a forward pass: autocast for the precision "bf16", none for "float32"."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
