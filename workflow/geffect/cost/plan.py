"""What the jobs of a configured grid take: how many, how long, how much memory and disk."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from geffect.config import CellKey, Config
from geffect.cost import memory
from geffect.cost.cards import GB, OF_BANDWIDTH, USABLE, USUAL, UTILISATION, Card, card_of
from geffect.cost.memory import Batch, Losses, Parts
from geffect.cost.shapes import Shape, shape_of
from geffect.cost.work import (
    BACKWARD,
    FORWARD,
    Passes,
    Term,
    Unlearning,
    Work,
    evaluated,
    matched,
    measured,
    recalled,
    trained,
    unlearned,
)
from geffect.errors import ConfigError
from geffect.losses import registry
from geffect.names import FULL, MERGED, OBJECTIVE, REGULARIZER
from geffect.training.settings import TrainingSettings

STAGES = (
    "base_training",
    "finetune",
    "evaluate_reference",
    "unlearn",
    "geffect",
    "evaluate",
    "evaluate_at",
    "matched",
    "relearn",
    "relearn_reference",
    "quantize",
    "quantize_reference",
)
COUNTED = ("gpus", "mem_mb")
"""What a job requests as counted where the configuration does not name it."""
# Mean characters of a question with its answer and of the answer, without the prompt's own, and of
# a question about real authors or world facts with its answer; rows of these two.
_CHARACTERS = {"tofu": (245, 170), "fictional": (182, 110)}
_PROMPT, _SHORT = 18, 70
# Mean characters of the project's own refusals, which is what such texts are.
_REFUSAL = 38
_BACKGROUND = {"hub": (100, 117), "directory": (100, 117)}
# Tokens of the longest of a few rows, as a multiple of the mean.
_LONGEST = 1.6
_SCAN = 8  # points of a search at matched retention before its bisection
# Seconds that a pass through one block takes at least (some fifty kernels), and until a job
# computes (imports, data); bytes a second of a disk, and between a card and the machine's memory.
_LAUNCH, _START, _DISK, _HOST = 4e-4, 8, 1e9, 2e10
# Of the machine's memory: a margin over what is counted; what Python and its libraries take, with
# a GPU's driver and without.
_MARGIN, _WITH_GPU, _WITHOUT = 1.2, 8 * GB, 2 * GB


@dataclass(frozen=True)
class Job:
    """A kind of jobs of one model that all take the same.

    Attributes:
        model, stage: of the jobs.
        count: how many there are.
        work: what each does.
        requests: the stage whose `resources` it requests.
        gpus: that each requests.
        precision: in which it computes.
        tf32: whether float32 is rounded to TF32.
        moments: those at which a job holds most memory, with what it holds then, in bytes.
        files: bytes that stay on the disk.
        passing: bytes that are there while a job, or those that need its outputs, are at work.
        state: bytes of a resume state.
        occasions: how often one may be saved.
        interval: seconds between two at least.
        parked: bytes that rest in the machine's memory when most do.
    """

    model: str
    stage: str
    count: int
    work: Work
    requests: str
    gpus: int
    precision: str
    tf32: bool
    moments: Mapping[str, Parts]
    files: float = 0
    passing: float = 0
    state: float = 0
    occasions: int = 0
    interval: float = 0
    parked: float = 0

    def seconds(self, card: Card, utilisation: float | None = None) -> float:
        """How long one job takes on a card; cards beyond the first only hold a part of it."""
        mode = "tf32" if self.tf32 and self.precision == "float32" else self.precision
        share = UTILISATION[mode] if utilisation is None else utilisation
        busy = self.work.flops / (card.flops[mode] * share)
        busy += self.work.traffic / (card.bandwidth * OF_BANDWIDTH)
        launching = self.work.launches * _LAUNCH
        busy = max(busy, launching) if self.gpus else busy + launching  # a CPU does one at a time
        busy += self.work.disk / _DISK + self.work.host / _HOST
        states = self.occasions
        if self.interval:
            states = min(states, int(busy / self.interval))
        return _START + busy + states * self.state / _DISK

    @property
    def parts(self) -> Parts:
        """What is held, by all cards, when one of them is fullest."""
        return memory.peak(self.moments, self._on_a_card)[1]

    def per_card(self) -> float:
        """The bytes that the fullest card holds."""
        return self._on_a_card(self.parts)

    def _on_a_card(self, parts: Parts) -> float:
        own = parts.get("activations", 0)  # those of all blocks may meet on one card
        return (memory.total(parts) - own) / max(1, self.gpus) + own

    def cards(self, size: float) -> int | None:
        """The number of cards of a size, in bytes, on which it fits; None if on no number."""
        for number in range(1, 65):
            if replace(self, gpus=number).per_card() <= size:
                return number
        return None

    @property
    def mem_mb(self) -> int:
        """MiB of the machine's memory that it takes: what is parked there, a copy of a resume
        state while it is written or of the weights while they are read, and without GPUs
        everything else as well.
        """
        held = self.parked + max(self.state, self.parts["weights"])
        held += 0 if self.gpus else self.per_card()
        whole = _MARGIN * held + (_WITH_GPU if self.gpus else _WITHOUT)
        return 1000 * math.ceil(whole / 2**20 / 1000)

    def largest(self, least: float = 0.03) -> str:
        """What holds its memory, in GB, the greatest first; parts below a share are left out."""
        whole = memory.total(self.parts)
        parts = sorted(self.parts.items(), key=lambda part: -part[1])
        return ", ".join(f"{name} {size / GB:.2f}" for name, size in parts if size > least * whole)


class Plan:
    """The jobs of a configuration.

    Whatever looks at a model raises ConfigError if its sizes are not known.

    Args:
        config: checked.
    """

    def __init__(self, config: Config):
        self.config, self.raw, self.sizes = config, config.raw, config.sizes
        self._shapes: dict[str, Shape] = {}

    @cached_property
    def jobs(self) -> list[Job]:
        """All of them; those that take the same are one entry."""
        return [job for model in self.config.models for job in self._of_model(model)]

    def job(self, stage: str, wildcards: Mapping[str, str]) -> Job:
        """The job of a stage that these wildcards of its rule name, in the grid or not."""
        model = wildcards["model"]
        if stage == "base_training":
            return next(self._base(model, 1))
        if stage == "finetune":  # its rows are no matter of memory
            return self._fit(model, stage, self._corpus(FULL), 1)
        if stage == "evaluate":
            return self._evaluation(model, wildcards["split"], stage, 1)
        if stage == "relearn":
            return self._relearning(model, wildcards["split"], stage, 1)
        if stage == "quantize":
            return self._rounding(model, wildcards["split"], stage, 1)
        cell = CellKey(
            model,
            wildcards["split"],
            wildcards["objective"],
            wildcards["regularizer"],
            int(wildcards["seed"]),
        )
        return next(job for job in self._of_cell(cell) if job.stage == stage)

    def shape(self, model: str) -> Shape:
        """The sizes of a model."""
        if model not in self._shapes:
            made = Path(self.raw["results"]) / self.raw["run"] / "models" / model
            entry, folder = self.config.model(model), made / "base/model"
            if self.config.source(model) is None:
                given = self.config.given(model, FULL) or {}
                entry = {"source": "path" if "path" in given else "hub", **given}
                folder = made / FULL / "hub/model"
            self._shapes[model] = shape_of(entry, f"models.{model}", folder)
        return self._shapes[model]

    def _tokens(self, shape: Shape) -> tuple[float, float]:
        """Mean tokens of a row, and of its answer."""
        whole, answer = self._lengths
        return (whole + _PROMPT) / _characters(shape), answer / _characters(shape)

    def _refusal(self, shape: Shape) -> tuple[float, float]:
        """The same of a refusal to its question."""
        whole, answer = self._lengths
        by = _characters(shape)
        return (whole - answer + _REFUSAL + _PROMPT) / by, _REFUSAL / by

    @property
    def _lengths(self) -> tuple[float, float]:
        """Mean characters of a question with its answer, and of the answer."""
        source = "fictional" if self.raw["data"]["source"] == "fictional" else "tofu"
        return self.sizes.characters or _CHARACTERS[source]

    def _passes(
        self, model: str, settings: TrainingSettings | None = None, merged: bool = False
    ) -> Passes:
        """The passes of a model, or of its training with these settings."""
        shape = self.shape(model)
        precision = self.config.compute(model)["precision"]
        whole, refused = self._tokens(shape)[0], self._refusal(shape)[0]
        passes = Passes(shape, precision, whole, refusal=refused)
        if settings is None:
            return passes
        if settings.lora is not None:
            passes = replace(passes, shape=shape.adapted(settings.lora, merged), backward=FORWARD)
        return replace(passes, padding=1.05) if settings.length_bucket else passes

    def _batch(self, model: str, rows: int) -> Batch:
        whole, answer = self._tokens(self.shape(model))
        return Batch(rows, whole * _LONGEST, answer * _LONGEST)

    def _refusals(self, model: str, rows: int, needs: Iterable[frozenset[str]]) -> Batch | None:
        """The refusals beside a batch, if one of some losses looks at them."""
        if not any("refusal_pairs" in need for need in needs):
            return None
        whole, refusal = self._refusal(self.shape(model))
        return Batch(rows, whole * _LONGEST, refusal * _LONGEST)

    @property
    def _background(self) -> tuple[int, int]:
        if self.sizes.background is not None:
            return self.sizes.background
        given = self.raw["data"]["fictional"]
        own = (given["real_authors"], given["world_facts"])
        return _BACKGROUND.get(self.raw["data"]["source"], own)

    def _job(
        self,
        model: str,
        stage: str,
        count: int,
        work: Work,
        moments: Mapping[str, Parts],
        files: float = 0,
        passing: float = 0,
        resources: str | None = None,
        state: float = 0,
        occasions: int = 0,
        parked: float = 0,
    ) -> Job:
        compute = self.config.compute(model)
        requests = resources or stage
        named = self.config.resources(model, requests).get("gpus")
        job = Job(
            model,
            stage,
            count,
            work + Work(disk=4 * self.shape(model).parameters),
            requests,
            1 if named is None else named,
            compute["precision"],
            compute["tf32"],
            moments,
            files,
            passing + 2 * state,  # a new one is there before the old one goes
            state,
            occasions,
            60 * self.raw["training"]["resume_minutes"],
            parked,
        )
        return replace(job, gpus=self._enough(job)) if named is None else job

    def _enough(self, job: Job) -> int:
        """The number of cards that a job needs; 1 where no number is enough."""
        if self.raw["compute"]["device"] == "cpu":
            return 0
        card = card_of(self.raw["compute"]["card"] or USUAL)
        return job.cards(card.memory * USABLE) or 1

    def resources(self, model: str, stage: str, attempt: int = 1) -> dict:
        """As `Config.resources`; what it leaves open is that of the stage's largest job.

        Raises:
            ConfigError: the configuration leaves something open that cannot be counted.
        """
        named = self.config.resources(model, stage, attempt)
        open_ = [name for name in COUNTED if name not in named]
        if not open_:
            return named
        where = f"models.{model}.resources.{open_[0]}: missing, and cannot be counted"
        try:
            jobs = [j for j in self.jobs if (j.model, j.requests) == (model, stage)]
        except ConfigError as error:
            raise ConfigError(f"{where} ({error}); set it") from error
        if not jobs:
            raise ConfigError(f"{where}, since no cell of the grid has this model; set it")
        most = {name: max(getattr(job, name) for job in jobs) for name in ("gpus", "mem_mb")}
        return self.config.resources(model, stage, attempt, most)

    def _of_model(self, model: str) -> Iterator[Job]:
        cells = [cell for cell in self.config.cells if cell.model == model]
        seeds = list(dict.fromkeys(cell.seed for cell in cells))
        trained = self.config.trained(model)
        if trained:
            yield from self._base(model, len(seeds))
        splits = self.config.known_splits
        corpora = dict.fromkeys((cell.seed, c) for cell in cells for c in (FULL, cell.split))
        for split in (FULL, *splits):
            count = sum(corpus == split for _, corpus in corpora)
            if count and (FULL if split == FULL else splits[split].retain) in trained:
                yield self._fit(model, "finetune", self._corpus(split), count)
        references = dict.fromkeys((cell.split, cell.seed) for cell in cells)
        for split, tables in splits.items():
            if not (count := sum(own == split for own, _ in references)):
                continue
            retain = 0 if self.config.is_missing(model, tables.retain) else count
            yield self._evaluation(model, split, "evaluate_reference", count + retain)
            if self.raw["relearn"] is not None and retain:
                yield self._relearning(model, split, "relearn_reference", retain)
            if self.raw["quantize"]:
                yield self._rounding(model, split, "quantize_reference", count + retain)
        for cell in cells:
            yield from self._of_cell(cell)

    def _corpus(self, split: str) -> int:
        return self.sizes.rows - (0 if split == FULL else self.sizes.forget[split])

    def _base(self, model: str, count: int) -> Iterator[Job]:
        if self.config.source(model) == "scratch":
            yield self._fit(model, "base_training", sum(self._background), count)

    def _training(
        self, model: str, passes: Passes, settings: TrainingSettings, steps: int, losses: Losses
    ) -> tuple[Work, dict[str, Parts]]:
        """The work and the memory of a run that minimises the risk of its rows."""
        shape = passes.shape
        work = trained(
            passes,
            steps,
            settings.batch_size,
            settings.micro_batch_size,
            settings.gradient_checkpointing,
        )
        moments = memory.training(
            shape,
            passes.precision,
            self._batch(model, settings.micro_batch_size),
            losses,
            settings.gradient_checkpointing,
            -(-settings.batch_size // settings.micro_batch_size),
        )
        return work + Work(host=steps * memory.fetched_by_update(shape, losses)), moments

    def _fit(self, model: str, stage: str, rows: int, count: int) -> Job:
        entry, shape = self.config.model(model), self.shape(model)
        if stage == "finetune":
            rows += entry.get("background_repeats", 0) * sum(self._background)
        settings = TrainingSettings(**self.config.training(model, stage))
        steps = settings.steps(rows)
        passes = self._passes(model, settings)
        if stage == "base_training" and self.sizes.background is None:
            passes = replace(passes, tokens=(_SHORT + _PROMPT) / _characters(shape))
        one = 4 * shape.parameters
        losses = Losses(watched=False, offload=self._offload(model))
        work, moments = self._training(model, passes, settings, steps, losses)
        return self._job(
            model,
            stage,
            count,
            work + Work(disk=one),
            moments,
            files=one,
            parked=memory.parked(shape, losses, trains=True, measures=False),
            state=3 * one,
            occasions=(steps - 1) // self.raw["training"]["resume_every"],
        )

    def _offload(self, model: str) -> frozenset[str]:
        return frozenset(self.config.compute(model)["offload"])

    def _of_cell(self, cell: CellKey) -> Iterator[Job]:
        raw, model = self.raw, cell.model
        settings = TrainingSettings(**self.config.training(model, "unlearn", cell.objective))
        adapted = settings.lora is not None
        run, needs = self._unlearning(cell, settings), self._needs(cell)
        passes = self._passes(model, settings, merged=raw["geffect"]["parameters"] == MERGED)
        shape = passes.shape
        one = 4 * shape.parameters
        trained = 4 * shape.trained  # what a checkpoint holds, and a resume state three times
        in_run, chosen = raw["geffect"]["in_run"], raw["geffect"]
        regularized = run.regularizer is not None
        losses = Losses(
            regularized,
            not adapted
            and any(term.original for term in (run.objective, run.regularizer) if term is not None),
            any("reference_logits" in need for need in needs[:2]),
            settings.weight_decay > 0,
            offload=self._offload(model),
        )
        seen = replace(
            losses,
            original=losses.original
            or (not adapted and any(probe.original for probe in run.probes)),
            kl=any("reference_logits" in need for need in needs),
        )
        measuring = memory.measurement(
            shape,
            passes.precision,
            self._batch(model, chosen["micro_batch_size"]),
            seen,
            in_run,
            regularized or bool(run.probes),
            run.simpson,
            run.instances or run.tokens,
            checkpointing=settings.gradient_checkpointing,
            refusals=self._refusals(model, chosen["micro_batch_size"], needs),
        )
        training = memory.training(
            shape,
            passes.precision,
            self._batch(model, settings.micro_batch_size),
            # What a probe looks at stays beside the run that is measured.
            replace(losses, original=seen.original if in_run else losses.original),
            settings.gradient_checkpointing,
            -(-settings.batch_size // settings.micro_batch_size),
            self._refusals(model, settings.micro_batch_size, needs[:2]),
        )
        work, of_measuring = unlearned(passes, run), measured(passes, run)
        work += Work(host=run.steps * memory.fetched_by_update(shape, losses))
        fetched = memory.fetched_by_measurement(shape, passes.precision, seen, len(run.probes))
        of_measuring += Work(host=run.measured * fetched)
        shares = regularized + (settings.weight_decay > 0)

        def parked(trains: bool, measures: bool) -> float:
            return memory.parked(shape, seen, trains, measures, run.simpson)

        checkpoints = self._checkpoints(cell, shares) * trained
        saved: dict[str, Any] = {
            "state": (3 + shares + regularized) * trained,
            "occasions": run.measured - 2,  # at measured steps but the first and the last
        }
        files = one if raw["keep_models"] else 0
        files += checkpoints if raw["keep_checkpoints"] else 0
        passing = checkpoints + one
        written = Work(disk=one + checkpoints)
        if in_run:
            yield self._job(
                model,
                "unlearn",
                1,
                work + of_measuring + written,
                {**training, **measuring},
                files,
                passing,
                "unlearn_in_run",
                parked=parked(True, True),
                **saved,
            )
        else:
            saved["parked"] = parked(True, False)
            yield self._job(model, "unlearn", 1, work + written, training, files, passing, **saved)
            read, own = Work(disk=one + checkpoints), parked(False, True)
            yield self._job(model, "geffect", 1, of_measuring + read, measuring, parked=own)
        yield self._evaluation(model, cell.split, "evaluate", 1)
        if steps := len(self.config.evaluated_steps(cell)):
            one_step = self._evaluation(model, cell.split, "evaluate", 1)
            yield replace(one_step, stage="evaluate_at", work=one_step.work * steps)
        if raw["matched"]["evaluate"]:
            points = _SCAN + math.ceil(math.log2(1 / _SCAN / raw["matched"]["tolerance"]))
            base = self._evaluation(model, cell.split, "evaluate", 1)
            batch = raw["evaluation"]["micro_batch_size"]
            found = matched(passes, base.work, self.sizes.held_out[cell.split], points, batch)
            yield self._job(
                model,
                "matched",
                1,
                found,
                base.moments,
                parked=4 * self.shape(model).parameters,  # θ_o, beside which θ_u is read or kept
            )
        if raw["relearn"] is not None:
            yield self._relearning(model, cell.split, "relearn", 1)
        if raw["quantize"]:
            yield self._rounding(model, cell.split, "quantize", 1)

    def _checkpoints(self, cell: CellKey, shares: int) -> int:
        """How many times a model's size the checkpoints of a run are (`models.checkpoints`)."""
        measured, in_run = self.config.measured_steps(cell), self.raw["geffect"]["in_run"]
        # The first and the last step's weights lie elsewhere.
        steps = self.config.evaluated_steps(cell) if in_run else measured
        weights = sum(0 < step < measured[-1] for step in steps)
        return weights + (0 if in_run else (len(measured) - 1) * shares)

    def _evaluation(self, model: str, split: str, stage: str, count: int) -> Job:
        settings, passes = self.raw["evaluation"], self._passes(model)
        most = settings["max_rows"] or self.sizes.rows
        forget, held_out = self._rows(split)
        background = self._background
        work = evaluated(
            passes,
            forget,
            held_out,
            (min(most, background[0]), min(most, background[1])),
            settings["micro_batch_size"],
            settings["generation_length"],
            settings["gradient_norm"],
        )
        moments = memory.evaluation(
            self.shape(model),
            passes.precision,
            self._batch(model, settings["micro_batch_size"]),
            settings["generation_length"],
            settings["gradient_norm"],
        )
        return self._job(model, stage, count, work, moments, resources="evaluate")

    def _rows(self, split: str) -> tuple[int, int]:
        """Rows of D_u, and held-out rows, that are looked at."""
        most = self.raw["evaluation"]["max_rows"] or self.sizes.rows
        return min(most, self.sizes.forget[split]), min(most, self.sizes.held_out[split])

    def _relearning(self, model: str, split: str, stage: str, count: int) -> Job:
        settings = TrainingSettings(**(self.config.relearning(model) or {}))
        passes = self._passes(model, settings)
        shape = passes.shape
        rows, at_once = self.raw["relearn"]["rows"], self.raw["evaluation"]["micro_batch_size"]
        steps, (forget, held_out) = settings.steps(rows), self._rows(split)
        losses = Losses(decay=settings.weight_decay > 0, offload=self._offload(model))
        work, moments = self._training(model, passes, settings, steps, losses)
        # The relearned rows, and the held-out ones, are looked at without other answers.
        look = recalled(passes, min(forget, self.sizes.forget[split] - rows), 0, at_once)
        look += passes.over(rows + held_out, at_once, FORWARD, by_length=True)
        seen = memory.scoring(shape, passes.precision, self._batch(model, at_once), losses)
        whole = work + look * (int(settings.epochs) + 1)
        parked = memory.parked(shape, losses, trains=True, measures=False)
        moments = {**moments, **seen}
        return self._job(model, stage, count, whole, moments, resources="relearn", parked=parked)

    def _rounding(self, model: str, split: str, stage: str, count: int) -> Job:
        shape, passes = self.shape(model), self._passes(model)
        at_once, bits = self.raw["evaluation"]["micro_batch_size"], len(self.raw["quantize"])
        work = recalled(passes, *self._rows(split), at_once) * (1 + bits)
        work += Work(disk=bits * passes.bytes_of_model)
        moments = memory.evaluation(shape, passes.precision, self._batch(model, at_once), 0, False)
        return self._job(model, stage, count, work, moments, resources="evaluate")

    def _needs(self, cell: CellKey) -> list[frozenset[str]]:
        """What the objective, the regularizer and the probes need."""
        losses = [
            (OBJECTIVE, self.config.loss(OBJECTIVE, cell.objective, cell.split, cell.model)),
            (REGULARIZER, self.config.loss(REGULARIZER, cell.regularizer, cell.split, cell.model)),
            *((REGULARIZER, loss) for loss in self.config.probes(cell).values()),
        ]
        return [
            frozenset() if loss is None else registry.get(kind, loss["name"]).needs
            for kind, loss in losses
        ]

    def _unlearning(self, cell: CellKey, settings: TrainingSettings) -> Unlearning:
        forget = self.sizes.forget[cell.split]
        chosen = self.raw["geffect"]
        needs = self._needs(cell)
        objective, regularizer, *probes = (_term(need) for need in needs)
        regularized = (
            self.config.loss(REGULARIZER, cell.regularizer, cell.split, cell.model) is not None
        )
        selection = self.config.selection(cell.objective)
        selected = 0.0
        if selection is not None:
            rows = selection["rows"] / selection["every"] / settings.batch_size
            by = {"random": 0, "logp": FORWARD, "entropy": FORWARD}
            by["e_retain"] = (1 + rows) * (FORWARD + BACKWARD)
            selected = by[selection["by"]]
        return Unlearning(
            forget,
            self.sizes.held_out[cell.split] if chosen["retain_rows"] == "held_out" else forget,
            settings.steps(forget),
            len(self.config.measured_steps(cell)),
            settings.batch_size,
            settings.micro_batch_size,
            objective,
            regularizer if regularized else None,
            tuple(probes),
            settings.gradient_checkpointing,
            selected,
            chosen["micro_batch_size"],
            chosen["instances"],
            chosen["tokens"],
            chosen["change"] == "simpson",
            bool(needs[0] & {"refusals", "refusal_pairs"}),
        )


def _characters(shape: Shape) -> float:
    """Mean characters of a token."""
    return 4.4 if shape.vocabulary > 20000 else 3.6


@cache
def _term(needs: frozenset[str]) -> Term:
    reference = frozenset({"reference_logp"})
    original = bool(needs & (registry.ORIGINAL_NEEDS - reference))
    looks_at = not original and bool(needs & reference)
    return Term(original, looks_at, "refusal_pairs" in needs)
