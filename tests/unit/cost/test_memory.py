"""The memory plan against every tensor that a run really holds, on the CPU."""

import dataclasses
import gc
import weakref

import pytest
import torch
from settings import PAPER
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geffect.cost import memory
from geffect.cost.memory import Batch, Losses, peak, total
from geffect.cost.shapes import Shape
from geffect.data.encoding import Example
from geffect.losses.loss import RISK
from geffect.models import scratch
from geffect.models.compute import computing_in
from geffect.training.loop import train

TOLERANCE = 0.1
PROMPT, LABELS = 4, 12
SETTINGS = dataclasses.replace(
    PAPER, epochs=3, batch_size=4, micro_batch_size=2, schedule="constant", weight_decay=0.0
)


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, whoever holds them."""

    def __init__(self, *there):
        super().__init__()
        self.now = self.greatest = 0
        self.known = {}
        for tensor in there:
            self.note(tensor)

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.note(leaf)
        return result

    def note(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known or not storage.nbytes():
            return
        size = self.known[key] = storage.nbytes()
        self.now += size
        self.greatest = max(self.greatest, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key, size):
        self.now -= size
        self.known.pop(key, None)


def held(model, run):
    """The greatest number of bytes while something runs."""
    gc.collect()
    with Held(*model.parameters(), *model.buffers()) as counted:
        run()
    return counted.greatest


@pytest.fixture(params=["phi", "llama"])
def model(request, rng):
    """A model in which parameters outweigh what is rounded off, such as losses and masks."""
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if request.param == "llama" else 4,
        "max_position_embeddings": 64,
    }
    if request.param == "phi":
        sizes["hidden_act"] = "gelu_new"
    return scratch.build(request.param, sizes, 300, 0, int(rng.integers(2**31)))


@pytest.fixture
def shape(model):
    return Shape.of(model.config.to_dict(), "the model")


@pytest.fixture
def rows(rng):
    def draw(number):
        ids = rng.integers(1, 300, size=(number, PROMPT + LABELS - 1)).tolist()
        return [Example((*row, 0), PROMPT) for row in ids]

    return draw


def batch_of(rows):
    return Batch(rows, PROMPT + LABELS, LABELS + 1)


class Nobody:
    """An observer that sees nothing."""

    def at(self, model, step, moved):
        pass

    def state(self):
        return {}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("size", [1, 2, 32])
def test_training(precision, checkpointing, size, model, shape, rows):
    settings = dataclasses.replace(
        SETTINGS,
        micro_batch_size=size,
        batch_size=max(size, 4),
        gradient_checkpointing=checkpointing,
    )
    examples = rows(max(size, 4))

    def run():
        train(model, {"risk": RISK}, {"risk": lambda step: examples}, settings, len(examples), "x")

    several = -(-settings.batch_size // size)
    with computing_in(precision):
        measured = held(model, run)
    moments = memory.training(
        shape, precision, batch_of(size), Losses(watched=False), checkpointing, several
    )
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)
