"""Saved checkpoints of any training, measured from the command line."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from common import rows_of

import geffect
from geffect.effects.command import TEMPLATE, checkpoints_of, main
from geffect.errors import ConfigError, ModelError

FORGET, RETAIN = rows_of(10, 16), rows_of(0, 4)
LOSSES = ("--objective", "npo:beta=0.5", "--regularizer", "kl:coefficient=0.5")


@pytest.fixture
def training(tiny_model, moved, tokenizer, tmp_path, monkeypatch):
    """θ_o and two checkpoints of a training, and rows in files; the paths are relative."""
    monkeypatch.chdir(tmp_path)
    original = tiny_model(dtype=torch.float32, tokenizer=tokenizer)
    for name, model in (
        ("base", original),
        ("trained/checkpoint-10", moved(original)),
        ("trained/checkpoint-9", moved(original)),
    ):
        model.save_pretrained(tmp_path / name)
    tokenizer.save_pretrained(tmp_path / "base")
    lines = "".join(json.dumps(row) + "\n" for row in FORGET)
    (tmp_path / "forget.jsonl").write_text(lines)
    pd.DataFrame(RETAIN).to_csv(tmp_path / "retain.csv", index=False)
    return tmp_path


def run(*more, checkpoints=("trained", "--original", "base"), losses=LOSSES, retain="retain.csv"):
    data = ("--forget", "forget.jsonl", "--retain", retain, "--out", "out")
    main([*checkpoints, *data, *losses, *more])


def test_the_tables_are_those_of_the_measurement_in_memory(training, tokenizer, capfd):
    run("--instances", "--tokens", "--micro-batch-size", "3")
    printed = capfd.readouterr()
    encoder = geffect.Encoder(tokenizer, geffect.Template(TEMPLATE.replace(r"\n", "\n")))
    forget, retain = encoder.rows(FORGET), encoder.rows(RETAIN)
    npo, kl = geffect.objective("npo", beta=0.5), geffect.regularizer("kl", coefficient=0.5)
    original = geffect.load_model("base")
    found = {p.stem: pd.read_parquet(p) for p in (training / "out").glob("*.parquet")}
    assert set(found) == {"geffect", "risk", "instances", "tokens"}
    steps = {0: "base", 9: "trained/checkpoint-9", 10: "trained/checkpoint-10"}
    for step, folder in steps.items():
        model = geffect.load_model(folder)
        common = {"original": original, "micro_batch_size": 3}
        for name, expected in (
            ("geffect", geffect.measure(model, npo, forget, retain, kl, **common)),
            ("instances", geffect.measure_instances(model, forget, retain, **common)),
            (
                "tokens",
                geffect.measure_tokens(model, forget, retain, **common).drop(columns="step"),
            ),
        ):
            frame = found[name]
            mine = frame[frame["step"].eq(step)][list(expected)].reset_index(drop=True)
            pd.testing.assert_frame_equal(mine, expected, check_exact=True)
    assert all(sorted(set(table["step"])) == list(steps) for table in found.values())
    assert set(found["risk"]["term"]) == {"combined", "unexplained"}
    assert set(found["geffect"]["objective"]) == {"npo"} and set(found["geffect"]["model"]) == {
        "base"
    }
    text = "".join(found["tokens"].query("step == 9 and sample == 2")["string"])
    assert FORGET[2]["answer"] in text
    assert re.findall(r"wrote (.*)", printed.out) == [
        f"out/{name}.parquet" for name in ("geffect", "risk", "instances", "tokens")
    ]
    assert "θ_o is base" in printed.err and "checkpoints 3/3" in printed.err


def test_refusals_beside_the_answers_come_from_their_column(training):
    pairs = [row | {"refusal": f"I cannot say {n}."} for n, row in enumerate(FORGET)]
    (training / "pairs.json").write_text(json.dumps(pairs))
    losses = ("--objective", "dpo:beta=0.1", "--objective-rows", "pairs.json")
    run("--components", "total", losses=losses)
    found = pd.read_parquet("out/geffect.parquet")
    assert set(found["objective"]) == {"dpo"} and set(found["component"]) == {"total"}
    assert np.isfinite(found["geffect"]).all()


def test_checkpoints_are_in_the_order_of_their_steps(training):
    names = ["trained/checkpoint-10", "trained/checkpoint-9"]
    assert [step for step, _ in checkpoints_of(names)] == [9, 10]
    assert checkpoints_of(["trained"]) == checkpoints_of(names)
    # A trainer leaves its last model beside its checkpoints.
    (training / "trained/config.json").write_text("{}")
    assert checkpoints_of(["trained"]) == checkpoints_of(names)
    assert [step for step, _ in checkpoints_of(["trained"], "base")] == [0, 9, 10]
    with pytest.raises(ConfigError, match="both are of step 9"):
        checkpoints_of([*names, "trained"])
    with pytest.raises(ModelError, match=r"base: its name does not end in its step.*--original"):
        checkpoints_of(["base", *names])


def _empty(training, name):
    (training / name).write_text("")


def _adapters(folder):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")


def _change_row(training, change):
    rows = [dict(row) for row in FORGET]
    change(rows[3])
    (training / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _other_shape(training, tiny_model, tokenizer):
    tiny_model("llama", dtype=torch.float32, tokenizer=tokenizer).save_pretrained(
        training / "trained/checkpoint-11"
    )


WRONG = {
    "missing folder": (None, {"checkpoints": ("traind",)}, "traind: no such folder"),
    "no model": (
        lambda at, *_: (at / "empty-1").mkdir(),
        {"checkpoints": ("empty-1",)},
        "empty-1: no model",
    ),
    "no tokenizer": (None, {"checkpoints": ("trained",)}, "--tokenizer"),
    "shapes": (_other_shape, {}, "checkpoint-11: .* in base; name checkpoints of one training"),
    "weights cut off": (
        lambda at, *_: (at / "trained/checkpoint-9/model.safetensors").write_bytes(b"abc"),
        {},
        "checkpoint-9/model.safetensors: its weights are damaged",
    ),
    "adapters": (
        lambda at, *_: _adapters(at / "tuned/checkpoint-3"),
        {"checkpoints": ("tuned",)},
        "tuned/checkpoint-3: adapters without their model; .*merge_and_unload",
    ),
    "no weights": (
        lambda at, *_: (at / "trained/checkpoint-9/model.safetensors").unlink(),
        {},
        "checkpoint-9: no model.safetensors.*merged",
    ),
    "empty file": (lambda at, *_: _empty(at, "forget.jsonl"), {}, "forget.jsonl: no rows"),
    "missing file": (None, {"retain": "retian.csv"}, "retian.csv: there is no such file"),
    "column": (
        lambda at, *_: _change_row(at, lambda row: row.pop("answer")),
        {},
        "forget.jsonl, row 3: its answer is missing",
    ),
    "loss": (None, {"losses": ("--objective", "npo:beta")}, "'beta' is not key=value"),
    "needs u": (
        None,
        {"losses": ("--objective", "rmu:layer=1,c=2.0")},
        "needs RMU's direction",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_are_one_line_and_nothing_is_written(
    what, training, tiny_model, tokenizer, monkeypatch
):
    change, given, words = WRONG[what]
    if change is not None:
        change(training, tiny_model, tokenizer)
    with pytest.raises(SystemExit) as ended:
        run(**given)
    text = str(ended.value)
    assert text.startswith("error: ") and re.search(words, text) and "\n" not in text
    assert not (training / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--template", "Q: {question}", "--template.text: must end with {answer}"),
        ("--micro-batch-size", "0", "--micro-batch-size 0"),
        ("--threads", "0", "--threads 0: use 1 or more"),
        ("--out", "forget.jsonl", "forget.jsonl: no folder to write to"),
        ("--components", "totl", "component 'totl'"),
        ("--regularizer", "rr:layer=4", "rr: layer 4, but PhiForCausalLM has 3 blocks; choose"),
    ],
)
def test_options_are_checked(option, value, words, training):
    with pytest.raises(SystemExit) as ended:
        run(option, value)
    assert words in str(ended.value)
