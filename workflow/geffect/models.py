"""Models: tiny ones from scratch, any Hugging Face causal model from a folder.

Also the one map from parameter names to the components of PAPER's convention 5.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from geffect import files
from geffect.errors import DamagedError, ModelError

COMPONENTS = ("embed", "shallow", "middle", "deep", "lm")
EOS = "<|endoftext|>"
MINIMUM_BLOCKS = 3
DIVERGED = "DIVERGED.json"  # in the place of weights that do not exist

logging.getLogger("transformers").setLevel(logging.ERROR)
disable_progress_bar()


def device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one.

    Raises:
        ModelError: CUDA was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device: {name!r} was asked for, but torch sees no GPU; use cpu or auto")
    return torch.device(name)


def load(folder, device_name: str = "auto", dtype: str = "float32"):
    """Loads a model from a `save_pretrained` folder (safetensors only, no remote code).

    With several visible GPUs the blocks are spread over them (one process, so the batch size and
    the numbers do not depend on how many there are).

    Raises:
        ModelError: the folder holds no model, or the record of a diverged run.
        DamagedError: its weights are cut off.
    """
    folder = Path(folder)
    if diverged(folder):
        raise ModelError(f"{folder}: the run diverged, there are no weights to load")
    if missing := files.lacking(folder):
        raise ModelError(f"{folder}: no model, it has no {missing[0]}")
    target = device(device_name)
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
    component_map(model)  # better refused here than after hours of training
    return model.eval() if spread else model.to(target).eval()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_tokenizer(folder):
    """The fast tokenizer of a model folder.

    Raises:
        ModelError: it has no EOS token or no character offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: no tokenizer ({_first_line(error)})") from error
    if tokenizer.eos_token_id is None or not tokenizer.is_fast:
        raise ModelError(f"{folder}: the tokenizer needs an EOS token and character offsets (fast)")
    return tokenizer


def positions(folder) -> int | None:
    """The number of positions of the model in a folder, as far as its config says."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return getattr(config, "max_position_embeddings", None)


def download(repository: str, revision: str, layers: int, folder) -> None:
    """Fetches a hub model (safetensors, configuration, tokenizer) into a folder.

    Raises:
        ModelError: it does not have `layers` blocks, or no safetensors.
    """
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
    with files.written_folder(folder) as partial:
        snapshot_download(repository, revision=revision, allow_patterns=patterns, local_dir=partial)
        if not any(partial.glob("*.safetensors")):
            raise ModelError(f"{repository} at {revision}: has no safetensors weights")
        config = AutoConfig.from_pretrained(partial, local_files_only=True)
        check_blocks(config, repository, layers)


def input_device(model) -> torch.device:
    """Where a model expects its token ids."""
    return model.get_input_embeddings().weight.device


def check_blocks(config, where: str, layers: int | None = None) -> None:
    """Raises ModelError unless there are at least 3 blocks, and `layers` of them where given."""
    found = config.num_hidden_layers
    if found < MINIMUM_BLOCKS:
        raise ModelError(
            f"{where}: {found} blocks, but shallow, middle and deep need {MINIMUM_BLOCKS}"
        )
    if layers is not None and found != layers:
        raise ModelError(f"{where}: {found} blocks, but the configuration says layers: {layers}")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the texts, EOS (= padding) included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(texts), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS)


def build(architecture: str, settings: dict, vocabulary: int, eos: int, seed: int):
    """A freshly initialised model of a Hugging Face architecture ("phi", "llama", ...).

    `settings` are the architecture's config entries; the number of tokens and the EOS token's id
    come from the tokenizer.

    Raises:
        ModelError: transformers does not know the architecture, or it has too few blocks.
    """
    try:
        unknown = sorted(set(settings) - set(AutoConfig.for_model(architecture).to_dict()))
        if unknown:
            raise ModelError(f"architecture {architecture!r}: unknown config key {unknown[0]!r}")
        config = AutoConfig.for_model(
            architecture,
            **settings,
            vocab_size=vocabulary,
            eos_token_id=eos,
            bos_token_id=eos,
            pad_token_id=None,
        )
    except ValueError as error:
        raise ModelError(f"architecture {architecture!r}: {error}") from error
    check_blocks(config, f"architecture {architecture!r}")
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config).eval()


def save(model, tokenizer, folder) -> None:
    """Writes model and tokenizer as a `save_pretrained` folder, under a temporary name first."""
    with files.written_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


class Checkpoints:
    """Writes the model to `folder`/step-00005 and so on.

    Step 0 is the original model's own folder and the last step the run's final one: neither is
    written twice (see `trajectory`).
    """

    def __init__(self, folder, last: int):
        self.folder, self.last = Path(folder), last

    def resume(self, model, tables) -> None:
        """Nothing: what was written lies in the folder still."""

    def tables(self) -> dict:
        return {}

    def move(self, folder) -> None:
        """Gives the checkpoints, if only none, their place on the same file system."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.rename(folder)

    def at(self, model, step: int) -> None:
        if 0 < step < self.last:
            with files.written_folder(files.step_folder(self.folder, step)) as partial:
                model.save_pretrained(partial)


def trajectory(original, checkpoints, final, last: int | None) -> list[tuple[int, Path]]:
    """(step, model folder) at every checkpoint of a run: step 0, those written, the last.

    `last` is the number of updates, None for a run that diverged and has no final model.
    """
    end = [] if last is None else [(last, Path(final))]
    return [(0, Path(original)), *files.by_step(checkpoints), *end]


def record_divergence(folder, step: int, reason: str) -> None:
    """Leaves a record in the place of weights that do not exist."""
    with files.written_folder(folder) as partial:
        files.write_json({"step": step, "reason": reason}, partial / DIVERGED)


def diverged(folder) -> dict | None:
    """The record of a diverged run in a model folder, or None."""
    path = Path(folder) / DIVERGED
    return files.read_json(path) if path.is_file() else None


def thirds(layers: int) -> list[str]:
    """Which component each block belongs to: blocks 1..⌈L/3⌉ shallow, to ⌈2L/3⌉ middle, deep."""
    shallow, middle = -(-layers // 3), -(-2 * layers // 3)
    return ["shallow"] * shallow + ["middle"] * (middle - shallow) + ["deep"] * (layers - middle)


def component_map(model) -> dict[str, tuple[str, int | None]]:
    """For every parameter: its component and its block (1..L, None outside the blocks).

    `embed` is the input embedding (learned positions included), `lm` the final norm and the
    unembedding; tied embeddings count under `embed` alone, since they are one parameter.

    Raises:
        ModelError: a parameter belongs to neither (an architecture that is not understood).
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
    result = {}
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
            raise ModelError(f"{type(model).__name__}: {name} belongs to no component; map it")
    return result
