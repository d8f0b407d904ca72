"""The engine against one backward pass per instance and per token, for every family of models."""

import copy
from pathlib import Path

import families
import pytest
import torch
from naive import numpy_of, products, summed

from geffect.data.batches import collate
from geffect.effects import instances, rules
from geffect.effects.architectures import check_config
from geffect.effects.gradients import Directions
from geffect.effects.instances import instance_effects, plan
from geffect.effects.tokens import has_forward_mode, token_effects
from geffect.losses.view import with_reference
from geffect.models.components import component_map
from geffect.names import COMPONENTS

PAGE = Path(__file__).resolve().parents[3] / "docs/architectures.md"
# Some compute a few steps in float32 whatever the dtype of the weights.
TOLERANCE = 1e-6


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_instance_component_and_token_is_that_of_its_own_backward_pass(
    family, rng, random_examples, direction, per_label
):
    tied = bool(rng.integers(2))
    model = families.build(family, tied, rng)
    examples = random_examples(3, vocabulary=families.VOCABULARY)
    components = component_map(model)
    directions = Directions({"one": direction(model), "two": direction(model)})
    batch = collate(examples)
    logp, instances = instance_effects(model, batch, directions, components)
    found = token_effects(model, batch, directions)
    tokens, others = found.effects, found.effects_runner_up
    torch.testing.assert_close(found.logp, logp, rtol=1e-5, atol=1e-6)
    for row, example in enumerate(examples):
        by_label, by_other = per_label(model, example), per_label(model, example, "logp_runner_up")
        whole, first = summed(by_label), example.prompt_length - 1 - batch.start
        for name, tensors in directions.items():
            given = numpy_of(tensors)
            for place, (value, scale) in products(whole, given, components).items():
                error = abs(instances[name][place][row].item() - value)
                assert error <= TOLERANCE * scale, (name, place, tied)
            for effects, references in ((tokens[name], by_label), (others[name], by_other)):
                for k, reference in enumerate(references):
                    value, scale = products(reference, given, components)["total"]
                    assert abs(effects[row, first + k].item() - value) <= TOLERANCE * scale
            parts = sum(instances[name][component][row].item() for component in COMPONENTS)
            assert parts == pytest.approx(instances[name]["total"][row].item(), rel=1e-12)
    line = families.line(family, model)
    assert line in PAGE.read_text(encoding="utf-8").splitlines(), (
        f"docs/architectures.md lacks: {line}"
    )


def test_the_page_names_no_family_that_is_not_tried():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert named == list(families.FAMILIES)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "opt", "bloom", "qwen2_moe", "mamba"])
def test_blocks_and_what_runs_before_and_after_them_are_found_without_names(family, rng):
    model = families.build(family, False, rng)
    modes = {name: module.training for name, module in model.named_modules()}
    state = torch.get_rng_state()
    found = component_map(model)
    assert torch.equal(state, torch.get_rng_state())
    assert modes == {name: module.training for name, module in model.named_modules()}
    outside = {name: part for name, (part, block) in found.items() if block is None}
    early = {"embed", "wte", "wpe", "word_embeddings", "embed_tokens", "embed_positions"}
    early |= {"embeddings", "word_embeddings_layernorm", "project_in"}
    for name, part in outside.items():
        assert part == ("embed" if name.split(".")[-2] in early else "lm"), name
    assert {block for _, block in found.values()} == {None, 1, 2, 3}
    by_block = dict.fromkeys(found.values())
    assert {("shallow", 1), ("middle", 2), ("deep", 3)} <= set(by_block)


def test_a_model_in_training_mode_stays_in_it(rng):
    model = families.build("gpt2", False, rng).train()
    model.transformer.h[1].eval()
    state = torch.get_rng_state()
    component_map(model)
    assert torch.equal(state, torch.get_rng_state()), "dropout has drawn random numbers"
    assert model.training and not model.transformer.h[1].training


@pytest.mark.parametrize("family", ["gemma3_text", "gpt_neo", "bloom", "deepseek_v3", "mamba"])
def test_no_family_is_refused_before_its_weights_are_fetched(family, rng):
    config = families.build(family, False, rng, torch.float32).config
    check_config(copy.deepcopy(config), instances=True, tokens=True, where="someone/model")


@pytest.fixture
def rows_of_their_own(monkeypatch):
    """A function: makes a model be measured row by row."""

    def refuse(*arguments):
        raise NotImplementedError("no rule")

    def make():
        monkeypatch.setattr("geffect.effects.instances.rule_of", lambda module: refuse)
        monkeypatch.setattr("geffect.effects.instances.by_forward_mode", refuse)

    return make


