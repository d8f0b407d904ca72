"""Models of PEFT in somebody else's training: measured as by the workflow, or by autograd."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from common import EOS
from low_rank import ALPHA, RANK, in_coordinates, merged_by_hand
from naive import products
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from transformers import Trainer, TrainingArguments

import geffect
from geffect.cells.given import GivenCell
from geffect.effects.callback import GEffectCallback
from geffect.effects.measurement import Measurement
from geffect.effects.tuned import original_within
from geffect.effects.undisturbed import check_undivided
from geffect.errors import ConfigError, ModelError
from geffect.losses.loss import RISK
from geffect.models import adapters
from geffect.models.components import component_map
from geffect.names import ADAPTER, MERGED

STEPS = 4
ATTENTION = ["q_proj", "v_proj"]
PLAIN = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=ATTENTION, lora_dropout=0.1)
CONFIGS = {
    "LoRA": PLAIN,
    "DoRA": LoraConfig(r=RANK, target_modules=ATTENTION, use_dora=True),
    "LoRA with a trained head": LoraConfig(
        r=RANK, target_modules=ATTENTION, modules_to_save=["lm_head"]
    ),
    "IA3": IA3Config(target_modules=["k_proj"], feedforward_modules=[]),
    "prompt": PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
}


@pytest.fixture
def rows(random_examples):
    return {"forget": random_examples(6), "retain": random_examples(4)}


@pytest.fixture
def base(tiny_model):
    return tiny_model().eval()


def given(example):
    """A row as `transformers` takes it."""
    labels = [-100] * example.prompt_length + list(example.labels)
    return {"input_ids": torch.tensor([example.ids]), "labels": torch.tensor([labels])}


@pytest.fixture
def trained(rows, tmp_path):
    """A function: a model after a few steps of a plain Trainer, perhaps looked at."""

    def collated(features):
        width = max(len(f["input_ids"]) for f in features)
        fill = {"input_ids": EOS, "labels": -100}
        return {
            name: torch.tensor([f[name] + [x] * (width - len(f[name])) for f in features])
            for name, x in fill.items()
        }

    def run(model, callback=None):
        arguments = TrainingArguments(
            str(tmp_path / "trained"),
            max_steps=STEPS,
            per_device_train_batch_size=2,
            learning_rate=3e-2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            seed=5,
        )
        data = [{n: v[0].tolist() for n, v in given(e).items()} for e in rows["forget"]]
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collated)
        if callback:
            callback.attach(trainer)
        trainer.train()
        return trainer.model.eval()

    return run


@pytest.fixture
def callback(rows, tmp_path):
    def build(parameters=ADAPTER, objective="npo:beta=0.5", regularizer="kl:coefficient=0.5"):
        return GEffectCallback(
            *rows.values(),
            objective,
            regularizer,
            out=tmp_path / "measured",
            every=STEPS,
            instances=True,
            parameters=parameters,
        )

    return build


def table(callback, name="geffect"):
    found = pd.read_parquet(callback.out / f"{name}.parquet")
    return found.drop(columns=["model", "split", "seed"])


@pytest.mark.parametrize("coordinates", [ADAPTER, MERGED])
def test_lora_has_the_effects_of_the_workflow_and_of_autograd(
    coordinates, base, rows, trained, callback, naive_gradient
):
    start = get_peft_model(copy.deepcopy(base), PLAIN)
    seen = callback(coordinates)
    alone = trained(copy.deepcopy(start))
    model = trained(copy.deepcopy(start), seen)
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trainable == [n for n, p in alone.named_parameters() if p.requires_grad]
    for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine, theirs)

    losses = geffect.objective("npo", beta=0.5), geffect.regularizer("kl", coefficient=0.5)
    cell = GivenCell(*losses, rows["forget"], rows["forget"], rows["retain"])
    workflow = Measurement(
        cell, cell.given_draws(None), {}, rows["retain"], 8, tokens=False, parameters=coordinates
    )
    for step, of in ((0, start), (STEPS, model)):
        mine = adapters.adapt(copy.deepcopy(base), 1, RANK, ALPHA, targets=ATTENTION)
        with torch.no_grad():
            theirs = dict(of.get_base_model().named_parameters())
            for name, parameter in mine.named_parameters():
                parameter.copy_(theirs[name])
        if step == 0:
            workflow.begin(mine, adapters.original_beside(mine, "nowhere", "cpu"))
        workflow.at(mine, step)
    tables = workflow.tables()
    tables["risk"]["term"] = tables["risk"]["term"].replace("objective", "combined")
    for name, expected in tables.items():
        pd.testing.assert_frame_equal(table(seen, name)[list(expected)], expected)

    inner = model.get_base_model()
    plain = merged_by_hand(inner, base)

    def exact(loss, examples):
        found = naive_gradient(plain, loss.bind(base), examples)[1]
        return in_coordinates(found, inner, plain, coordinates)

    risk = exact(RISK, rows["retain"])
    components = {n: place for n, place in component_map(inner).items() if n in risk}
    frame = table(seen).query("step == @STEPS and dataset == 'retain'")
    for term, loss, examples in (
        ("objective", losses[0], rows["forget"]),
        ("regularizer", losses[1], rows["retain"]),
    ):
        for place, (value, scale) in products(exact(loss, examples), risk, components).items():
            found = frame.query("term == @term and component == @place")["geffect"].item()
            assert abs(found - loss.coefficient * value) <= 1e-9 * scale, (term, place)


@pytest.mark.parametrize("kind", CONFIGS)
def test_whatever_is_trained_is_measured(kind, base, rows, trained, callback):
    model = get_peft_model(copy.deepcopy(base), CONFIGS[kind])
    seen = callback(objective="ga", regularizer=None)
    trained(model, seen)
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = {}
    for name, examples in rows.items():
        labels = [len(e.labels) for e in examples]
        # That of transformers, which computes it in float32.
        nll = [model(**given(e)).loss * n for e, n in zip(examples, labels, strict=True)]
        gradients = torch.autograd.grad(sum(nll) / sum(labels), list(wanted.values()))
        found[name] = {n: g.numpy() for n, g in zip(wanted, gradients, strict=True)}
    components = {n: place for n, place in component_map(model).items() if n in wanted}
    last = table(seen).query("step == @STEPS and term == 'objective'")
    for dataset, name in (("unlearn", "forget"), ("retain", "retain")):
        expected = products({n: -g for n, g in found["forget"].items()}, found[name], components)
        for place, (value, scale) in expected.items():
            mine = last.query("dataset == @dataset and component == @place")["geffect"].item()
            assert abs(mine - value) <= 1e-6 * scale, (dataset, place)
    # That of D_u is the mean of its instances, which may be measured row by row.
    total = table(seen, "instances").query("step == @STEPS and component == 'total'")
    whole = last.query("component == 'total'").set_index("dataset")["geffect"]
    labels = sum(len(e.labels) for e in rows["forget"])
    for dataset in ("unlearn", "retain"):
        mean = total[f"e_{dataset}"].sum() / labels
        assert mean == pytest.approx(whole[dataset], rel=1e-6, abs=1e-12)


def test_adapters_that_do_not_begin_at_zero_are_part_of_the_original(base, trained, callback):
    zero = get_peft_model(copy.deepcopy(base), PLAIN).eval()
    assert original_within(zero).model is zero
    begun = copy.deepcopy(zero)
    with torch.no_grad():
        for name, parameter in begun.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 0.3)
    assert original_within(begun) is None
    assert original_within(get_peft_model(copy.deepcopy(base), CONFIGS["DoRA"])) is None
    for model in (zero, begun):
        seen = callback()
        trained(model, seen)
        of_kl = table(seen).query("term == 'regularizer' and component == 'total'")
        assert (of_kl.query("step == 0")["geffect"] == 0).all()
        assert (of_kl.query("step == @STEPS")["geffect"] != 0).all()


def frozen(model):
    """LoRA of which only B is trained."""
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            parameter.requires_grad_(False)
    return model


def second(model):
    """Two adapters."""
    model.add_adapter("other", PLAIN)
    return model


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda base: base, ConfigError, "has no LoRA adapters"),
        (lambda base: get_peft_model(base, CONFIGS["IA3"]), ConfigError, "has no LoRA adapters"),
        (lambda base: get_peft_model(base, CONFIGS["DoRA"]), ModelError, "one plain LoRA"),
        (lambda base: second(get_peft_model(base, PLAIN)), ModelError, "default, other adapters"),
        (lambda base: frozen(get_peft_model(base, PLAIN)), ModelError, "weight is frozen"),
        (
            lambda base: get_peft_model(base, CONFIGS["LoRA with a trained head"]),
            ModelError,
            "lm_head.modules_to_save.default.weight is trained beside the adapters",
        ),
        (
            lambda base: get_peft_model(quantised(base), PLAIN),
            ModelError,
            "quantised (torch.int8)",
        ),
    ],
)
def test_merged_weights_are_refused_where_there_are_none(
    change, error, words, base, trained, callback
):
    model = change(base)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(error) as raised:
        trained(model, callback(MERGED))
    assert words in str(raised.value) and "\n" not in str(raised.value)
    assert "leave" in str(raised.value)
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))


def test_there_are_two_coordinates(callback):
    with pytest.raises(ConfigError, match="'both' is unknown; use adapter or merged"):
        callback("both")


class Product(torch.autograd.Function):
    """x Wᵀ with W = s · (whole numbers), without a forward mode, as of quantised layers."""

    @staticmethod
    def forward(ctx, x, numbers, scale):
        ctx.save_for_backward(numbers, scale)
        return x @ (numbers * scale).T

    @staticmethod
    def backward(ctx, grad):
        numbers, scale = ctx.saved_tensors
        return grad @ (numbers * scale), None, None


class Eighth(torch.nn.Linear):
    """A linear layer whose weight is whole numbers of 8 bits."""

    def forward(self, x):
        out = Product.apply(x, self.weight, self.scale)
        return out if self.bias is None else out + self.bias


def quantised(base):
    """A model whose attention is quantised."""
    model = copy.deepcopy(base)
    for name, module in model.named_modules():
        if name.endswith(("q_proj", "k_proj", "v_proj")):
            weight = module.weight.detach()
            scale = weight.abs().max() / 127
            module.__class__ = Eighth
            module.register_buffer("scale", scale)
            whole = (weight / scale).round().to(torch.int8)
            module.weight = torch.nn.Parameter(whole, requires_grad=False)
    return model


def test_adapters_of_a_quantised_model_are_measured(base, trained, callback, tmp_path):
    whole = quantised(base)
    with pytest.raises(ModelError, match="is quantised"):
        check_undivided(whole)
    rounded = copy.deepcopy(base)
    with torch.no_grad():
        for name, module in whole.named_modules():
            if isinstance(module, Eighth):
                rounded.get_submodule(name).weight.copy_(module.weight * module.scale)
    tables = {}
    for kind, model in (("whole", whole), ("rounded", rounded)):
        torch.manual_seed(3)
        seen = callback()
        trained(get_peft_model(model, PLAIN), seen)
        tables[kind] = {name: table(seen, name) for name in ("geffect", "risk", "instances")}
    for name, found in tables["whole"].items():
        pd.testing.assert_frame_equal(found, tables["rounded"][name], rtol=1e-5, atol=1e-6)
    assert np.abs(tables["whole"]["geffect"]["geffect"]).max() > 0
