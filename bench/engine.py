"""What the G-effect engine costs, as ratios to one plain forward and backward pass over D_u.

    make bench                     # on the CPU, and on a GPU where there is one
    python bench/engine.py --help

All candidates are timed one after another in every repeat, so that a noisy machine hits them
alike; ratios are medians over repeats of the ratio within a repeat. Rows are random tokens: the
cost does not depend on what they say. D_u and D_r have equal numbers of tokens, reference
log-probabilities are given.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from costs import cost_ratios
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from geffect import files
from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.effects.gradients import (
    Directions,
    compare,
    data_batches,
    effect_rows,
    gradient_over,
)
from geffect.effects.instances import instance_effects
from geffect.effects.reweighting import reweighted
from geffect.effects.tokens import At, token_rows
from geffect.jobs.provenance import provenance
from geffect.losses.loss import RISK, Loss, objective
from geffect.losses.view import forward, log_probabilities, with_reference
from geffect.models.components import component_map
from geffect.models.scratch import build
from geffect.report import style

SIZES = {
    "tiny": {
        "architecture": "phi",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocabulary": 400,
    },
    # 51 million parameters.
    "small": {
        "architecture": "phi",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "vocabulary": 25000,
    },
    "phi-1_5": {
        "architecture": "phi",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "vocabulary": 51200,
    },
    "llama-2-7b": {
        "architecture": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocabulary": 32000,
    },
}
REWEIGHTED = {
    "ga": {},
    "wga": {"alpha": 5.0},
    "npo": {"beta": 0.5},
    "tnpo": {"beta": 4.0},
    "wtnpo": {"alpha": 1.5, "beta": 5.0},
}


def random_model(size: str, device: str, eos: int = 0) -> PreTrainedModel:
    """A model of one of the `SIZES`, float32, with random weights."""
    settings: dict = dict(SIZES[size])
    architecture, vocabulary = settings.pop("architecture"), settings.pop("vocabulary")
    heads = settings["num_attention_heads"]
    settings |= {"max_position_embeddings": 512, "num_key_value_heads": heads}
    with torch.device(device):  # on a CPU, billions of weights would take minutes to draw
        model = build(architecture, settings, vocabulary, eos, seed=0)
    return model.to(device)


def random_examples(vocabulary: int, rows: int) -> dict[str, list[Example]]:
    """D_u and D_r of random tokens, with equal lengths."""
    rng = np.random.default_rng(0)
    shapes = [(int(rng.integers(12, 30)), int(rng.integers(20, 60))) for _ in range(rows)]

    def examples() -> list[Example]:
        return [Example((*rng.integers(1, vocabulary, p + a).tolist(), 0), p) for p, a in shapes]

    return {"unlearn": examples(), "retain": examples()}


class Bench:
    """A model, its data, and the candidates that are timed.

    Args:
        model: on the device that it runs on.
        examples: of `unlearn` and `retain`.
        micro_batch: rows at once.
    """

    def __init__(
        self, model: PreTrainedModel, examples: Mapping[str, Sequence[Example]], micro_batch: int
    ):
        self.model, self.examples = model, examples
        self.device = str(model.device)
        self.components = component_map(model)
        self.batches = {name: self._batches(name, micro_batch) for name in examples}
        self.directions = Directions({n: self._risk(n) for n in self.batches})

    @cached_property
    def fours(self) -> dict[str, list[Batch]]:
        """Micro-batches of the authors' size."""
        return {name: self._batches(name, 4) for name in self.examples}

    @cached_property
    def single(self) -> list[Batch]:
        """D_u row by row."""
        return self._batches("unlearn", 1)

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """The token table of D_u."""
        return self._token_table()

    def _batches(self, name, micro_batch):
        return [
            with_reference(self.model, batch.to(self.device))
            for batch in data_batches(RISK, self.examples[name], micro_batch)
        ]

    def _risk(self, name):
        return gradient_over(self.model, RISK, self.batches[name])[1]

    def _total(self, loss: Loss, batch: Batch) -> torch.Tensor:
        return loss.total(loss.view(self.model, batch))

    def _mean(self, loss: Loss, batch: Batch) -> torch.Tensor:
        return self._total(loss, batch) / loss.count(batch)

    def plain(self):
        """One forward and backward pass over D_u, no more."""
        self.model.zero_grad(set_to_none=True)
        for batch in self.batches["unlearn"]:
            self._total(RISK, batch).backward()
        self.model.zero_grad(set_to_none=True)

    def two_directions(self):
        for name in self.batches:
            self._risk(name)

    def data_set_level(self):
        """∇R(D_u), ∇R(D_r) and NPO's gradient, with all dots and norms by component."""
        risks = {name: self._risk(name) for name in self.batches}
        npo = objective("npo", **REWEIGHTED["npo"])

        def exact(name):
            return gradient_over(self.model, npo, self.batches["unlearn"])[1]

        effect_rows({"objective": npo.coefficient}, exact, risks, self.components)

    def instances(self):
        for batch in self.batches["unlearn"]:
            instance_effects(self.model, batch, self.directions, self.components)

    def _token_table(self) -> pd.DataFrame:
        frames, numbers = [], np.arange(len(self.examples["unlearn"]))
        for batch in self.batches["unlearn"]:
            here, numbers = np.split(numbers, [len(batch.input_ids)])
            frames.append(token_rows(self.model, batch, self.directions, here))
        return pd.concat(frames, ignore_index=True).assign(step=0, text="answer")

    def token_tables(self):
        """Both token tables alone."""
        self._token_table()

    def reweighted_objectives(self):
        """Both token tables, and the totals of all reweighted objectives from them."""
        self.tokens = self._token_table()
        self.from_tokens(len(REWEIGHTED))

    def from_tokens(self, number: int):
        """The totals of some reweighted objectives from a table that is there."""
        for name in itertools.islice(itertools.cycle(REWEIGHTED), number):
            reweighted(self.tokens, name, REWEIGHTED[name])

    def backward_per_instance(self):
        for batch in self.single:
            self.model.zero_grad(set_to_none=True)
            (-self._total(RISK, batch)).backward()
            found = {name: p.grad for name, p in self.model.named_parameters()}
            for direction in self.directions.values():
                compare(found, direction, self.components)
        self.model.zero_grad(set_to_none=True)

    def vmap_grad(self):
        """Per-sample gradients of a micro-batch at once, then their products in float64."""
        parameters = {name: p.detach() for name, p in self.model.named_parameters()}

        def logp(values, ids, labels):
            batch = Batch(ids[None], labels[None])

            logits = forward(At(self.model, values), batch).logits
            return log_probabilities(logits, batch)[0].sum()

        with sdpa_kernel(SDPBackend.MATH):
            for batch in self.fours["unlearn"]:
                found = vmap(grad(logp), (None, 0, 0))(parameters, batch.input_ids, batch.labels)
                for direction in self.directions.values():
                    for name, g in found.items():
                        (g.flatten(1).double() @ direction[name].flatten().double()).cpu()

    def published_loop(self, name: str = "npo"):
        """An emulation of the authors' loop: four passes a micro-batch of 4, five for NPO.

        Forward and backward for the forget risk, the objective, the retain risk, and once more for
        `loss * 0`; gradients copied to the host, 0.6/0.4 moving averages, an `.item()` a parameter.
        """
        averages: dict[str, dict] = {}
        loss = objective(name, **REWEIGHTED[name]).bind(original=self.model)

        def host(kind, total):
            self.model.zero_grad(set_to_none=True)
            total.backward()
            for name, p in self.model.named_parameters():
                new, old = p.grad.detach().cpu().clone(), averages.setdefault(kind, {}).get(name)
                averages[kind][name] = new if old is None else 0.6 * old + 0.4 * new

        for forget, retain in zip(self.fours["unlearn"], self.fours["retain"], strict=True):
            host("unlearn", self._mean(RISK, forget))
            fresh = replace(forget, logp_ref=None) if loss.needs else forget
            host("objective", self._mean(loss, fresh))
            host("retain", self._mean(RISK, retain))
            self.model.zero_grad(set_to_none=True)
            (self._mean(RISK, forget) * 0).backward()
            for risk in ("unlearn", "retain"):
                for parameter, value in averages[risk].items():
                    (value * averages["objective"][parameter]).sum().item()
        self.model.zero_grad(set_to_none=True)


