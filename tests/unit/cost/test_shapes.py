"""Counted parameters are those of the models that transformers builds."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from geffect.cost.shapes import ARCHITECTURES, Shape, shape_of
from geffect.errors import ConfigError

PAPER = {
    "microsoft/phi-1_5": 1_418_270_720,
    "NousResearch/Llama-2-7b-chat-hf": 6_738_415_616,
}


def sizes(rng):
    heads = int(rng.integers(1, 4)) * 2
    return {
        "num_hidden_layers": int(rng.integers(3, 6)),
        "hidden_size": heads * 8,
        "intermediate_size": int(rng.integers(10, 90)),
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "vocab_size": int(rng.integers(50, 300)),
        "tie_word_embeddings": bool(rng.integers(2)),
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_counts_are_those_of_a_model(architecture, rng):
    for _ in range(4):
        config = AutoConfig.for_model(architecture, **sizes(rng), bos_token_id=0, eos_token_id=0)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        shape = Shape.of(config.to_dict(), "a config")
        assert shape.parameters == sum(p.numel() for p in model.parameters())
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
        assert shape.matrices == sum(m.weight.numel() for m in linear)
        assert shape.embedding == model.get_input_embeddings().weight.numel()


@pytest.mark.parametrize(("name", "parameters"), PAPER.items())
def test_the_papers_models_are_known_without_network(name, parameters):
    shape = shape_of({"source": "hub", "id": name}, "models.x")
    assert shape.parameters == parameters


def test_the_config_of_a_folder_wins_over_what_is_known(rng, tmp_path):
    config = AutoConfig.for_model("llama", **sizes(rng))
    config.save_pretrained(tmp_path)
    hub = {"source": "hub", "id": "microsoft/phi-1_5"}
    for found in (
        shape_of(hub, "models.x", tmp_path),
        shape_of({"source": "path", "path": str(tmp_path)}, "models.x"),
    ):
        assert found == Shape.of(config.to_dict(), "x")
    assert shape_of(hub, "models.x", tmp_path / "absent").architecture == "phi"


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"models.x: there is no config.json of it yet; download"):
        shape_of({"source": "hub", "id": "some/model"}, "models.x", tmp_path)
    with pytest.raises(ConfigError, match=r"models.x.config: the cost of architecture 'gpt2'"):
        entry = {"source": "scratch", "architecture": "gpt2", "vocabulary": 9, "config": {}}
        shape_of(entry, "models.x")
    with pytest.raises(ConfigError, match=r"models.x.config: has no hidden_size; complete it"):
        shape_of({**entry, "architecture": "phi"}, "models.x")
