"""What a model of full size costs on one GPU, and what plain training loops cost beside it.

    make bench-gpu
    python bench/full_size.py --model llama-2-7b
    python bench/full_size.py --tiny     # a tiny model on the CPU, in seconds: does everything run?

Weights are random, rows are TOFU's (GEFFECT_TOFU names its folder) or else fictional, encoded by a
tokenizer that is trained on them; batches, precision and gradient checkpointing are those of the
model in config.yaml. Every part gets a model of its own, a first repeat that does not count, and
then some seconds. Its FLOPs are those that `geffect cost` counts, its memory is shown beside what
`geffect cost` plans. A part that does not fit says so; what did not run has no row.
"""

import argparse
import copy
import gc
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import torch
import yaml
from engine import Bench, now, random_model, timed
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import PreTrainedModel, Trainer, TrainingArguments

from geffect import files
from geffect.cells.cell import Cell
from geffect.config.config import Config
from geffect.cost import memory, work
from geffect.cost.cards import CARDS, Card
from geffect.cost.memory import Losses, Parts
from geffect.cost.shapes import Shape
from geffect.cost.work import BACKWARD, FORWARD, Passes, Term, Unlearning
from geffect.data import fictional, sources
from geffect.data.batches import collate
from geffect.data.encoding import Encoder, Example
from geffect.data.refusals import read_refusals
from geffect.data.rows import texts
from geffect.data.templates import Template
from geffect.effects.measurement import Measurement
from geffect.evaluation.passes import generate, score
from geffect.jobs.provenance import provenance
from geffect.losses.loss import Loss, objective, regularizer
from geffect.models.compute import computing_in
from geffect.models.scratch import train_tokenizer
from geffect.training.fit import fit
from geffect.training.loop import train
from geffect.training.settings import TrainingSettings

CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"


@dataclass
class Case:
    """What all parts have in common: the rows, and how the model is configured.

    Attributes:
        size: of the model, a key of `engine.SIZES`.
        name: of the entry in config.yaml whose settings count.
        seconds: that a part is repeated for.
        steps: of a training run at most; the time usually ends it earlier.
        repeats: of everything else at least.
        length: tokens of a generated answer, prompt included.
    """

    size: str
    name: str
    config: Config
    device: str
    seconds: float
    steps: int
    repeats: int
    forget_rows: Sequence[dict]
    retain_rows: Sequence[dict]
    encoder: Encoder
    shape: Shape
    precision: str
    length: int
    forget: Sequence[Example] = field(init=False)
    retain: Sequence[Example] = field(init=False)

    def __post_init__(self) -> None:
        self.forget = self.encoder.rows(self.forget_rows, "forget rows")
        self.retain = self.encoder.rows(self.retain_rows, "retain rows")

    def model(self) -> PreTrainedModel:
        """A new model with random weights."""
        return random_model(self.size, self.device, self.encoder.tokenizer.eos_token_id)

    def settings(self, stage: str) -> TrainingSettings:
        """The settings of config.yaml, with at most `steps` updates."""
        settings = TrainingSettings(**self.config.training(self.name, stage))
        rows = len(self.forget)
        return replace(settings, epochs=self.steps * settings.batch_size / rows)

    def cell(self, loss: Loss, against: Loss | None = None) -> Cell:
        """A cell of these rows."""
        data = (self.forget_rows, self.retain_rows, read_refusals(None))
        return Cell(self.encoder, *data, loss, against, 0)

    @property
    def at_once(self) -> int:
        """Rows at once of a measurement."""
        return self.config.raw["geffect"]["micro_batch_size"]

    @property
    def tokens(self) -> int:
        """Tokens of D_u."""
        return sum(map(len, self.forget))

    @property
    def passes(self) -> Passes:
        """Passes over rows of the mean length of D_u, without padding."""
        mean = self.tokens / len(self.forget)
        return Passes(self.shape, self.precision, mean, padding=1.0)

    def batch(self, rows: int) -> memory.Batch:
        """The largest batch of some rows."""
        longest = max(map(len, (*self.forget, *self.retain)))
        start = min(e.prompt_length for e in (*self.forget, *self.retain)) - 1
        return memory.Batch(rows, longest, longest - start)


