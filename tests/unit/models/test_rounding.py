"""Rounding to nearest: how far a weight moves, which weights move, and what is refused."""

import contextlib
import importlib.util
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from geffect.errors import ModelError
from geffect.models import rounding
from geffect.models.rounding import round_weights, rounded


def by_hand(weight, bits):
    """Row by row, value by value."""
    top = 2 ** (bits - 1) - 1
    result = torch.zeros_like(weight)
    for row, out in zip(weight, result, strict=True):
        step = max(abs(w.item()) for w in row) / top
        for k, w in enumerate(row):
            out[k] = step * min(max(round(w.item() / step), -top), top) if step else 0.0
    return result


@pytest.fixture
def weight(rng):
    values = rng.normal(size=(7, 11)) * 10.0 ** rng.integers(-3, 2, size=(7, 1))
    values[3] = 0
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("bits", [8, 4])
def test_every_weight_is_at_the_nearest_level_of_its_channel(weight, bits):
    found = rounded(weight, bits)
    torch.testing.assert_close(found, by_hand(weight, bits), rtol=1e-5, atol=1e-7)
    scale = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((weight - found).abs() <= scale / 2 * (1 + 1e-5)).all()
    assert (found[3] == 0).all() and found.dtype == weight.dtype
    torch.testing.assert_close(rounded(found, bits), found, rtol=1e-6, atol=0)
    assert all(len(row.unique()) <= 2**bits - 1 for row in found)
    torch.testing.assert_close(rounded(weight.T.contiguous(), bits, axis=1), found.T)


def test_eight_bits_are_closer_than_four(weight):
    errors = [(weight - rounded(weight, bits)).abs().amax(dim=1) for bits in (8, 4)]
    moved = errors[1] > 0
    assert (errors[0][moved] < errors[1][moved]).all() and moved.sum() == 6


@pytest.mark.parametrize("architecture", ["phi", "llama", "gpt2"])
def test_linear_layers_of_the_blocks_are_rounded_and_nothing_else(architecture, tiny_model, rng):
    if architecture == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=61, n_positions=32, n_embd=16, n_layer=3, n_head=2)
        )
    else:
        model = tiny_model(architecture, tied=bool(rng.integers(2)), dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    share = round_weights(model, 4)
    changed = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    outside = {
        name
        for name in before
        if before[name].dim() < 2
        or any(part in name for part in ("embed", "lm_head", "wte", "wpe"))
    }
    assert changed == set(before) - outside
    sizes = {name: p.numel() for name, p in before.items()}
    assert share == pytest.approx(sum(sizes[n] for n in changed) / sum(sizes.values()))
    for name in changed:
        weight = before[name]
        # Conv1D of GPT-2 holds [in, out].
        expected = by_hand(weight.T, 4).T if architecture == "gpt2" else by_hand(weight, 4)
        torch.testing.assert_close(
            dict(model.named_parameters())[name], expected, atol=1e-6, rtol=0
        )


def test_a_model_whose_weights_are_mostly_elsewhere_is_refused(tiny_model, monkeypatch):
    model = tiny_model(dtype=torch.float32)
    before = [p.detach().clone() for p in model.parameters()]
    # As if its blocks were made of experts.
    monkeypatch.setattr(rounding.nn, "Linear", nn.Bilinear)
    with pytest.raises(ModelError, match="most weights of its blocks are in no linear layer"):
        round_weights(model, 4)
    assert all(p.equal(old) for p, old in zip(model.parameters(), before, strict=True))


def test_the_job_holds_one_model_at_a_time(monkeypatch, tmp_path):
    path = Path(__file__).resolve().parents[3] / "workflow/scripts/quantize.py"
    spec = importlib.util.spec_from_file_location("quantize_script", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    models, tables = weakref.WeakSet(), {}

    def load_model(*_):
        assert not len(models), "two models at once may not fit"
        models.add(model := nn.Linear(2, 2))
        return model

    def write(found, *_):
        tables.update(found)

    recall = SimpleNamespace(table=lambda model: bool(model.weight.numel()), why={})
    fakes = {"load_model": load_model, "write": write, "read_rows": lambda path: []}
    fakes |= {"round_weights": lambda model, bits: 0.5, "Recall": lambda *_: recall}
    fakes |= {"holds_weights": lambda *_: True, "Encoder": SimpleNamespace(of=lambda *_: None)}
    for name, fake in fakes.items():
        monkeypatch.setattr(script, name, fake)
    monkeypatch.setattr(script.context, "computing", lambda *_: contextlib.nullcontext("cpu"))
    monkeypatch.setattr(script.provenance, "made_of", lambda *_: None)
    monkeypatch.setattr(script.provenance, "record", lambda _: {})
    monkeypatch.setattr(script.frames, "key_of", lambda _: {})
    inputs = {"model": "m", "unlearn": "u", "retain": "r"}
    params = SimpleNamespace(bits=[8, 4, 2], max_rows=3, template={}, micro_batch_size=1)
    output = SimpleNamespace(quantized=tmp_path / "q.parquet", record=tmp_path / "q.json")

    class Inputs(dict):
        __getattr__ = dict.__getitem__

    script.main(SimpleNamespace(input=Inputs(inputs), output=output, params=params, wildcards={}))
    assert tables == dict.fromkeys([script.WHOLE_BITS, 8, 4, 2], True)
