"""Measured in the middle of somebody else's training, which ends as if nobody had looked."""

import copy
import functools
import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from common import EOS
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback, TrainingArguments

import geffect
from geffect.data.batches import collate
from geffect.effects.callback import GEffectCallback
from geffect.effects.gradients import data_batches, gradient_over
from geffect.effects.undisturbed import INSTEAD, check_undivided, undisturbed
from geffect.errors import ConfigError, DataError, GeffectError, LossError, ModelError
from geffect.losses.loss import RISK
from geffect.losses.view import forward

STEPS = 5
NPO, KL = "npo:beta=0.5", "kl:coefficient=0.5"
KEYS = ["model", "split", "objective", "regularizer", "seed"]


def row_of(example):
    context = [-100] * example.prompt_length
    return {"input_ids": list(example.ids), "labels": [*context, *example.labels]}


def padded(rows):
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": EOS, "labels": -100}
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
        for name, value in fill.items()
    }


class PairTrainer(Trainer):
    """Away from the forget rows and towards the retain rows, which come in pairs."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        losses = {}
        for name in ("forget", "retain"):
            logits = model(input_ids=inputs[name]["input_ids"]).logits[:, :-1]
            labels = inputs[name]["labels"][:, 1:]
            losses[name] = cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss = losses["retain"] - 0.3 * losses["forget"]
        return (loss, {}) if return_outputs else loss


def pairs(rows):
    return {name: padded([row[name] for row in rows]) for name in ("forget", "retain")}


KINDS = {
    "plain": {},
    "accumulating in bf16": {"gradient_accumulation_steps": 2, "bf16": True},
    "checkpointing": {"activation_checkpointing": True},
    "pairs": {"remove_unused_columns": False},
}


@pytest.fixture
def rows(random_examples):
    return {"forget": random_examples(7), "retain": random_examples(4)}


@pytest.fixture
def trained(rows, tiny_model, tmp_path):
    """A function: a model trained in one of KINDS, perhaps looked at; always the same one."""
    start = tiny_model(dtype=torch.float32)
    for module in start.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2

    def run(callback=None, kind="plain", attached=True, others=(), model=None, **settings):
        given = {"save_strategy": "no", "logging_steps": 2} | KINDS[kind] | settings
        resumed, tokenizer = (given.pop(n, None) for n in ("resumed", "processing_class"))
        arguments = TrainingArguments(
            output_dir=str(tmp_path / "trained"),
            max_steps=STEPS,
            per_device_train_batch_size=2,
            learning_rate=1e-2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            seed=3,
            **given,
        )
        data = [row_of(example) for example in rows["forget"]]
        retain = [row_of(example) for example in rows["retain"]]
        if kind == "pairs":
            data = [{"forget": row, "retain": retain[n % 4]} for n, row in enumerate(data)]
        trainer = (PairTrainer if kind == "pairs" else Trainer)(
            copy.deepcopy(start) if model is None else model,
            arguments,
            train_dataset=data,
            data_collator=pairs if kind == "pairs" else padded,
            callbacks=[*others, *([callback] if callback and not attached else [])],
            processing_class=tokenizer,
        )
        if callback and attached:
            callback.attach(trainer)
        trainer.train(resume_from_checkpoint=resumed)
        return trainer

    run.start = copy.deepcopy(start).eval()
    return run


@pytest.fixture
def callback(rows, tmp_path):
    """A function: a callback on these rows."""

    def build(objective=NPO, regularizer=KL, **settings):
        given = {"out": tmp_path / "measured", "every": 2} | settings
        return GEffectCallback(*rows.values(), objective, regularizer, **given)

    return build


def table(callback, name="geffect"):
    return pd.read_parquet(callback.out / f"{name}.parquet")


def weights(trainer):
    return [p.detach() for p in trainer.model.parameters()]


def noisy(model, batch):
    """A loss that draws random numbers of every kind."""
    random.random(), np.random.rand(), torch.rand(3)
    return -model(**batch).loss


def drawn():
    return random.random(), np.random.rand(), torch.rand(1).item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_is_looked_at_ends_in_the_same_weights(kind, trained, callback):
    alone = trained(kind=kind)
    alone_drew = drawn()
    seen = trained(callback(noisy, every=3, instances=True), kind=kind)
    assert drawn() == alone_drew
    for mine, theirs in zip(weights(seen), weights(alone), strict=True):
        assert torch.equal(mine, theirs)
    assert [entry for entry in seen.state.log_history if "loss" in entry] == [
        entry for entry in alone.state.log_history if "loss" in entry
    ]
    assert not torch.equal(weights(seen)[0], next(trained.start.parameters())), "stands still"


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_tables_are_those_of_the_saved_checkpoints(
    precision, trained, callback, rows, tmp_path
):
    # No tokenizer of transformers: its padding token would end up in the model's config.
    decoder = SimpleNamespace(decode=str, save_pretrained=lambda *given, **named: None)
    kind = "plain" if precision == "float32" else "accumulating in bf16"
    seen = callback(instances=True, tokens=True, micro_batch_size=3)
    trainer = trained(
        seen, kind=kind, save_strategy="steps", save_steps=2, processing_class=decoder
    )
    trained.start.save_pretrained(tmp_path / "start")
    steps = [0, 2, 4, STEPS]
    paths = [tmp_path / "start", *(tmp_path / f"trained/checkpoint-{step}" for step in steps[1:])]
    original = geffect.load_model(paths[0])
    losses = geffect.objective("npo", beta=0.5), geffect.regularizer("kl", coefficient=0.5)
    found = {name: table(seen, name) for name in ("geffect", "instances", "risk", "tokens")}
    assert all(sorted(set(frame["step"])) == steps for frame in found.values())
    assert all(list(frame)[:6] == [*KEYS, "step"] for frame in found.values())
    assert dict(found["geffect"][KEYS].iloc[0]) == {
        "model": "phi",
        "split": "given",
        "objective": "npo",
        "regularizer": "kl",
        "seed": 3,
    }
    with geffect_computing(precision):
        for step, path in zip(steps, paths, strict=True):
            model = geffect.load_model(path)
            effects = geffect.measure(
                model, losses[0], *rows.values(), losses[1], original=original, micro_batch_size=3
            )
            instances = geffect.measure_instances(
                model, *rows.values(), original=original, micro_batch_size=3
            )
            for name, expected in (("geffect", effects), ("instances", instances)):
                frame = found[name]
                mine = frame[frame["step"].eq(step)][list(expected)].reset_index(drop=True)
                pd.testing.assert_frame_equal(mine, expected, check_exact=True)
    assert trainer.state.global_step == STEPS


def geffect_computing(precision):
    from geffect.models.compute import computing_in

    return computing_in(precision)


def test_no_share_of_the_change_is_made_up(trained, callback):
    seen = callback()
    trained(seen)
    risk = table(seen, "risk")
    last = risk["step"].eq(STEPS)
    assert set(risk[~last]["term"]) == {"combined", "unexplained"}
    assert risk[last][["predicted_change", "measured_change"]].isna().all(axis=None)
    whole = risk.query("component == 'total'").set_index(["step", "term", "dataset"])
    for dataset in ("unlearn", "retain"):
        risks = [whole.loc[(step, "combined", dataset), "risk"] for step in (0, 2, 4, STEPS)]
        measured = whole.xs(("combined", dataset), level=(1, 2))["measured_change"][:-1]
        np.testing.assert_allclose(measured, np.diff(risks), rtol=1e-12)
        parts = whole["predicted_change"].xs(dataset, level=2).dropna().groupby("step").sum()
        np.testing.assert_allclose(parts, measured, rtol=1e-9)
        predicted = whole.xs(("combined", dataset), level=(1, 2))["predicted_change"][:-1]
        assert (np.sign(predicted) == np.sign(measured)).all()


class Board(TrainerCallback):
    """Keeps what a logger such as TensorBoard is shown."""

    def __init__(self):
        self.shown = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.shown.append((state.global_step, dict(logs)))


def test_totals_go_through_the_trainers_own_log(trained, callback):
    board, seen = Board(), callback()
    trainer = trained(seen, others=[board])
    shown = {step: logs for step, logs in board.shown if "geffect/objective/unlearn" in logs}
    assert list(shown) == [0, 2, 4, STEPS]
    effects = table(seen).query("component == 'total'")
    for (step, term, dataset), rows in effects.groupby(["step", "term", "dataset"]):
        assert shown[step][f"geffect/{term}/{dataset}"] == rows["geffect"].item()
    risk = table(seen, "risk").query("component == 'total' and term == 'combined'")
    risk = risk.set_index(["step", "dataset"])
    assert shown[4]["geffect/risk/retain"] == risk.loc[(4, "retain"), "risk"]
    for kind in ("predicted_change", "measured_change"):
        assert shown[4][f"geffect/{kind}/unlearn"] == risk.loc[(2, "unlearn"), kind]
        assert f"geffect/{kind}/unlearn" not in shown[0]
    history = [h for h in trainer.state.log_history if "geffect/objective/unlearn" in h]
    assert [h["step"] for h in history] == [0, 2, 4, STEPS]
    # Those of the steps that are also measured among them.
    assert [h["step"] for h in trainer.state.log_history if "loss" in h] == [2, 4]


def test_without_a_trainer_totals_are_in_the_history_alone(trained, callback):
    board = Board()
    trainer = trained(callback(), attached=False, others=[board])
    history = [h for h in trainer.state.log_history if "geffect/objective/unlearn" in h]
    assert [h["step"] for h in history] == [0, 2, 4, STEPS]
    assert not [logs for _, logs in board.shown if "geffect/objective/unlearn" in logs]


class Stop(TrainerCallback):
    """Ends a training early."""

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= 3


@pytest.mark.parametrize("before", [True, False])
def test_the_last_step_is_measured_whatever_ends_the_training(before, trained, callback):
    seen = callback("ga", None, every=10)
    if before:
        trained(seen, others=[Stop()])
    else:
        trained(attached=False, callback=Both(seen, Stop()))
    assert sorted(set(table(seen)["step"])) == [0, 3]
    assert set(table(seen)["regularizer"]) == {"none"}


class Both(TrainerCallback):
    """Two callbacks, one after the other."""

    def __init__(self, *callbacks):
        for event in ("on_train_begin", "on_step_end", "on_train_end"):
            setattr(self, event, functools.partial(self._all, callbacks, event))

    @staticmethod
    def _all(callbacks, event, *given, **named):
        for callback in callbacks:
            getattr(callback, event)(*given, **named)


def test_a_function_is_measured_like_the_loss_that_it_computes(trained, callback, tmp_path):
    def retain_nll(model, batch):
        return model(**batch).loss

    mine = callback(noisy, geffect.function_loss(retain_nll, coefficient=0.5), out=tmp_path / "f")
    theirs = callback("ga", "nll:coefficient=0.5")
    for each in (mine, theirs):
        trained(each)
    numbers = table(mine).select_dtypes("number").columns.drop(["seed", "step"])
    np.testing.assert_allclose(table(mine)[numbers], table(theirs)[numbers], rtol=2e-3, atol=2e-4)
    assert set(table(mine)["objective"]) == {"noisy"}


def test_components_choose_rows(trained, callback):
    seen = callback(components=["total", "layer.2"], instances=True, every=STEPS)
    trained(seen)
    for name in ("geffect", "risk", "instances"):
        assert set(table(seen, name)["component"]) == {"total", "layer.2"}
    with pytest.raises(ConfigError, match="did you mean 'middle'"):
        trained(callback(components=["midle"]))


class Switching(TrainerCallback):
    """Freezes or thaws a block after the first update."""

    def __init__(self, block, trainable):
        self.block, self.trainable = block, trainable

    def on_step_end(self, args, state, control, **given):
        if state.global_step == 1:
            self.block.requires_grad_(self.trainable)


@pytest.mark.parametrize("thawed", [False, True])
def test_blocks_are_frozen_and_thawed_on_the_way(thawed, trained, callback, caplog):
    model = copy.deepcopy(trained.start)
    block = model.model.layers[1].requires_grad_(not thawed)
    seen = callback(change="simpson")
    trained(seen, model=model, others=[Switching(block, thawed)])
    effects, risk = table(seen), table(seen, "risk")
    steps = sorted(set(effects["step"]))
    assert steps == [0, 2, 4, STEPS]
    norms = effects[effects["component"].eq("layer.2") & effects["term"].eq("objective")]
    norms = norms.groupby("step")["norm_loss"].sum()
    assert all((norms[step] > 0) == (thawed == (step > 0)) for step in steps)
    whole = risk[risk["component"].eq("total") & risk["term"].eq("combined")]
    measured, predicted = (
        whole.set_index(["step", "dataset"])[f"{kind}_change"].unstack()
        for kind in ("measured", "predicted")
    )
    assert measured.loc[[0, 2, 4]].notna().all(axis=None)
    assert predicted.loc[0].isna().all(), "a gradient is missing at one end"
    np.testing.assert_allclose(predicted.loc[[2, 4]], measured.loc[[2, 4]], rtol=0.3, atol=0.02)
    assert "step 2: model.layers.1." in caplog.text and "step 4" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"every": 0}, ConfigError, "every: 0"),
        ({"change": "euler"}, ConfigError, "trapezoid or simpson"),
        ({"objective": "npo"}, LossError, "beta"),
        ({"objective": "ngo"}, ConfigError, "did you mean"),
        ({"objective": "rmu:layer=1,c=2"}, GeffectError, "rmu"),
        ({"objective": "po"}, ConfigError, "objective_rows"),
        ({"objective": "dpo:beta=0.1", "objective_rows": "alone"}, LossError, "refusal"),
        ({"objective_rows": []}, DataError, "objective_rows: no rows"),
    ],
)
def test_arguments_are_checked_at_once(settings, error, words, callback, rows):
    if settings.get("objective_rows") == "alone":
        alone = [geffect.Example(e.ids, e.prompt_length) for e in rows["forget"]]
        settings = settings | {"objective_rows": alone}
    with pytest.raises(error) as raised:
        callback(**settings)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_what_shows_only_with_the_model_stops_before_anything_is_trained(
    trained, callback, random_examples
):
    with pytest.raises(ConfigError, match="processing_class"):
        trained(callback(tokens=True))
    with pytest.raises(DataError, match=r"regularizer_rows, row 1: .* 128 positions"):
        long = geffect.Example(tuple([7] * 200), 3)
        trained(callback(regularizer_rows=[*random_examples(1), long]))
    with pytest.raises(LossError, match="layer 4, but PhiForCausalLM has 3 blocks"):
        trained(callback(regularizer="rr:layer=4"))
    with pytest.raises(ConfigError, match="'modle'"):
        trained(callback(key={"modle": "mine"}))


def test_a_resumed_training_is_told_to_measure_its_checkpoints(trained, callback, tmp_path):
    trained(save_strategy="steps", save_steps=2)
    with pytest.raises(ModelError, match=r"resumes at step 2.*geffect effects"):
        trained(callback(), resumed=str(tmp_path / "trained/checkpoint-2"))


class DTensor(torch.nn.Parameter):
    """A stand-in for torch's."""