def test_row_by_row_gives_the_same_and_says_so(
    rng, random_examples, direction, rows_of_their_own, caplog
):
    model = families.build("gpt2", True, rng)
    components = component_map(model)
    directions = Directions({"one": direction(model)})
    batch = with_reference(model, collate(random_examples(3, vocabulary=families.VOCABULARY)))
    fast_logp, fast = instance_effects(model, batch, directions, components)
    rows_of_their_own()
    other = copy.deepcopy(model)
    logp, slow = instance_effects(other, batch, directions, components)
    assert plan(model).by_rows == "" and "no rule" in plan(other).by_rows
    assert "GPT2LMHeadModel: instances are measured row by row" in caplog.text
    torch.testing.assert_close(logp, fast_logp, rtol=1e-10, atol=1e-12)
    for place, values in fast["one"].items():
        torch.testing.assert_close(slow["one"][place], values, rtol=1e-8, atol=1e-8)


class Scaled(torch.nn.Linear):
    """Linear in its parameters, which only a rule of its own knows."""

    def forward(self, x):
        return 3 * super().forward(x)


def test_a_registered_product_rule_is_used_and_a_wrong_one_is_not(
    tiny_model, random_examples, direction, monkeypatch
):
    monkeypatch.setattr(rules, "_RULES", dict(rules._RULES))
    model = tiny_model("llama")
    proj = Scaled(24, 16, bias=False, dtype=torch.float64)
    model.model.layers[1].mlp.down_proj = proj
    batch, components = collate(random_examples(3)), component_map(model)
    directions = Directions({"one": direction(model)})
    expected = instance_effects(copy.deepcopy(model), batch, directions, components)[1]["one"]
    calls = []

    def registered(factor):
        @rules.product_rule(Scaled)
        def rule(module, inputs, delta, given):
            calls.append(factor)
            return rules.products(delta, factor * inputs[0] @ given["weight"].T)

        return instance_effects(copy.deepcopy(model), batch, directions, components)[1]["one"]

    for factor in (3, 2):
        found = registered(factor)
        assert factor in calls
        for place, values in expected.items():
            torch.testing.assert_close(found[place], values, rtol=1e-8, atol=1e-8)


def test_without_a_forward_mode_tokens_come_from_two_backward_passes(
    rng, random_examples, direction, monkeypatch, caplog
):
    model = families.build("gpt_neox", False, rng)
    batch = collate(random_examples(3, vocabulary=families.VOCABULARY))
    directions = Directions({"one": direction(model), "two": direction(model)})
    expected = token_effects(model, batch, directions)
    assert has_forward_mode(model)

    def refuse(*arguments, **named):
        raise NotImplementedError("no jvp")

    monkeypatch.setattr("geffect.effects.tokens.jvp", refuse)
    other = copy.deepcopy(model)
    found = token_effects(other, batch, directions)
    assert not has_forward_mode(other) and "GPTNeoXForCausalLM: tokens" in caplog.text
    torch.testing.assert_close(found.entropy, expected.entropy)
    assert torch.equal(found.runner_up, expected.runner_up)
    for of in ("effects", "effects_runner_up"):
        for name, values in getattr(expected, of).items():
            torch.testing.assert_close(getattr(found, of)[name], values, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "gemma2"])
def test_a_large_model_is_tried_on_a_small_one_of_its_kind(family, rng, monkeypatch):
    model = families.build(family, False, rng)
    expected = instances.plan(model)
    tried = []

    def trial(model, tried_as_ever=instances._tried):
        tried.append(model)
        return tried_as_ever(model)

    monkeypatch.setattr(instances, "_tried", trial)
    monkeypatch.setattr(instances, "LARGE", 0)
    other = copy.deepcopy(model)
    assert instances.plan(other) == expected
    special = expected != instances.Plan(instances._own(model))
    assert (other in tried) == special, "only what needs something special is tried itself"


def test_a_large_model_with_modules_of_its_own_is_tried_itself(rng, monkeypatch):
    class Other(torch.nn.Linear):
        pass

    model = families.build("llama", False, rng)
    model.model.layers[0].mlp.down_proj.__class__ = Other
    monkeypatch.setattr(instances, "LARGE", 0)
    monkeypatch.setattr(instances, "small", lambda config: families.build("llama", False, rng))
    tried = []
    monkeypatch.setattr(
        instances, "_tried", lambda model: tried.append(model) or instances.Plan({})
    )
    instances.plan(model)
    assert tried == [model]
