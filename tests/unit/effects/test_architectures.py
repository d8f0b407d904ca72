"""What the engine says of an architecture before there are weights."""

import logging

import pytest
import torch
from transformers import AutoConfig

from geffect.effects import architectures, measurement
from geffect.effects.architectures import check_config
from geffect.errors import ModelError
from geffect.jobs import engine

BOTH = {"instances": True, "tokens": True}


@pytest.mark.parametrize(
    "architecture", ["phi", "llama", "gpt_neox", "qwen3", "gemma2", "gpt2", "opt", "mixtral"]
)
def test_architectures_are_tried_at_their_published_size_without_weights(architecture, caplog):
    config = AutoConfig.for_model(architecture, dtype=torch.float16)  # as they are published
    before, state = config.to_dict(), torch.random.get_rng_state()
    with caplog.at_level(logging.WARNING):
        check_config(config, instances=True, tokens=True, where="someone/model")
    assert not caplog.records, "it was tried, not left for later"
    assert config.to_dict() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_the_engine_does_not_understand_is_refused_with_what_helps(monkeypatch):
    def fail(*arguments):
        raise ValueError("cannot be\nmeasured")

    monkeypatch.setattr(measurement, "instance_effects", fail)
    gemma = AutoConfig.for_model("gemma")
    with pytest.raises(ModelError, match=r"GemmaForCausalLM: instances.*instances: false"):
        engine.check_config(gemma, BOTH, "someone/gemma")
    engine.check_config(gemma, BOTH | {"instances": False}, "someone/gemma")


def test_a_model_that_is_no_causal_language_model_is_refused():
    with pytest.raises(ModelError, match="someone/clip: no causal language model"):
        check_config(AutoConfig.for_model("clip"), True, True, "someone/clip")


def test_what_cannot_be_made_small_is_left_to_the_check_of_the_whole_model(monkeypatch, caplog):
    def fail(config):
        raise IndexError("sizes that do not fit")

    monkeypatch.setattr(architectures, "small", fail)
    check_config(AutoConfig.for_model("phi"), True, True, "someone/model")
    assert "only once its weights are there (sizes that do not fit)" in caplog.text