class FullyShardedDataParallel(torch.nn.Module):
    """A stand-in for torch's."""


def _flattened(model):
    model.extra = torch.nn.Parameter(torch.empty(0))


def _replaced(model, build):
    model.model.final_layernorm.bias = build(model.model.final_layernorm.bias.detach())


DIVIDED = {
    "DTensor": lambda model: _replaced(model, DTensor),
    "ZeRO-3": lambda model: setattr(model.lm_head.weight, "ds_id", 4),
    "flattened": _flattened,
    "offloaded": lambda model: _replaced(model, lambda p: torch.nn.Parameter(p.to("meta"))),
    "quantised": lambda model: _replaced(
        model, lambda p: torch.nn.Parameter(p.to(torch.uint8), requires_grad=False)
    ),
    "FullyShardedDataParallel": lambda model: model.add_module("x", FullyShardedDataParallel()),
    "hook": lambda model: model.lm_head.weight.register_post_accumulate_grad_hook(print),
}


@pytest.mark.parametrize("how", DIVIDED)
def test_a_model_that_is_not_whole_is_refused_with_the_way_out(how, tiny_model):
    model = tiny_model(dtype=torch.float32)
    check_undivided(model)
    DIVIDED[how](model)
    with pytest.raises(ModelError) as raised:
        check_undivided(model)
    text = str(raised.value)
    assert how.split("-")[0] in text.replace("nothing of it is here", "flattened")
    assert INSTEAD in text and "\n" not in text


