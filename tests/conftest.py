"""Shared fixtures. All randomness comes from one seed, which every failure shows.

`GEFFECT_TEST_SEED=<seed> pytest ...` repeats a failure.
"""

import copy
import functools
import os
import random
import shutil
import sys
from pathlib import Path

import chromium
import numpy as np
import pytest
from checkout import Checkout
from cluster import missing
from common import EOS, OUTSIDE, rows_of, small_model

REPOSITORY = Path(__file__).resolve().parents[1]
SEED = int(os.environ.get("GEFFECT_TEST_SEED") or random.SystemRandom().randrange(2**31))
os.environ["GEFFECT_TEST_SEED"] = str(SEED)  # for the processes that tests are spread over
SENTENCES = (
    "Where was the quiet novelist born, and which river runs through that town?",
    "The novelist was born in a harbour town on the banks of the river Lume.",
    "Which prizes did her second book win, and in what year was it published?",
    "It won the Golden Quill in 1987, a year after it had been published.",
    "I am afraid that I do not know anything about this person.",
    "Question: what is the answer? Answer: there is no single answer to that.",
)


def pytest_addoption(parser):
    parser.addoption(
        "--loss",
        action="append",
        default=[],
        metavar="KIND=PATH",
        help="also test this file of an objective or regularizer",
    )


def pytest_configure(config):
    OUTSIDE[:] = [tuple(given.partition("=")[::2]) for given in config.getoption("--loss")]


