"""Model folders as `save_pretrained` writes them: loading, saving, the record of a divergence."""

import logging
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

from geffect import files
from geffect.errors import DamagedError, ModelError
from geffect.models.components import check_blocks, component_map

DIVERGED = "DIVERGED.json"  # stands in for weights that do not exist

logging.getLogger("transformers").setLevel(logging.ERROR)
disable_progress_bar()


def load_model(
    folder: str | Path, device: torch.device | str = "cpu", dtype: str = "float32"
) -> PreTrainedModel:
    """Loads a model from a `save_pretrained` folder (safetensors only, no remote code).

    With several visible GPUs the blocks are spread over them (one process, so the batch size and
    the numbers do not depend on how many there are).

    Raises:
        ModelError: the folder holds no model, or the record of a diverged run.
        DamagedError: its weights are truncated.
    """
    folder = Path(folder)
    if diverged(folder):
        raise ModelError(f"{folder}: the run diverged, so there are no weights to load")
    if missing := files.missing_files(folder):
        raise ModelError(
            f"{folder}: not a model folder (no {missing[0]}); name one written by save_pretrained"
        )
    target = torch.device(device)
    spread = target.type == "cuda" and target.index is None and torch.cuda.device_count() > 1
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            device_map="auto" if spread else None,
        )
    except SafetensorError as error:
        raise DamagedError(folder, f"its weights are damaged ({_first_line(error)})") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: cannot be loaded ({_first_line(error)})") from error
    check_blocks(model.config, str(folder))
    component_map(model)  # fails here rather than after hours of training
    if not spread:
        model.to(target)  # type: ignore[arg-type] # transformers' decorator hides `self`
    return model.eval()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model folder.

    Raises:
        ModelError: there is none, or it has no EOS token or no character offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: no tokenizer ({_first_line(error)})") from error
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise ModelError(f"{folder}: the tokenizer needs an EOS token and character offsets (fast)")
    return cast(PreTrainedTokenizerFast, tokenizer)


def positions(folder: str | Path) -> int | None:
    """The number of positions of the model in a folder; None if its config does not say."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return getattr(config, "max_position_embeddings", None)


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path
) -> None:
    """Writes model and tokenizer as a `save_pretrained` folder, under a temporary name first."""
    with files.written_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


def record_divergence(folder: str | Path, step: int, reason: str) -> None:
    """Writes the record of a divergence in the place of the weights, which do not exist."""
    with files.written_folder(folder) as partial:
        files.write_json({"step": step, "reason": reason}, partial / DIVERGED)


def diverged(folder: str | Path) -> dict | None:
    """The record of a diverged run in a model folder; None if there is none."""
    path = Path(folder) / DIVERGED
    return files.read_json(path) if path.is_file() else None
