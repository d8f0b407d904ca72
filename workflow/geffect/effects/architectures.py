"""Whether the engine understands an architecture of which only the config is there.

So that no weights are downloaded which could not be measured.
"""

import copy
import logging

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from geffect.effects.measurement import check_model
from geffect.errors import ModelError
from geffect.models.components import component_map
from geffect.names import MINIMUM_BLOCKS

_VOCABULARY, _WIDTH, _HEADS = 8, 8, 4  # rotary embeddings need an even width of a head
# Sizes under the names that configs share; those of the others are left as they are.
_SIZES = {
    "num_hidden_layers": MINIMUM_BLOCKS,
    "vocab_size": _VOCABULARY,
    "num_attention_heads": _HEADS,
    "hidden_size": _WIDTH * _HEADS,
    "head_dim": _WIDTH,
    **dict.fromkeys(
        (
            "intermediate_size",
            "intermediate_size_mlp",
            "ffn_dim",
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "word_embed_proj_dim",
        ),
        2 * _WIDTH,
    ),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "rotary_dim"), _WIDTH),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), _WIDTH),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace"), 1),
}

log = logging.getLogger(__name__)


def check_config(config: PretrainedConfig, instances: bool, tokens: bool, where: str) -> None:
    """Tries the passes of the engine on a small model of the same architecture.

    An architecture that cannot be made small is left to `measurement.check_model`, which sees the
    whole model; a warning says so.

    Raises:
        ModelError: transformers has no causal language model of this architecture, it has no list
            of blocks, or, naming the settings without which the rest works, an asked table cannot
            be measured.
    """
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{where}: no causal language model ({why}); use another model") from error
    try:
        model = _small(config)
        with torch.no_grad():
            model(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False)
    except Exception as error:  # whatever an architecture makes of sizes that it was not meant for
        log.warning("%s: tried only once its weights are there (%s)", where, error)
        return
    component_map(model)
    check_model(model, instances, tokens)


def _small(config: PretrainedConfig) -> PreTrainedModel:
    """A model of the same kinds of modules, with few blocks and few parameters."""
    small = copy.deepcopy(config)
    heads, shared = small.num_attention_heads, getattr(small, "num_key_value_heads", None)
    for name, size in _SIZES.items():
        if getattr(small, name, None) is not None:
            setattr(small, name, size)
    if shared is not None and shared > 1:
        small.num_key_value_heads = _HEADS if shared == heads else _HEADS // 2
    if getattr(small, "num_experts_per_tok", None) is not None:
        small.num_experts_per_tok = min(small.num_experts_per_tok, 2)
    if getattr(small, "layer_types", None):
        small.layer_types = list(small.layer_types[:MINIMUM_BLOCKS])
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(small, name, None)
    with torch.random.fork_rng(devices=[]):
        return AutoModelForCausalLM.from_config(small, dtype=torch.float32).eval()
