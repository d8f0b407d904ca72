"""Small models from scratch: a tokenizer trained on the data, weights drawn from a seed."""

from collections.abc import Iterable, Mapping

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from geffect.errors import ModelError
from geffect.models.components import check_blocks
from geffect.models.folder import UNUSABLE, reason

EOS = "<|endoftext|>"


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


def build(
    architecture: str, settings: Mapping, vocabulary: int, eos: int, seed: int
) -> PreTrainedModel:
    """A freshly initialised model of a Hugging Face architecture ("phi", "llama", ...).

    `settings` are the architecture's config entries; the number of tokens and the EOS token's id
    come from the tokenizer.

    Raises:
        ModelError: transformers does not know the architecture, it cannot be built with these
            settings, or it has too few blocks.
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
    except UNUSABLE as error:
        raise ModelError(
            f"architecture {architecture!r}: {reason(error)}; change the model's architecture or "
            "config"
        ) from error
    check_blocks(config, f"architecture {architecture!r}")
    torch.manual_seed(seed)
    try:
        return AutoModelForCausalLM.from_config(config).eval()
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"architecture {architecture!r}: cannot be built with this config "
            f"({type(error).__name__}: {why}); change the models' config"
        ) from error
