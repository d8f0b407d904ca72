"""Small models of an architecture, on which to try what depends on its kinds of modules alone."""

import copy

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

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


def small(config: PretrainedConfig) -> PreTrainedModel:
    """A random model of the same kinds of modules, with few blocks and few parameters.

    What an architecture makes of sizes that it was not meant for is raised as it comes.
    """
    own = copy.deepcopy(config)
    heads, shared = own.num_attention_heads, getattr(own, "num_key_value_heads", None)
    for name, size in _SIZES.items():
        if getattr(own, name, None) is not None:
            setattr(own, name, size)
    if shared is not None and shared > 1:
        own.num_key_value_heads = _HEADS if shared == heads else _HEADS // 2
    if getattr(own, "num_experts_per_tok", None) is not None:
        own.num_experts_per_tok = min(own.num_experts_per_tok, 2)
    if getattr(own, "layer_types", None):
        own.layer_types = list(own.layer_types[:MINIMUM_BLOCKS])
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(own, name, None)
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(
            own,
            dtype=torch.float32,
            experts_implementation="eager",  # as in `models.folder`
        )
    return model.eval()