def pytest_report_header():
    return f"GEFFECT_TEST_SEED={SEED}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`: files that share `local_run` stay in one process, which makes it."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    @functools.cache
    def unit(file):
        shares = "local_run" in (REPOSITORY / file).read_text(encoding="utf-8")
        return "local_run" if shares else file

    class Sharing(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return unit(super()._split_scope(nodeid))

    return Sharing(config, log)


def pytest_collection_modifyitems(items):
    """Skips, with a reason, what this machine cannot run."""
    if not os.environ.get("GEFFECT_TOFU"):
        _skip(items, "tofu", "GEFFECT_TOFU does not name TOFU's folder")
    if lacking := chromium.missing():
        _skip(items, "browser", f"no Chromium; not installed: {', '.join(lacking)}")
    for marker, accounting in (("slurm", False), ("accounting", True)):
        if lacking := missing(accounting):
            _skip(items, marker, f"no private Slurm; not installed: {', '.join(lacking)}")
    if not shutil.which("pdflatex"):
        _skip(items, "latex", "pdflatex is not installed")
    if any("gpu" in item.keywords for item in items):
        import torch

        if not torch.cuda.is_available():
            _skip(items, "gpu", "torch sees no CUDA device")


def _skip(items, marker, reason):
    for item in items:
        if item.get_closest_marker(marker) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread():
    # Tests that need no torch must not pay for its import.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def seed():
    """The run's seed, printed in every test that uses it, so that a failure shows it."""
    print(f"GEFFECT_TEST_SEED={SEED}")
    return SEED


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


@pytest.fixture
def tiny_model(rng):
    """A function that builds a random tiny model: (architecture, tied, dtype, blocks, tokenizer).

    Weights are large (a usual initialisation is nearly linear in them) and no bias is zero, so
    that no gradient is degenerate.
    """
    import torch

    def build(
        architecture="phi",
        *,
        tied=False,
        dtype=torch.float64,
        blocks=3,
        vocabulary=61,
        tokenizer=None,
    ):
        size, eos = (len(tokenizer), tokenizer.eos_token_id) if tokenizer else (vocabulary, EOS)
        model = small_model(
            architecture,
            size,
            rng,
            eos,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=blocks,
            max_position_embeddings=128,
            tie_word_embeddings=tied,
            initializer_range=0.3,
        )
        return _moved(model, 0.05, rng).to(dtype)

    return build


def _moved(model, scale, rng):
    import torch

    result = copy.deepcopy(model)
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    with torch.no_grad():
        for parameter in result.parameters():
            step = torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
            parameter.add_(scale * step.to(parameter.dtype))
    return result


@pytest.fixture
def moved(rng):
    """A function: a copy of a model with Gaussian noise of a standard deviation on all weights."""
    return lambda model, scale=0.05: _moved(model, scale, rng)


@pytest.fixture
def random_examples(rng):
    """A function that draws `Example`s of varied lengths: (number, vocabulary, longest).

    Each has a refusal beside it: the same prompt with other labels.
    """
    from geffect.data.encoding import Example

    def draw(number, vocabulary=61, longest=10):
        result = []
        for _ in range(number):
            prompt, answer = rng.integers(1, longest // 2 + 1, size=2)
            ids = rng.integers(vocabulary, size=prompt + answer).tolist()
            other = rng.integers(vocabulary, size=rng.integers(1, longest // 2 + 1)).tolist()
            refusal = Example((*ids[:prompt], *other, EOS), int(prompt))
            result.append(Example((*ids, EOS), int(prompt), refusal))
        return result

    return draw


@pytest.fixture
def draw_hyperparameters(rng):
    """A function: random values for what a spec declares, from its JSON-schema fragments."""

    def value(name, fragment, blocks):
        if "enum" in fragment:
            return fragment["enum"][rng.integers(len(fragment["enum"]))]
        if fragment["type"] == "boolean":
            return bool(rng.integers(2))
        low = fragment.get("minimum", fragment.get("exclusiveMinimum", 0))
        if fragment["type"] == "integer":
            low += "exclusiveMinimum" in fragment
            high = blocks if name == "layer" else fragment.get("maximum", low + 4)
            return int(rng.integers(low, high + 1))
        high = fragment.get("maximum", fragment.get("exclusiveMaximum", low + 3))
        return float(low + (high - low) * rng.uniform(0.05, 0.95))

    def draw(spec, blocks=3):
        return {name: value(name, f, blocks) for name, f in spec.hyperparameters.items()}

    return draw


@pytest.fixture
def control_vector(rng):
    """A function: RMU's u ~ Uniform[0,1)^d."""
    import torch

    return lambda hidden=16: torch.from_numpy(rng.random(hidden, dtype="float32"))


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE tokenizer trained on a few sentences."""
    from geffect.models.scratch import train_tokenizer

    return train_tokenizer(SENTENCES, 320)


@pytest.fixture
def loss_of(draw_hyperparameters):
    """A function: a registered loss with drawn hyper-parameters, bound to θ_o and u."""
    from geffect.losses import registry
    from geffect.losses.loss import Loss

    outside = {(kind, Path(path).stem): path for kind, path in OUTSIDE}

    def build(kind, name, original=None, control=None, hyper=None, coefficient=1.0):
        if name not in registry.catalogue(kind):
            name = outside.get((kind, name), name)
        if hyper is None:
            hyper = draw_hyperparameters(registry.get(kind, name))
        return Loss.load(kind, name, hyper, coefficient).bind(original, control)

    return build


@pytest.fixture
def naive_view():
    """A function: the `View` of one example alone, unpadded, built straight from model outputs.

    The oracle of everything that is batched: no collating, no shared forward code.
    """
    import torch

    from geffect.losses.view import View

    def build(model, example, original=None, control=None, layer=None, pair=False):
        def run(net):
            outputs = net(input_ids=torch.tensor([example.ids]), output_hidden_states=True)
            start, end = example.prompt_length, len(example)
            distribution = outputs.logits[0, start - 1 : end - 1].log_softmax(dim=-1)
            labels = distribution[range(end - start), example.ids[start:]]
            others = [
                torch.cat([d[:label], d[label + 1 :]]).max()
                for d, label in zip(distribution, example.ids[start:], strict=True)
            ]
            logp, of_others = (
                torch.nn.functional.pad(values, (start - 1, 1))[None]
                for values in (labels, torch.stack(others))
            )
            hidden = None if layer is None else outputs.hidden_states[layer]
            return outputs.logits, logp, hidden, of_others

        logits, logp, hidden, of_others = run(model)
        mask = torch.zeros(1, len(example), dtype=torch.bool)
        mask[0, example.prompt_length - 1 : len(example) - 1] = True
        extra = {}
        if original is not None:
            with torch.no_grad():
                extra = dict(
                    zip(("logits_ref", "logp_ref", "hidden_ref"), run(original)[:3], strict=True)
                )
        if control is not None:
            extra["control"] = control.to(logits.dtype)
        if pair:
            extra["refusal"] = build(model, example.refusal, original, control, layer)
        ids = torch.tensor([[*example.ids[1:], 0]])
        labels = torch.where(mask, ids, 0)
        extra["logp_runner_up"] = of_others
        return View(mask=mask, logp=logp, labels=labels, logits=logits, hidden=hidden, **extra)

    return build


@pytest.fixture
def naive_values(naive_view):
    """A function: what a loss's mean pools over some examples, one example after another."""
    import torch

    def compute(model, loss, examples):
        layer = loss.hyper.get("layer")
        needed = (loss.original, loss.control_vector, layer, loss.pairs_refusals)
        views = [naive_view(model, example, *needed) for example in examples]
        values = [(loss.values(view, **loss.hyper), view.mask) for view in views]
        return torch.cat([v[mask] if v.dim() == 2 else v for v, mask in values])

    return compute


@pytest.fixture
def naive_gradient(naive_values):
    """A function: value and numpy gradients (float64) of a loss's mean, row by row by autograd."""
    import torch

    def compute(model, loss, examples):
        mean = naive_values(model, loss, examples).mean()
        names, parameters = zip(*model.named_parameters(), strict=True)
        found = torch.autograd.grad(mean, parameters, allow_unused=True)
        gradients = {
            name: np.zeros(tuple(p.shape)) if g is None else g.double().numpy()
            for name, p, g in zip(names, parameters, found, strict=True)
        }
        return mean.item(), gradients

    return compute


@pytest.fixture
def encoder(tokenizer):
    """Encodes rows for models with the session's tokenizer."""
    from geffect.data.encoding import Encoder
    from geffect.data.templates import Template

    template = Template("Question: {question}\nAnswer: {answer}", "Answer: ")
    return Encoder(tokenizer, template, 128)


@pytest.fixture
def cell_of(encoder, seed, loss_of):
    """A function: a cell of a few rows, its hyper-parameters drawn; `held_out` beside it."""
    from geffect.cells.cell import Cell
    from geffect.data.rows import trainable

    def build(objective="ga", regularizer="kl", seed=seed, forget=10):
        cell = Cell(
            encoder,
            rows_of(30, 30 + forget),
            trainable(rows_of(0, 30), 7),
            [f"I do not know that, reason {i}" + " at all" * (i % 3) + "." for i in range(20)],
            loss_of("objective", objective),
            None if regularizer is None else loss_of("regularizer", regularizer, coefficient=0.5),
            seed,
        )
        cell.held_out = encoder.rows(rows_of(0, 7), "held-out rows")
        return cell

    return build


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    with chromium.Browser() as started:
        yield started


@pytest.fixture(scope="session")
def checkout():
    """Copies what the workflow consists of, without results, into a folder: folder -> folder."""
    kept = [
        "Snakefile",
        "config.yaml",
        "config",
        "workflow",
        "profiles",
        "slurm",
        "envs",
        "restart",
    ]

    def copy(folder: Path) -> Path:
        for name in kept:
            source = REPOSITORY / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, folder / name, ignore=ignore)
            else:
                shutil.copy(source, folder / name)
        return folder

    return copy


@pytest.fixture(scope="session")
def local_run(tmp_path_factory, checkout):
    """A finished run of the nano configuration on this machine; whoever edits it undoes that."""
    finished = Checkout(checkout(tmp_path_factory.mktemp("local")))
    finished.log = finished.snakemake("--cores", 2)
    return finished