CANDIDATES: dict[str, Callable[[Bench], None]] = {
    "plain forward + backward over D_u": Bench.plain,
    "two directions": Bench.two_directions,
    "data-set level, one objective": Bench.data_set_level,
    "instances × components, both": Bench.instances,
    "token tables, both": Bench.token_tables,
    "all reweighted objectives": Bench.reweighted_objectives,
    "  of which 1 from the table": lambda bench: bench.from_tokens(1),
    "  of which 20 from the table": lambda bench: bench.from_tokens(20),
    "one backward per instance": Bench.backward_per_instance,
    "vmap(grad)": Bench.vmap_grad,
    "published loop, GA": lambda bench: bench.published_loop("ga"),
    "published loop, NPO": lambda bench: bench.published_loop("npo"),
}
BASELINE = next(iter(CANDIDATES))
OTHERS = [name for name in CANDIDATES if name.startswith(("one backward", "vmap", "published"))]


def now(device: str) -> float:
    """The time once a device has done all that it was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(run: Callable[[], object], device: str) -> float:
    """The seconds that something takes."""
    started = now(device)
    run()
    return now(device) - started


def measure(bench: Bench, repeats: int, candidates: list[str]) -> pd.DataFrame:
    """A row per candidate: its ratio to the baseline (median, least, greatest), seconds, GiB."""
    seconds = {name: [] for name in candidates}
    memory = dict.fromkeys(candidates, float("nan"))
    for repeat in range(repeats + 1):
        for name in candidates:
            if bench.device.startswith("cuda"):
                torch.cuda.reset_peak_memory_stats()
            spent = timed(partial(CANDIDATES[name], bench), bench.device)
            if bench.device.startswith("cuda"):
                memory[name] = torch.cuda.max_memory_allocated() / 2**30
            if repeat:  # the first round warms up
                seconds[name].append(spent)
            print(f"round {repeat}/{repeats} {name}: {spent:.2f} s", flush=True)
    rows = []
    for name, spent in seconds.items():
        ratios = [a / b for a, b in zip(spent, seconds[BASELINE], strict=True)]
        rows.append(
            {
                "candidate": name,
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "greatest": max(ratios),
                "seconds": statistics.median(spent),
                "gib": memory[name],
            }
        )
    return pd.DataFrame(rows)


def run(size: str, device: str, precision: str, rows: list[int], given) -> None:
    """Times one size on one device; writes table, provenance and figure."""
    frames = []
    for k, number in enumerate(rows):
        dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
        model = random_model(size, device).to(dtype)
        examples = random_examples(model.config.vocab_size, number)
        bench = Bench(model, examples, given.micro_batch)
        parameters = sum(p.numel() for p in bench.model.parameters())
        tokens = sum(map(len, bench.examples["unlearn"]))
        print(f"{size}, {device}, {precision}: {parameters} parameters, {number} rows")
        candidates = [name for name in CANDIDATES if k == 0 or name not in OTHERS]
        table = measure(bench, given.repeats, candidates)
        frames.append(table.assign(rows=number, tokens=tokens))
    table = pd.concat(frames, ignore_index=True)
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / f"engine_{size}_{device}_{precision}"
    table.to_csv(f"{stem}.csv", index=False)
    about = {"parameters": parameters, "repeats": given.repeats, "micro_batch": given.micro_batch}
    files.write_json(about | provenance(), f"{stem}.json")
    title = f"{parameters / 1e6:.0f} million parameters, {precision}, {device}"
    style.save(cost_ratios(table, title), [f"{stem}.{suffix}" for suffix in ("pdf", "png")])
    print(table.to_markdown(index=False, floatfmt=".3g"))
    print(f"wrote {stem}.csv, .json, .pdf, .png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    # The first number of rows times everything, the others the engine alone: does it grow linearly?
    parser.add_argument("--rows", type=int, nargs="+", default=[16, 8, 32])
    parser.add_argument("--gpu-rows", type=int, nargs="+", default=[64, 32, 128])
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: every one there is")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.device != "cuda":
        run("small", "cpu", "float32", given.rows, given)
    if given.device == "cuda" or (given.device is None and torch.cuda.is_available()):
        run("phi-1_5", "cuda", "bf16", given.gpu_rows, given)


if __name__ == "__main__":
    main()