@dataclass(frozen=True)
class Part:
    """Something that is measured.

    Attributes:
        seconds: the seconds of every repeat that counts.
        tokens: that a repeat goes through (or generates), each once, without padding.
        flops: of a repeat.
        planned: what is held when most is, as planned; None where nothing plans it.
    """

    seconds: Callable[[], list[float]]
    tokens: float
    flops: float
    planned: dict[str, Parts] | None = None


class _EnoughError(Exception):
    """Ends a training run from inside."""


def steps_of(case: Case, run: Callable[[], object]) -> list[float]:
    """The seconds between the optimiser's steps of a run, which ends when there are enough.

    The first step and the second, with which its memory settles, do not count.
    """
    ends: list[float] = []

    def after(*_: object) -> None:
        ends.append(now(case.device))
        if len(ends) > 3 and ends[-1] - ends[1] > case.seconds:
            raise _EnoughError

    handle = register_optimizer_step_post_hook(after)
    try:
        run()
    except _EnoughError:
        pass
    finally:
        handle.remove()
    return [b - a for a, b in itertools.pairwise(ends[1:])]


def repeats_of(case: Case, run: Callable[[], object]) -> list[float]:
    """The seconds of repeats, after a first one that does not count."""
    timed(run, case.device)
    found: list[float] = []
    while sum(found) < case.seconds or len(found) < case.repeats:
        found.append(timed(run, case.device))
    return found


class _Nobody:
    """Looks at nothing, so that a run keeps what a cell's run keeps."""

    def at(self, model: PreTrainedModel, step: int, moved: object) -> None:
        """Looks away."""

    def state(self) -> dict:
        """Has no tables."""
        return {}

    def resume(self, model: PreTrainedModel, state: object) -> None:
        """Has nothing to continue."""


def _step_flops(case: Case, settings: TrainingSettings) -> float:
    recomputed = settings.gradient_checkpointing
    size, at_once = settings.batch_size, settings.micro_batch_size
    return work.trained(case.passes, 1, size, at_once, recomputed).flops


def _training_memory(case: Case, settings: TrainingSettings, losses: Losses) -> dict[str, Parts]:
    at_once = settings.micro_batch_size
    return memory.training(
        case.shape,
        case.precision,
        case.batch(at_once),
        losses,
        settings.gradient_checkpointing,
        settings.batch_size // at_once,
    )


def _step_tokens(case: Case, settings: TrainingSettings, sets: int = 1) -> float:
    return sets * settings.batch_size * case.passes.tokens


def fine_tuning(case: Case) -> Part:
    """Steps of our loop on the risk."""
    settings = case.settings("finetune")
    return Part(
        lambda: steps_of(case, lambda: fit(case.model(), case.forget, settings, 0, "fine-tuning")),
        _step_tokens(case, settings),
        _step_flops(case, settings),
        _training_memory(case, settings, Losses(decay=settings.weight_decay > 0, watched=False)),
    )