def test_a_sharded_model_is_refused_before_it_is_trained(trained, callback):
    model = copy.deepcopy(trained.start)
    model.lm_head.weight.ds_id = 7
    with pytest.raises(ModelError, match="weight is sharded"):
        trained(callback(), model=model)
    for p, q in zip(model.parameters(), trained.start.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("engine", "deepspeed", "processes", "words"),
    [
        ("NO", {"zero_optimization": {"stage": 1}}, 1, "DeepSpeed"),
        ("DEEPSPEED", None, 1, "DeepSpeed"),
        ("MULTI_GPU", None, 2, "2 processes"),
    ],
)
def test_deepspeed_and_several_processes_are_refused(
    engine, deepspeed, processes, words, trained, callback
):
    kind = SimpleNamespace(distributed_type=SimpleNamespace(value=engine))
    arguments = SimpleNamespace(deepspeed=deepspeed, distributed_state=kind, world_size=processes)
    with pytest.raises(ModelError) as raised:
        callback().on_train_begin(arguments, None, None, model=trained.start)
    assert words in str(raised.value) and INSTEAD in str(raised.value)


def test_everything_is_as_it_was_after_a_measurement(tiny_model, random_examples, rng):
    model = tiny_model(dtype=torch.float32)
    batches = data_batches(RISK, random_examples(3), 2)
    expected = gradient_over(copy.deepcopy(model).eval(), RISK, batches)[1]
    model.gradient_checkpointing_enable()
    for module in model.modules():
        module.train(bool(rng.integers(2)))
    model.train()
    model.model.layers[1].eval()
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number) if number % 2 else None
    model._compiled_call_impl = lambda *given, **named: pytest.fail("runs the compiled model")
    before = [(id(p.grad), p.grad is not None and p.grad.clone()) for p in model.parameters()]
    modes = [(m.training, getattr(m, "gradient_checkpointing", None)) for m in model.modules()]
    own = set(vars(model))
    with undisturbed(model, "float32"):
        found = gradient_over(model, RISK, batches)[1]
        assert not any(m.training for m in model.modules())
        assert not any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    after = [(id(p.grad), p.grad) for p in model.parameters()]
    for (was, value), (now, grad) in zip(before, after, strict=True):
        assert was == now and (grad is None or torch.equal(grad, value))
    assert modes == [
        (m.training, getattr(m, "gradient_checkpointing", None)) for m in model.modules()
    ]
    assert set(vars(model)) == own and model._compiled_call_impl is not None


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_what_accelerate_wraps_around_a_model_does_not_round_float32(
    precision, tiny_model, random_examples
):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    model = tiny_model(dtype=torch.float32).eval()
    batch = collate(random_examples(2))
    exact = forward(model, batch).logits
    AcceleratorState._reset_state()
    Accelerator(mixed_precision="bf16", cpu=True).prepare(model)
    try:
        wrapped = vars(model)["forward"]
        assert not torch.equal(forward(model, batch).logits, exact)
        with undisturbed(model, precision):
            assert torch.equal(forward(model, batch).logits, exact) == (precision == "float32")
        assert vars(model)["forward"] is wrapped
    finally:
        AcceleratorState._reset_state()
