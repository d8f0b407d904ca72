"""The memory plan against every tensor that a run really holds, on the CPU."""

import copy
import dataclasses
import gc
import weakref

import pytest
import torch
from common import small_model
from settings import PAPER
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geffect.cost import memory
from geffect.cost.memory import Batch, Losses, peak, total
from geffect.cost.shapes import Shape
from geffect.data.encoding import Example
from geffect.effects.measurement import Measurement
from geffect.evaluation.passes import generate, gradient_norms, score
from geffect.losses.loss import Loss
from geffect.models import offload
from geffect.models.adapters import adapt
from geffect.models.compute import computing_in, frozen, recompute
from geffect.models.offload import Parked, offloading
from geffect.names import ADAPTER, MERGED, OFFLOADED
from geffect.training.loop import train

TOLERANCE = 0.1
PROMPT, LABELS = 4, 12
SETTINGS = dataclasses.replace(
    PAPER, epochs=3, batch_size=4, micro_batch_size=2, schedule="constant", weight_decay=0.0
)


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, whoever holds them; apart those parked."""

    def __init__(self, *there):
        super().__init__()
        self.now = self.greatest = self.parked = self.most_parked = 0
        self.known, self.elsewhere = {}, False
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
        size = storage.nbytes()
        self.known[key] = size, self.elsewhere
        if self.elsewhere:
            self.parked += size
            self.most_parked = max(self.most_parked, self.parked)
        else:
            self.now += size
            self.greatest = max(self.greatest, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key):
        size, elsewhere = self.known.pop(key, (0, False))
        if elsewhere:
            self.parked -= size
        else:
            self.now -= size

    def lowered(self, tensor, lowered=offload.lowered):
        """As the true one, but what it returns does not count: it is in the machine's memory."""
        self.elsewhere = True
        try:
            return lowered(tensor)
        finally:
            self.elsewhere = False


def held(model, run, there=()):
    """The greatest numbers of bytes that are held and parked while something runs.

    `there` is held all the time.
    """
    gc.collect()
    with (
        Held(*model.parameters(), *model.buffers(), *there) as counted,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(offload, "lowered", counted.lowered)
        run()
    return counted.greatest, counted.most_parked


@pytest.fixture(params=["phi", "llama"])
def model(request, rng):
    """A model in which parameters outweigh what is rounded off, such as losses and masks."""
    activation = {"hidden_act": "gelu_new"} if request.param == "phi" else {}
    sizes = {"intermediate_size": 160, "num_hidden_layers": 4} | activation
    return small_model(request.param, 300, rng, **sizes)


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


@pytest.fixture
def trained(model, rows):
    """A function: the bytes that a run holds, and those that it parks."""

    def run(settings, regularizer=None, observer=None):
        forget, retain = (rows(settings.batch_size) for _ in range(2))
        losses = {"objective": Loss.load("objective", "ga", {})}
        there = []
        if regularizer is not None:
            original = frozen(copy.deepcopy(model))
            losses["regularizer"] = Loss.load("regularizer", regularizer, {}).bind(original)
            there = list(original.parameters()) if regularizer == "kl" else []
        visits = {"objective": lambda step: forget, "regularizer": lambda step: retain}

        def train_on():
            train(model, losses, visits, settings, settings.batch_size, "x", observer)

        return held(model, train_on, there)

    return run


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_training_on_pairs(precision, checkpointing, model, shape, rows):
    """The graphs of answers and refusals, which are shorter, are there at once."""
    size, labels = 32, 4
    settings = dataclasses.replace(
        SETTINGS, micro_batch_size=size, batch_size=size, gradient_checkpointing=checkpointing
    )
    pairs = [
        dataclasses.replace(row, refusal=Example((*other.ids[: PROMPT + labels - 1], 0), PROMPT))
        for row, other in zip(rows(size), rows(size), strict=True)
    ]
    losses = {"objective": Loss.load("objective", "flat", {})}

    def train_on():
        train(model, losses, {"objective": lambda step: pairs}, settings, size, "x", None)

    with computing_in(precision):
        measured, _ = held(model, train_on)
    moments = memory.training(
        shape,
        precision,
        batch_of(size),
        Losses(watched=False),
        checkpointing,
        1,
        Batch(size, PROMPT + labels, labels + 1),
    )
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("size", [1, 32])
def test_training_without_anybody_who_looks(precision, checkpointing, size, shape, trained):
    settings = dataclasses.replace(
        SETTINGS,
        micro_batch_size=size,
        batch_size=max(size, 2),
        gradient_checkpointing=checkpointing,
        weight_decay=0.01,
    )
    with computing_in(precision):
        measured, parked = trained(settings)
    assert parked == 0
    losses = Losses(decay=True, watched=False)
    moments = memory.training(
        shape, precision, batch_of(size), losses, checkpointing, settings.batch_size // size
    )
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)


