"""Model folders as `save_pretrained` writes them: loading, saving, the record of a divergence."""

import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

from geffect import files
from geffect.errors import DamagedError, ModelError
from geffect.models.components import check_blocks, component_map
from geffect.models.compute import frozen

DIVERGED = "DIVERGED.json"  # stands in for weights that do not exist
TOKENIZER = "tokenizer.json"
_VOCABULARIES = (TOKENIZER, "tokenizer.model", "vocab.json", "vocab.txt")
UNUSABLE = (OSError, ValueError, StrictDataclassError)
"""What transformers raises for a config that it cannot use."""
_WHAT_TO_DO = "name a complete folder of save_pretrained, or remove this one and make it again"


def _quiet() -> None:
    # Not on import: somebody who trains by transformers wants to see what it says.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()


def load_model(
    folder: str | Path, device: torch.device | str = "cpu", dtype: str = "float32"
) -> PreTrainedModel:
    """Loads a model from a `save_pretrained` folder (safetensors only, no remote code).

    With several visible GPUs the blocks are spread over them (one process, so the batch size and
    the numbers do not depend on how many there are).

    Raises:
        ModelError: there is no such folder, it is of another kind of model, or it holds the record
            of a diverged run.
        DamagedError: a file is missing, its weights are truncated, or they are not those of its
            config.json.
    """
    _quiet()
    folder = Path(folder)
    if diverged(folder):
        raise ModelError(f"{folder}: the run diverged, so there are no weights to load")
    _check_files(folder, files.missing_files(folder), "config.json")
    target = torch.device(device)
    spread = target.type == "cuda" and target.index is None and torch.cuda.device_count() > 1
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            output_loading_info=True,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            device_map="auto" if spread else None,
            # Grouped products of experts have no forward mode.
            experts_implementation="eager",
        )
    except SafetensorError as error:
        raise DamagedError(folder, f"its weights are damaged ({reason(error)})") from error
    except UNUSABLE as error:
        raise ModelError(f"{folder}: cannot be loaded ({reason(error)})") from error
    except RuntimeError as error:
        if "mismatched_sizes" not in str(error):
            raise
        what = "weights of other sizes than its config.json says"
        raise DamagedError(folder, what, _WHAT_TO_DO) from error
    model, found = loaded
    # transformers would draw what is missing at random.
    if lost := sorted(found["missing_keys"]):
        raise DamagedError(folder, f"no weights of {lost[0]}", _WHAT_TO_DO)
    check_blocks(model.config, str(folder))
    component_map(model)  # fails here rather than after hours of training
    if not spread:
        model.to(target)
    return model.eval()


def load_original(folder: str | Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """Loads θ_o, which stays as it is beside a model that changes (`compute.frozen`).

    Raises:
        ModelError, DamagedError: as `load_model`.
    """
    return frozen(load_model(folder, device))


def check_finite(model: PreTrainedModel, folder: str | Path) -> None:
    """Checks the weights of a model that is to be trained.

    Raises:
        DamagedError: naming the folder that they came from: one of them is not a finite number.
    """
    for name, parameter in model.named_parameters():
        # A finite sum, which costs less to find, has no other terms.
        values = parameter.detach()
        if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
            raise DamagedError(
                folder, f"its weights {name} are not all finite numbers", _WHAT_TO_DO
            )


def _check_files(folder: Path, missing: list[str], described: str) -> None:
    """Raises an error if files of a model folder are missing, or its file `described` is cut off.

    A run makes its own folders whole, so that one of them is damaged, and can be made again.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; name one written by save_pretrained")
    if missing:
        raise DamagedError(folder, f"not a model folder (no {missing[0]})", _WHAT_TO_DO)
    try:
        json.loads((folder / described).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # there are tokenizers of other formats
    except ValueError as error:
        raise DamagedError(folder, f"its {described} is damaged", _WHAT_TO_DO) from error


def reason(error: Exception) -> str:
    """What an error of transformers says, in one line."""
    lines = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, StrictDataclassError):  # of a config; where it was found comes first
        return lines[-1].strip().removeprefix("TypeError: ")
    return lines[0]


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model folder.

    Raises:
        ModelError: it cannot be used: it has no EOS token or no character offsets.
        DamagedError: there is none, or its file is truncated.
    """
    _quiet()
    folder = Path(folder)
    # Without any of these transformers would make an empty one.
    missing = [] if any((folder / name).is_file() for name in _VOCABULARIES) else [TOKENIZER]
    _check_files(folder, missing, TOKENIZER)
    _check_files(folder, [], "config.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    except (*UNUSABLE, KeyError) as error:
        raise ModelError(f"{folder}: no tokenizer ({reason(error)})") from error
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise ModelError(f"{folder}: the tokenizer needs an EOS token and character offsets (fast)")
    return cast(PreTrainedTokenizerFast, tokenizer)


def add_tokenizer(folder: str | Path, of: str | Path) -> None:
    """Adds tokenizer.json to a model folder, from which the tokenizer can be read without torch.

    Args:
        folder: lacks that file.
        of: the model folder whose tokenizer it is, in whatever format.

    Raises:
        ModelError, DamagedError: as `load_tokenizer`.
    """
    with files.written(Path(folder) / TOKENIZER) as partial:
        load_tokenizer(of).backend_tokenizer.save(str(partial))


def positions_of(config: PretrainedConfig) -> int | None:
    """The number of positions that a model knows; None if its config does not say."""
    return getattr(config, "max_position_embeddings", None)


def positions(folder: str | Path) -> int | None:
    """The number of positions of the model in a folder; None if its config does not say.

    Raises:
        ModelError: its config is of no known architecture.
        DamagedError: it has none, or a truncated one.
    """
    _quiet()
    _check_files(Path(folder), files.missing_files(folder, ["config.json"]), "config.json")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNUSABLE as error:
        raise ModelError(f"{folder}: no usable config.json ({reason(error)})") from error
    return positions_of(config)


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path
) -> None:
    """Writes model and tokenizer as a `save_pretrained` folder, under a temporary name first."""
    with files.written_folder(folder) as partial:
        fill(model, tokenizer, partial)


def fill(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Writes model and tokenizer into a folder that is there."""
    _quiet()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def record_divergence(folder: str | Path, step: int, reason: str) -> None:
    """Writes the record of a divergence in the place of the weights, which do not exist."""
    with files.written_folder(folder) as partial:
        files.write_json({"step": step, "reason": reason}, partial / DIVERGED)


def diverged(folder: str | Path) -> dict | None:
    """The record of a diverged run in a model folder; None if there is none."""
    path = Path(folder) / DIVERGED
    return files.read_json(path) if path.is_file() else None
