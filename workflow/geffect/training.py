"""The only training loop: fine-tuning, base training and unlearning are its terms.

A run minimises the sum of its terms, each a coefficient times the mean of a registered loss over
an effective batch. Which examples a step sees is drawn before the run from its seed.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from transformers import get_scheduler

from geffect import losses, models
from geffect.encoding import Batch, Example, collate
from geffect.errors import ConfigError, ModelError
from geffect.registry import Spec, get
from geffect.resume import Resume, State
from geffect.runtime import Progress


@dataclass(frozen=True)
class Settings:
    """How a run trains; the keys of the configuration's training sections.

    `batch_size` is the effective batch, whatever `micro_batch_size` (a matter of memory only) or
    the number of devices. `warmup_epochs` of linear warm-up: max(1, ⌊warmup_epochs · n / batch⌋)
    updates. `max_grad_norm` None does not clip. `reduction` "global" pools a mean over the
    effective batch, "microbatch" averages micro-batch means as the authors' code does.
    `precision` "bf16" computes in bfloat16 under autocast; weights and optimiser stay float32.
    """

    epochs: float
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    schedule: str
    max_grad_norm: float | None
    reduction: str = "global"
    precision: str = "float32"
    gradient_checkpointing: bool = False
    length_bucket: int = 0

    def steps(self, rows: int) -> int:
        """N = ⌊epochs · rows / batch⌋ updates; the last partial batch is dropped.

        Raises:
            ConfigError: there is not a single full batch.
        """
        steps = math.floor(self.epochs * rows / self.batch_size)
        if steps == 0:
            raise ConfigError(
                f"training: {self.epochs} epochs of {rows} rows are less than one batch of "
                f"{self.batch_size}; lower batch_size or raise epochs"
            )
        return steps

    def warmup(self, rows: int) -> int:
        return max(1, math.floor(self.warmup_epochs * rows / self.batch_size))


@dataclass
class Term:
    """One loss of a run.

    Attributes:
        name: "objective", "regularizer" or "risk"; the column `loss_{name}` of the log.
        spec: the registered loss.
        hyper: its hyper-parameters.
        select: step (1..N) -> the examples of that step's effective batch.
        coefficient: λ.
        pad_to: pools all positions of batches padded to this length (`positions: all`).
    """

    name: str
    spec: Spec
    hyper: dict
    select: Callable[[int], Sequence[Example]]
    coefficient: float = 1.0
    pad_to: int | None = None


@dataclass
class Outcome:
    """The log of a run (a dict per step) and, if it diverged, the step and why."""

    rows: list[dict] = field(default_factory=list)
    diverged: tuple[int, str] | None = None

    def frame(self) -> pd.DataFrame:
        """A row per step; `diverged` is True in the row of the step that ended the run."""
        frame = pd.DataFrame(self.rows)
        last = None if self.diverged is None else self.diverged[0]
        return frame.assign(diverged=frame["step"].eq(last))


class Watch(Protocol):
    """What looks at a run as it goes."""

    def start(self, state: State | None) -> None:
        """Before the first update; `state` is what the run goes on from, None at its beginning."""

    def after(self, step: int) -> None:
        """After every update."""

    def tables(self) -> dict[str, pd.DataFrame]:
        """What it has found so far, for `start` of a run that goes on."""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for every (seed, purpose)."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def order(rows: int, steps: int, batch: int, rng, lengths=None, bucket: int = 0) -> np.ndarray:
    """Row indices [steps, batch]: shuffled epochs one after another, batches across their borders.

    With `bucket` > 0, each run of `bucket` batches is sorted by length and its batches shuffled,
    which wastes less padding.
    """
    needed = steps * batch
    epochs = -(-needed // rows)
    stream = np.concatenate([rng.permutation(rows) for _ in range(epochs)])[:needed]
    if not bucket:
        return stream.reshape(steps, batch)
    lengths = np.asarray(lengths)
    chunks = []
    for start in range(0, needed, bucket * batch):
        chunk = stream[start : start + bucket * batch]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")].reshape(-1, batch)
        chunks.append(rng.permutation(chunk, axis=0))
    return np.concatenate(chunks)


def pairing(pool: int, shape: tuple[int, int], rng) -> np.ndarray:
    """Random indices into a pool, one per forget sample: [steps, batch]."""
    return rng.integers(pool, size=shape)


def micro_batches(term: Term, examples: Sequence[Example], size: int) -> list[Batch]:
    """The examples as a term sees them, `size` rows at a time."""
    starts = range(0, len(examples), size)
    return [collate(examples[start : start + size], term.pad_to) for start in starts]


def term_view(model, term: Term, batch: Batch, reference=None, control=None) -> losses.View:
    """The view of a micro-batch that a term's loss is computed on."""
    return losses.view(
        model,
        batch.to(models.input_device(model)),
        term.spec.needs,
        layer=term.hyper.get("layer"),
        reference=reference,
        control=control,
    )