@pytest.mark.parametrize(("regularizer", "decay"), [("nll", 0.01), ("kl", 0.0), ("kl", 0.01)])
@pytest.mark.parametrize(
    ("precision", "parts"),
    [("float32", ()), ("bf16", ["shares"]), ("float32", ["optimizer"]), ("bf16", OFFLOADED)],
)
def test_training_with_a_regularizer(regularizer, decay, precision, parts, shape, trained):
    settings = dataclasses.replace(SETTINGS, weight_decay=decay)
    with computing_in(precision), offloading(*parts):
        measured, parked = trained(settings, regularizer, Nobody())
    kl = regularizer == "kl"
    losses = Losses(True, original=kl, kl=kl, decay=decay > 0, offload=frozenset(parts))
    moments = memory.training(shape, precision, batch_of(2), losses)
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)
    planned = memory.parked(shape, losses, trains=True, measures=False)
    assert planned == pytest.approx(parked, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "change", "against", "in_run", "precision", "parts", "checkpointing"),
    [
        ("npo", "trapezoid", None, False, "float32", (), False),
        ("npo", "simpson", "kl", True, "float32", (), False),
        ("npo", "simpson", "kl", False, "float32", (), True),
        ("npo", "simpson", None, False, "float32", OFFLOADED, False),
        ("npo", "trapezoid", "kl", True, "bf16", OFFLOADED, True),
        ("npo", "simpson", "kl", False, "bf16", OFFLOADED, True),
        ("dpo", "trapezoid", None, False, "bf16", OFFLOADED, False),
    ],
)
def test_measuring(
    objective, change, against, in_run, precision, parts, checkpointing, cell_of, tiny
):
    model, shape = tiny
    if checkpointing:
        recompute(model)
    cell = cell_of(objective, against)
    with computing_in(precision):
        original = frozen(copy.deepcopy(model))
    draws = cell.draw(shape.hidden)
    found = Measurement(cell, draws, {}, cell.held_out, 3, change=change)
    width = max(len(e) for examples in found.examples.values() for e in examples)
    pairs = [e.refusal for e in found.examples["objective"] if e.refusal is not None]
    refused = max((len(refusal) for refusal in pairs), default=0)
    shares = {}
    if against is not None:
        shares = {"regularizer": {n: torch.zeros_like(p) for n, p in model.named_parameters()}}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    there = [t for share in shares.values() for t in share.values()]
    if parts:
        shares = {term: Parked(share) for term, share in shares.items()}
        there = []
    elif in_run:
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        states = optimizer.state.values()
        there += [s[name] for s in states for name in ("exp_avg", "exp_avg_sq")]
        there += [p.detach().clone() for p in model.parameters()]  # the regularizer's moment
    there += list(original.parameters()) if found.looks_at_original else []

    def measure():
        found.begin(model, original if found.looks_at_original else None)
        for step in range(3):
            found.at(model, step, shares if step else {})

    with computing_in(precision), offloading(*parts):
        measured, parked = held(model, measure, there)
    kl = against is not None
    losses = Losses(regularizer=kl, original=kl, kl=kl, offload=frozenset(parts))
    batch = Batch(3, width, width)
    moments = memory.measurement(
        shape,
        precision,
        batch,
        losses,
        in_run,
        kl,
        change == "simpson",
        checkpointing=checkpointing,
        refusals=Batch(3, refused, refused) if pairs else None,
    )
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)
    # The shares were there before.
    found = dataclasses.replace(losses, regularizer=False)
    planned = memory.parked(shape, found, False, True, change == "simpson")
    assert planned == pytest.approx(parked, rel=TOLERANCE)


LORA = {"rank": 16, "alpha": 32, "targets": "all-linear"}


def test_training_adapters_parks_what_is_theirs_alone(model, shape, trained):
    adapt(model, 1, **LORA)
    settings = dataclasses.replace(SETTINGS, weight_decay=0.01)
    with offloading(*OFFLOADED):
        parked = trained(settings, "nll", Nobody())[1]
    losses = Losses(regularizer=True, decay=True, offload=frozenset(OFFLOADED))
    planned = memory.parked(shape.adapted(LORA), losses, trains=True, measures=False)
    assert planned == pytest.approx(parked, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("parameters", "change", "parts"),
    [
        (ADAPTER, "trapezoid", OFFLOADED),
        (MERGED, "simpson", ()),
        (MERGED, "simpson", OFFLOADED),
    ],
)
def test_measuring_adapters(parameters, change, parts, cell_of, tiny):
    """In their own coordinates, and in those of the weights that they are merged into."""
    model, shape = tiny
    shape = shape.adapted(LORA, parameters == MERGED)
    adapt(model, 1, **LORA)
    cell = cell_of("npo", None, forget=4)
    draws = cell.draw(shape.hidden)
    found = Measurement(cell, draws, {}, cell.held_out, 3, change=change, parameters=parameters)

    def measure():
        found.begin(model)
        for step in range(2):
            found.at(model, step)

    with offloading(*parts):
        measured, parked = held(model, measure)
    width = max(len(e) for examples in found.examples.values() for e in examples)
    losses, simpson = Losses(offload=frozenset(parts)), change == "simpson"
    moments = memory.measurement(
        shape, "float32", Batch(3, width, width), losses, several_terms=False, simpson=simpson
    )
    if parameters == MERGED:  # else activations of rows of any length are most of it
        assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)
    assert memory.parked(shape, losses, False, True, simpson) == pytest.approx(
        parked, rel=TOLERANCE
    )


@pytest.fixture
def tiny(tokenizer, rng):
    """(model, shape) with the tokenizer of the cells' rows, and more weights than activations."""
    model = small_model(
        "llama",
        len(tokenizer),
        rng,
        tokenizer.eos_token_id,
        hidden_size=192,
        intermediate_size=640,
        num_hidden_layers=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
    )
    return model, Shape.of(model.config.to_dict(), "the model")


@pytest.mark.parametrize("gradient_norm", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_evaluating(gradient_norm, precision, tiny, tokenizer, rows):
    model, shape = tiny
    examples = rows(4)

    def evaluate():
        score(model, examples, 4)
        generate(model, tokenizer, [e.prompt for e in examples], PROMPT + LABELS, 4)
        if gradient_norm:
            gradient_norms(model, examples)

    with computing_in(precision):
        measured, _ = held(model, evaluate)
    moments = memory.evaluation(shape, precision, batch_of(4), PROMPT + LABELS, gradient_norm)
    assert total(peak(moments)[1]) == pytest.approx(measured, rel=TOLERANCE), peak(moments)
