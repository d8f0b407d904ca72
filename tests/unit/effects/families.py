"""Families of causal language models, each small, with all of its kinds of modules."""

import contextlib
import io

LAYERS, VOCABULARY = 3, 41
_USUAL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
_GROUPED = _USUAL | {"num_key_value_heads": 2}
_GROUPED_4 = _GROUPED | {"head_dim": 4}
_GPT = {"n_embd": 16, "n_layer": LAYERS, "n_head": 4, "n_positions": 128}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_SPARSE = {"moe_intermediate_size": 12, "num_experts": 4, "num_experts_per_tok": 2}
_LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 12,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "num_key_value_heads": 4,
}
_STATE = {"hidden_size": 16, "num_hidden_layers": LAYERS, "state_size": 4, "time_step_rank": 4}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

FAMILIES = {
    "phi": _GROUPED,
    "phi3": _GROUPED,
    "llama": _GROUPED | {"attention_bias": True, "mlp_bias": True},
    "mistral": _GROUPED_4,
    "qwen2": _GROUPED,
    "qwen3": _GROUPED_4,
    "olmo": _GROUPED,
    "olmo2": _GROUPED,
    "olmo3": _GROUPED | {"layer_types": _MIXED, "sliding_window": 4},
    "gpt_neox": _USUAL,
    "granite": _GROUPED | {"logits_scaling": 2.0, "residual_multiplier": 0.5},
    "stablelm": _GROUPED,
    "smollm3": _GROUPED,
    "starcoder2": _GROUPED,
    "nemotron": _GROUPED_4,
    "glm4": _GROUPED_4,
    "ernie4_5": _GROUPED_4,
    "exaone4": _GROUPED,
    "mpt": {"d_model": 16, "n_layers": LAYERS, "n_heads": 4, "max_seq_len": 128},
    "gemma": _GROUPED_4,
    "gemma2": _GROUPED_4 | {"query_pre_attn_scalar": 4, "layer_types": _MIXED},
    "gemma3_text": _GROUPED_4 | {"query_pre_attn_scalar": 4, "layer_types": _MIXED},
    "cohere": _GROUPED | {"use_qk_norm": True},
    "cohere2": _GROUPED_4 | {"layer_types": _MIXED},
    "gpt2": _GPT,
    "gptj": _GPT | {"rotary_dim": 4},
    "codegen": _GPT | {"rotary_dim": 4, "n_ctx": 128},
    "gpt_bigcode": _GPT,
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": LAYERS,
        "num_heads": 4,
        "max_position_embeddings": 128,
        "window_size": 4,
        "attention_types": [[["global", "local", "global"], 1]],
    },
    "bloom": {"hidden_size": 16, "n_layer": LAYERS, "n_head": 4},
    "falcon": _USUAL | {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True},
    "opt": _USUAL | {"ffn_dim": 24, "word_embed_proj_dim": 8},
    "biogpt": _USUAL,
    "mixtral": _GROUPED_4 | _EXPERTS,
    "olmoe": _GROUPED | _SPARSE,
    "granitemoe": _GROUPED | _EXPERTS,
    "qwen2_moe": _GROUPED | _SPARSE | {"shared_expert_intermediate_size": 12},
    "qwen3_moe": _GROUPED_4 | _SPARSE | {"mlp_only_layers": [1]},
    "deepseek_v3": _USUAL | _LATENT,
    "llama4_text": _GROUPED_4 | _EXPERTS | {"intermediate_size_mlp": 24},
    "gpt_oss": _GROUPED_4 | _EXPERTS | {"sliding_window": 4},
    "mamba": _STATE,
    "falcon_mamba": _STATE,
    "mamba2": _STATE | {"num_heads": 4, "head_dim": 8, "n_groups": 2, "chunk_size": 8},
    "jamba": _GROUPED
    | _EXPERTS
    | {
        "num_experts": 4,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
}


def build(family, tied, rng, dtype=None, vocabulary=VOCABULARY, eos=1):
    """A random model of a family, large weights in it, no bias zero."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = dtype or torch.float64
    # Grouped products know no float64.
    experts = {"experts_implementation": "eager"} if dtype == torch.float64 else {}
    with contextlib.redirect_stderr(io.StringIO()):
        config = AutoConfig.for_model(
            family,
            **FAMILIES[family],
            vocab_size=vocabulary,
            eos_token_id=eos,
            bos_token_id=eos,
            pad_token_id=None,
            tie_word_embeddings=tied,
        )
        model = AutoModelForCausalLM.from_config(config, **experts).to(dtype).eval()
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.no_grad():
        for parameter in model.parameters():
            step = torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
            parameter.add_((0.2 * step).to(parameter.dtype))
    return model


def line(family, model):
    """The family's line in the table of docs/architectures.md, after both passes have run."""
    from geffect.effects.instances import plan
    from geffect.effects.rules import rule_of
    from geffect.effects.tokens import has_forward_mode

    planned = plan(model)
    around = {
        type(model.get_submodule(name)).__name__
        for name, own in planned.owners.items()
        if any("." in local for local in own)
    }
    alone = {
        type(model.get_submodule(name)).__name__
        for name in planned.owners
        if rule_of(model.get_submodule(name)).__name__ == "by_forward_mode"
    }
    slow = ", ".join(f"`{name}`" for name in sorted(alone | around)) or "none"
    instances = "row by row" if planned.by_rows else "one pass"
    tokens = "forward mode" if has_forward_mode(model) else "two backward passes"
    return f"| `{family}` | {instances} | {slow} | {tokens} |"


def table():
    """The lines of all families, for docs/architectures.md."""
    import numpy as np
    import torch

    from geffect.data.batches import collate
    from geffect.data.encoding import Example
    from geffect.effects.gradients import Directions
    from geffect.effects.tokens import token_effects

    for family in FAMILIES:
        model = build(family, False, np.random.default_rng(0))
        direction = {name: torch.ones_like(p) for name, p in model.named_parameters()}
        token_effects(model, collate([Example((1, 2, 3), 1)]), Directions({"any": direction}))
        yield line(family, model)


if __name__ == "__main__":
    print(*table(), sep="\n")