def _accumulate(model, term: Term, examples, settings: Settings, reference, control) -> dict:
    """Adds the gradient of coefficient · mean to `.grad`; returns the mean and the mean weight."""
    parts = micro_batches(term, examples, settings.micro_batch_size)
    counts = [losses.count(part, term.spec.reduction) for part in parts]
    module = term.spec.module()
    mean, weight = 0.0, 0.0
    for part, part_count in zip(parts, counts, strict=True):
        divisor = sum(counts) if settings.reduction == "global" else part_count * len(parts)
        with _precision(settings.precision, models.input_device(model)):
            view = term_view(model, term, part, reference, control)
            result = module.loss(view, **term.hyper)
        (term.coefficient * result.total / divisor).backward()
        mean += result.total.item() / divisor
        if term.spec.weighted:
            with torch.no_grad():
                weights = module.weight(view, **term.hyper)
                pooled = view.over_tokens if term.spec.reduction == "token" else view.over_samples
                weight += pooled(weights).total.item() / sum(counts)
    logged = {f"loss_{term.name}": mean}
    if term.spec.weighted:
        logged[f"weight_{term.name}"] = weight
    return logged


def _state(step: int, model, optimizer, scheduler, outcome: Outcome, tables: dict) -> State:
    moments = optimizer.state_dict()
    tensors = {f"model.{name}": p for name, p in model.named_parameters()}
    for index, values in moments["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random.cuda.{k}": s for k, s in enumerate(torch.cuda.get_rng_state_all())}
    record = {
        "groups": moments["param_groups"],
        "scheduler": scheduler.state_dict(),
        "log": outcome.rows,
    }
    return State(step, tensors, record, tables)


def _restore(state: State, model, optimizer, scheduler, outcome: Outcome) -> None:
    """Takes everything out of a state."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state.tensors[f"model.{name}"])
    moments: dict[int, dict] = {}
    for name, tensor in state.tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": state.record["groups"]})
    scheduler.load_state_dict(state.record["scheduler"])
    torch.set_rng_state(state.tensors["random.cpu"])
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            if f"random.cuda.{k}" in state.tensors:  # it may have had other GPUs
                torch.cuda.set_rng_state(state.tensors[f"random.cuda.{k}"], k)
    outcome.rows = state.record["log"]
    state.tensors.clear()  # the model's size three times over


def _precision(precision: str, device: torch.device):
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def train(
    model,
    terms: Sequence[Term],
    settings: Settings,
    rows: int,
    what: str,
    reference=None,
    control=None,
    watch: Watch | None = None,
    seed: int = 0,
    resume: Resume | None = None,
) -> Outcome:
    """Minimises Σ coefficient · mean loss over N = settings.steps(rows) AdamW updates.

    Args:
        model: trained in place.
        terms: what is minimised.
        rows: |D| of the first term, which defines an epoch.
        what: how the progress lines call this run.
        reference: θ_o for the terms that need it.
        control: [d], RMU's u.
        watch: looks at the model as it goes.
        seed: of what the model itself draws (dropout).
        resume: where the run leaves its state after updates that are multiples of its `every`; if
            there is one already, the run goes on from it and ends as if it had never stopped.

    Returns:
        The log: a row per update t with the losses at θ_{t-1}, the gradient norm before clipping,
        and the learning rate. A non-finite loss, gradient norm or weight ends the run at once; the
        row of that step is the last one.

    Raises:
        ConfigError: there is not a single full batch.
    """
    steps = settings.steps(rows)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    scheduler = get_scheduler(settings.schedule, optimizer, settings.warmup(rows), steps)
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable()
    model.train()
    torch.manual_seed(seed)
    outcome, progress = Outcome(), Progress(what, steps)
    state = None if resume is None else resume.load()
    if state is not None:
        _restore(state, model, optimizer, scheduler, outcome)
    if watch is not None:
        watch.start(state)
    for step in range(1 if state is None else state.step + 1, steps + 1):
        row = {"step": step, "loss": 0.0}
        for term in terms:
            logged = _accumulate(model, term, term.select(step), settings, reference, control)
            row |= logged
            row["loss"] += term.coefficient * logged[f"loss_{term.name}"]
        limit = math.inf if settings.max_grad_norm is None else settings.max_grad_norm
        row["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, limit).item()
        row["learning_rate"] = optimizer.param_groups[0]["lr"]
        outcome.rows.append(row)
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            outcome.diverged = (step, "non-finite loss or gradient")
            break
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(torch.nn.utils.get_total_norm(parameters).item()):
            outcome.diverged = (step, "non-finite weights")
            break
        if watch is not None:
            watch.after(step)
        if resume is not None and step % resume.every == 0 and step < steps:
            tables = {} if watch is None else watch.tables()
            resume.save(_state(step, model, optimizer, scheduler, outcome, tables))
        progress.step(step, f"loss {row['loss']:.4g}")
    model.eval()
    if settings.gradient_checkpointing:
        model.activation_checkpointing_disable()
    return outcome


def fit(
    model,
    examples: Sequence[Example],
    settings: Settings,
    seed: int,
    what: str,
    resume: Resume | None = None,
) -> pd.DataFrame:
    """Trains on the risk of all examples (base training, fine-tuning); returns the log.

    Raises:
        ModelError: the run diverged.
    """
    rows = order(
        len(examples),
        settings.steps(len(examples)),
        settings.batch_size,
        generator(seed, "order"),
        [len(example) for example in examples],
        settings.length_bucket,
    )
    term = Term(
        "risk", get("regularizer", "nll"), {}, lambda step: [examples[i] for i in rows[step - 1]]
    )
    outcome = train(model, [term], settings, len(examples), what, seed=seed, resume=resume)
    if outcome.diverged is not None:
        step, reason = outcome.diverged
        raise ModelError(f"{what}: diverged at step {step} ({reason}); lower learning_rate")
    return outcome.frame()