def plain_trainer(case: Case) -> Part:
    """Steps of transformers' Trainer on the same rows, padded to the longest of a micro-batch."""
    settings = case.settings("finetune")
    needed = case.steps * settings.batch_size  # in one epoch, whose last step may be a smaller one
    rows = list(itertools.islice(itertools.cycle(case.forget), needed))

    def collated(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch = collate(examples)
        mask = torch.zeros_like(batch.input_ids)
        for row, example in enumerate(examples):
            mask[row, : len(example)] = 1
        return {"input_ids": batch.input_ids, "labels": batch.labels, "attention_mask": mask}

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=settings.micro_batch_size,
                gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
                max_steps=case.steps,
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                bf16=case.precision == "bf16",
                activation_checkpointing=settings.gradient_checkpointing,
                optim="adamw_torch_fused",
                use_cpu=case.device == "cpu",
                remove_unused_columns=False,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            Trainer(case.model(), arguments, collated, train_dataset=rows).train()

    flops = _step_flops(case, settings)
    return Part(lambda: steps_of(case, run), _step_tokens(case, settings), flops)


def _unlearning(case: Case, loss: Loss, against: str | None = None) -> Part:
    settings = case.settings("unlearn")
    added = None if against is None else regularizer(against)
    cell = case.cell(loss, added)
    at_once, recomputed = settings.micro_batch_size, settings.gradient_checkpointing
    needs_original = added is not None and added.keeps_original

    def run() -> None:
        model = case.model()
        original = copy.deepcopy(model) if needs_original else None
        losses = {name: own.bind(original) for name, own in cell.losses.items()}
        losses["objective"] = loss  # its reference log-probabilities come before the first step
        visits = cell.visits(case.steps, settings.batch_size)
        rows = len(case.forget)
        train(model, losses, visits, settings, rows, loss.name, _Nobody(), every=2 * case.steps)

    counted = Unlearning(
        forget=0,
        retain=0,
        steps=1,
        measured=0,
        batch=settings.batch_size,
        micro_batch=at_once,
        objective=Term(),
        regularizer=None if added is None else Term(original=needs_original),
        recomputed=recomputed,
    )
    held = Losses(
        regularizer=added is not None,
        original=needs_original,
        kl=against == "kl",
        decay=settings.weight_decay > 0,
    )
    return Part(
        lambda: steps_of(case, run),
        _step_tokens(case, settings, len(cell.losses)),
        work.unlearned(case.passes, counted).flops,
        _training_memory(case, settings, held),
    )


def unlearning_ga(case: Case) -> Part:
    """Updates of GA."""
    return _unlearning(case, objective("ga"))


def unlearning_npo_kl(case: Case) -> Part:
    """Updates of NPO with KL, which keeps θ_o in memory."""
    return _unlearning(case, objective("npo", beta=0.5), "kl")


def unlearning_npo(case: Case) -> Part:
    """Updates of NPO alone, to compare with `habits`."""
    return _unlearning(case, objective("npo", beta=0.5))


def habits(case: Case) -> Part:
    """The same updates by the authors' habits: rows padded to 500 tokens, θ_o run in every step."""
    settings = case.settings("unlearn")
    npo = objective("npo", beta=0.5)

    def run() -> None:
        model = case.model()
        loss = replace(npo, positions="all").bind(copy.deepcopy(model))
        visits = case.cell(npo).visits(case.steps, settings.batch_size)
        train(model, {"objective": loss}, visits, settings, len(case.forget), "habits", _Nobody())

    # What is useful of it is counted: rows without padding, and no pass of θ_o.
    flops = _step_flops(case, settings)
    return Part(lambda: steps_of(case, run), _step_tokens(case, settings), flops)


def _measured_flops(case: Case, instances: bool = False, tokens: bool = False) -> float:
    """Of a measured step, without the pass of θ_o before the first one."""

    def counted(steps: int) -> float:
        run = Unlearning(
            forget=len(case.forget),
            retain=len(case.retain),
            steps=0,
            measured=steps,
            batch=1,
            micro_batch=1,
            objective=Term(reference=True),
            measured_at_once=case.at_once,
            instances=instances,
            tokens=tokens,
        )
        return work.measured(case.passes, run).flops

    return counted(1) - counted(0)


def _measured_step(case: Case, tables: bool) -> Part:
    def seconds() -> list[float]:
        model, cell = case.model(), case.cell(objective("npo", beta=0.5))
        draws = cell.draw(case.shape.hidden)
        measurement = Measurement(cell, draws, {}, case.retain, case.at_once, tables, tables)
        measurement.begin(model)
        return repeats_of(case, lambda: measurement.at(model, 0))

    planned = memory.measurement(
        case.shape,
        case.precision,
        case.batch(case.at_once),
        Losses(),
        several_terms=False,
        tables=tables,
    )
    tokens = case.tokens + sum(map(len, case.retain))
    return Part(seconds, tokens, _measured_flops(case, tables, tables), planned)


def data_set_level(case: Case) -> Part:
    """A measured step without tables: both risks' gradients, the objective's, their products."""
    return _measured_step(case, tables=False)


def whole_step(case: Case) -> Part:
    """A measured step with the tables of instances and tokens."""
    return _measured_step(case, tables=True)


def _with_directions(case: Case, candidate: Callable[[Bench], None], flops: float) -> Part:
    def seconds() -> list[float]:
        examples = {"unlearn": case.forget, "retain": case.retain}
        bench = Bench(case.model(), examples, case.at_once)
        return repeats_of(case, lambda: candidate(bench))

    return Part(seconds, case.tokens, flops)


def backward_per_instance(case: Case) -> Part:
    """The G-effects of instances as a backward pass for each of them gives them."""
    flops = case.passes.over(len(case.forget), 1, FORWARD + BACKWARD).flops
    return _with_directions(case, Bench.backward_per_instance, flops)


def instances(case: Case) -> Part:
    """The G-effects of instances by our pass."""
    flops = _measured_flops(case, instances=True) - _measured_flops(case)
    return _with_directions(case, Bench.instances, flops)


def tokens(case: Case) -> Part:
    """The G-effects of tokens by our pass."""
    flops = _measured_flops(case, tokens=True) - _measured_flops(case)
    return _with_directions(case, Bench.token_tables, flops)


def teacher_forced(case: Case) -> Part:
    """An evaluation's pass over given answers."""
    at_once = case.config.raw["evaluation"]["micro_batch_size"]

    def seconds() -> list[float]:
        model = case.model()
        return repeats_of(case, lambda: score(model, case.forget, at_once))

    flops = case.passes.over(len(case.forget), at_once, FORWARD).flops
    return Part(seconds, case.tokens, flops, _evaluation_memory(case, "texts are scored"))


def generation(case: Case) -> Part:
    """An evaluation's greedy answers; tokens are those that are asked for."""
    at_once = case.config.raw["evaluation"]["micro_batch_size"]
    prompts = [example.prompt for example in case.forget]
    asked = sum(max(0, case.length - len(prompt)) for prompt in prompts)

    def seconds() -> list[float]:
        model, tokenizer = case.model(), case.encoder.tokenizer
        return repeats_of(case, lambda: generate(model, tokenizer, prompts, case.length, at_once))

    read = sum(map(len, prompts)) / len(prompts)
    passes = replace(case.passes, tokens=read)
    flops = passes.generated(len(prompts), at_once, asked / len(prompts)).flops
    return Part(seconds, asked, flops, _evaluation_memory(case, "answers are generated"))


def _evaluation_memory(case: Case, moment: str) -> dict[str, Parts]:
    rows = case.config.raw["evaluation"]["micro_batch_size"]
    batch = case.batch(min(rows, len(case.forget)))
    moments = memory.evaluation(case.shape, case.precision, batch, case.length, False)
    return {moment: moments[moment]}


PARTS: dict[str, Callable[[Case], Part]] = {
    "fine-tuning": fine_tuning,
    "fine-tuning by transformers' Trainer": plain_trainer,
    "unlearning, GA": unlearning_ga,
    "unlearning, NPO + KL": unlearning_npo_kl,
    "unlearning, NPO": unlearning_npo,
    "unlearning, NPO, by the authors' habits": habits,
    "G-effects, data sets": data_set_level,
    "G-effects, data sets, instances, tokens": whole_step,
    "  of which instances": instances,
    "  instances by a backward pass each": backward_per_instance,
    "  of which tokens": tokens,
    "evaluation, given answers": teacher_forced,
    "evaluation, generated answers": generation,
}


def measured(case: Case, name: str, peak: float | None) -> dict:
    """The row of a part.

    Args:
        peak: FLOP/s of the device in the case's precision, if known.
    """
    cuda, gib = case.device.startswith("cuda"), 2**30
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    row: dict = {"part": name, "status": "ok"}
    with computing_in(case.precision):
        part = PARTS[name](case)
        if part.planned is not None:
            row["planned_gib"] = memory.total(memory.peak(part.planned)[1]) / gib
        try:
            seconds = part.seconds()
        except torch.OutOfMemoryError:
            return row | {"status": "does not fit"}
    median = statistics.median(seconds)
    row |= {"repeats": len(seconds), "seconds": median, "tokens_per_second": part.tokens / median}
    if peak is not None:
        row["utilisation"] = part.flops / median / peak
    if cuda:
        row["peak_gib"] = torch.cuda.max_memory_allocated() / gib
    return row | {"tokens": part.tokens, "flops": part.flops}


COLUMNS = [
    *("part", "status", "repeats", "seconds", "tokens_per_second", "utilisation"),
    *("peak_gib", "planned_gib", "tokens", "flops"),
]


def make_case(given: argparse.Namespace, device: str) -> tuple[Case, str]:
    """The case of the command line, and where its rows are from."""
    config = Config(yaml.safe_load(CONFIG.read_text(encoding="utf-8")))
    number = 16 if given.tiny else given.rows
    folder = "" if given.tiny else os.environ.get("GEFFECT_TOFU", "")
    where = "TOFU" if folder else "fictional"
    authors = 7 if given.tiny else 200
    source = sources.read_tofu(folder) if folder else fictional.generate(authors, 10, 1, 1, seed=0)
    full = [{"row": place, **row} for place, row in enumerate(source["full"])]
    least = 16  # a batch of config.yaml
    if not least <= number <= len(full) // 2:
        raise SystemExit(
            f"error: --rows {number}: write {least} to {len(full) // 2}, a batch to half of all"
        )
    size = "tiny" if given.tiny else given.model
    most = 400 if given.tiny else 32000
    tokenizer = train_tokenizer(texts(full, []), most)
    encoder = Encoder(tokenizer, Template(**config.template(given.model)), 512)
    shape = Shape.of(random_model(size, "meta").config.to_dict(), given.model)
    precision = config.compute(given.model)["precision"]
    length = 60 if given.tiny else config.raw["evaluation"]["generation_length"]
    rows = (full[-number:], full[:number])
    much = (given.seconds, 4 if given.tiny else 50, 1 if given.tiny else 3)
    case = Case(size, given.model, config, device, *much, *rows, encoder, shape, precision, length)
    return case, where


def peak_flops(given: argparse.Namespace, device: str, precision: str) -> tuple[str, float | None]:
    """The name of the device and its FLOP/s, by --flops or by its data sheet."""
    cuda = device.startswith("cuda")
    name = torch.cuda.get_device_name() if cuda else "CPU"
    if given.flops is not None or not cuda:
        return name, given.flops
    card = card_named(name, torch.cuda.get_device_properties(0).total_memory)
    return name, None if card is None else card.flops[precision]


def card_named(name: str, memory_bytes: float) -> Card | None:
    """The known card that calls itself so, and has about as much memory; None if there is none."""
    known = [card for card in CARDS.values() if card.name.partition("-")[0] in name]
    near = [card for card in known if 0.85 < memory_bytes / card.memory < 1.1]
    return near[0] if near else None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    result.add_argument("--model", choices=["phi-1_5", "llama-2-7b"], default="phi-1_5")
    result.add_argument("--rows", type=int, default=200, help="of D_u, and of the retain rows")
    result.add_argument("--seconds", type=float, default=20, help="that a part is repeated for")
    result.add_argument("--flops", type=float, help="FLOP/s of the device; default: by its name")
    result.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", default=list(PARTS))
    result.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    result.add_argument("--out", type=Path, default=Path("results/bench"))
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    given = parser().parse_args(arguments)
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit(
            "error: torch sees no CUDA device; --tiny runs everything on the CPU with a tiny model"
        )
    torch.set_num_threads(1)
    device = "cpu" if given.tiny else "cuda"
    case, where = make_case(given, device)
    name, peak = peak_flops(given, device, case.precision)
    found = []
    for part in given.parts:
        found.append(measured(case, part, peak))
        print(found[-1], flush=True)
    about = {
        "model": case.size,
        "parameters": case.shape.parameters,
        "precision": case.precision,
        "device": name,
        "peak_flops": peak,
        "data": where,
        "rows": len(case.forget),
        "tokens_of_a_row": case.passes.tokens,
        "seconds": given.seconds,
    }
    table = pd.DataFrame(found).reindex(columns=COLUMNS)
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / f"full_size_{case.size}"
    files.write_json({**about, "parts": found, **provenance()}, f"{stem}.json")
    lines = [f"- {key}: {value}" for key, value in about.items()]
    shown = table.astype(object).where(table.notna(), None)
    shown = shown.to_markdown(index=False, floatfmt=".3g", missingval="")
    Path(f"{stem}.md").write_text("\n".join([*lines, "", shown, ""]), encoding="utf-8")
    print(shown, f"wrote {stem}.md, .json", sep="\n")


if __name__ == "__main__":
    main()
