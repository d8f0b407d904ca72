"""The only training loop: fine-tuning, base training and unlearning differ in their losses.

A run minimises the sum of its losses, each a coefficient times a mean over an effective batch.
Which examples a step sees is drawn before the run from its seed.
"""

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import torch
from transformers import PreTrainedModel, get_scheduler

from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.errors import LossError, NotFiniteError
from geffect.losses.loss import Loss
from geffect.models.compute import recompute
from geffect.models.offload import parked
from geffect.names import REGULARIZER
from geffect.progress import Progress
from geffect.training.optimizer import restore, update
from geffect.training.references import References
from geffect.training.resume import Resume, State
from geffect.training.settings import TrainingSettings
from geffect.training.shares import Displacement, Shares

Gradients = MutableMapping[str, torch.Tensor]

Visits = Callable[[int], Sequence[Example]]
"""Step (1..N) -> the examples of that step's effective batch."""

Select = Callable[[PreTrainedModel, Sequence[Batch], int], Sequence[Batch]]
"""(model at θ_{t-1}, the batches of update t, t) -> the same batches with fewer labels."""


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


class Observer(Protocol):
    """Something that looks at a model along its run."""

    def at(self, model: PreTrainedModel, step: int, moved: Mapping[str, Displacement]) -> None:
        """Looks at θ_t; the model is in evaluation mode.

        `moved` says how far the regularizer and weight decay, where there are any, have moved the
        weights since the last look (`shares.Shares`); what it holds is zeroed afterwards.
        """

    def state(self) -> dict[str, pd.DataFrame]:
        """The tables that it needs to continue in another process."""

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Continues from the `state` that it had when it last looked at this model."""


def train(
    model: PreTrainedModel,
    losses: Mapping[str, Loss],
    visits: Mapping[str, Visits],
    settings: TrainingSettings,
    rows: int,
    what: str,
    observer: Observer | None = None,
    every: int = 1,
    seed: int = 0,
    resume: Resume | None = None,
    select: Select | None = None,
) -> Outcome:
    """Minimises Σ coefficient · mean loss over N = settings.steps(rows) AdamW updates.

    Args:
        model: trained in place, as far as it is trainable; as it is given it stands for θ_o in
            those losses that need reference log-probabilities, no more of θ_o, and are bound to
            none.
        losses: what is minimised, by the name of its column `loss_{name}` in the log.
        visits: the examples of every loss at every step.
        rows: |D| of the first loss, which defines an epoch.
        what: the name of the run in progress lines.
        observer: looks at the model before the first update (step 0), after every `every`-th, and
            after the last one.
        seed: of what the model itself draws (dropout).
        resume: where the run saves its state whenever one is due (`Resume.due`); if there is a
            state already, the run continues from it and ends as if it had never stopped.
        select: takes labels out of the first loss's batches before every update.

    Returns:
        The log: a row per update t with the losses at θ_{t-1}, the gradient norm before clipping,
        and the learning rate. A non-finite loss, gradient norm or weight ends the run at once; the
        row of that step is the last one.

    Raises:
        ConfigError: there is not a single full batch.
        LossError: a loss looks at a layer that the model does not have, or below all that is
            trained.
    """
    for loss in losses.values():
        loss.check_layer(model)
    steps = settings.steps(rows)
    parameters = [p for p in model.parameters() if p.requires_grad]
    state = None if resume is None else resume.load()
    remaining = range(1 if state is None else state.step + 1, steps + 1)
    model.eval()
    references = References(model, losses, visits, settings.micro_batch_size, remaining, what)
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    scheduler = get_scheduler(settings.schedule, optimizer, settings.warmup(rows), steps)
    if settings.gradient_checkpointing:
        recompute(model)
    model.train()
    torch.manual_seed(seed)
    outcome, progress = Outcome(), Progress(what, steps)
    shares = Shares(model, optimizer, REGULARIZER in losses, observer is not None)
    if state is not None:
        _restore(state, model, optimizer, scheduler, shares, outcome)
    if observer is not None:
        with _looked_at(model):
            if state is None:
                observer.at(model, 0, {})
            else:
                observer.resume(model, state.tables)
    for step in remaining:
        row: dict[str, Any] = {"step": step, "loss": 0.0}
        batches: dict[str, Sequence[Batch]] = {
            name: references.attached(
                name, step, loss.batches(visits[name](step), settings.micro_batch_size)
            )
            for name, loss in losses.items()
        }
        if select is not None:
            first = next(iter(losses))
            try:
                with _looked_at(model):
                    batches[first] = select(model, batches[first], step)
            except NotFiniteError as error:
                unknown = ("loss", *(f"loss_{name}" for name in losses), "grad_norm")
                rate = optimizer.param_groups[0]["lr"]
                outcome.rows.append(
                    {"step": step, **dict.fromkeys(unknown, math.nan), "learning_rate": rate}
                )
                outcome.diverged = (step, f"token selection: {error}")
                break
        gradients: dict[str, Gradients] = {}
        for name, loss in losses.items():
            mean, weight = _accumulate(model, loss, batches[name], settings)
            taken = _take(model, mean == loss.minimum)
            gradients[name] = parked("shares", taken) if len(losses) > 1 else taken
            del taken
            row[f"loss_{name}"] = mean
            if weight is not None:
                row[f"weight_{name}"] = weight
            row["loss"] += loss.coefficient * mean
        _add_up(model, list(gradients.values()))
        limit = math.inf if settings.max_grad_norm is None else settings.max_grad_norm
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        row["grad_norm"] = norm.item()
        row["learning_rate"] = optimizer.param_groups[0]["lr"]
        outcome.rows.append(row)
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            outcome.diverged = (step, "non-finite loss or gradient")
            break
        # As torch clips.
        clip = min(1.0, limit / (row["grad_norm"] + 1e-6))
        shares.before_update(gradients.pop(REGULARIZER, {}), clip)
        gradients.clear()  # what is left is the optimiser's, and must not outlive its step
        update(optimizer)
        shares.after_update(row["learning_rate"])
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(torch.nn.utils.get_total_norm(parameters).item()):
            outcome.diverged = (step, "non-finite weights")
            break
        if observer is not None and (step % every == 0 or step == steps):
            with _looked_at(model):
                observer.at(model, step, shares.moved)
            shares.reset()
        if resume is not None and step < steps and resume.due(step):
            tables = {} if observer is None else observer.state()
            resume.save(_state(step, model, optimizer, scheduler, shares, outcome, tables))
        progress.step(step, f"loss {row['loss']:.4g}")
    model.eval()
    if settings.gradient_checkpointing:
        model.activation_checkpointing_disable()
    return outcome


@contextmanager
def _looked_at(model: PreTrainedModel) -> Iterator[None]:
    """In evaluation mode, in which activations are kept: forward mode cannot compute them again."""
    model.eval()
    try:
        yield
    finally:
        model.train()


def _accumulate(
    model: PreTrainedModel, loss: Loss, parts: Sequence[Batch], settings: TrainingSettings
) -> tuple[float, float | None]:
    """Adds the gradient of coefficient · mean to `.grad`; returns the mean and the mean weight.

    Raises:
        LossError: it reaches nothing that is trained, so that the run would be one without it.
    """
    counted = [(part, count) for part in parts if (count := loss.count(part))]
    counts = [count for _, count in counted]
    mean, weight = 0.0, 0.0
    for part, part_count in counted:
        divisor = sum(counts) if settings.reduction == "global" else part_count * len(counts)
        seen = loss.view(model, part)
        total = loss.total(seen)
        if not total.requires_grad:
            raise LossError(
                f"{loss.name}: no weight that is trained is below what it looks at, so that it "
                "changes nothing; choose a higher layer, or train lower ones (lora: targets)"
            )
        (loss.coefficient * total / divisor).backward()
        mean += total.item() / divisor
        if loss.weights is not None:
            with torch.no_grad():
                weight += loss.total_weight(seen).item() / sum(counts)
    return mean, None if loss.weights is None else weight


def _take(model: PreTrainedModel, at_minimum: bool) -> Gradients:
    """Takes the gradients out of `.grad`: none where the loss attains its declared minimum.

    There they are zero, and what was computed is rounding noise, of which Adam would make steps of
    full length.
    """
    taken = {
        name: p.grad
        for name, p in model.named_parameters()
        if p.grad is not None and not at_minimum
    }
    model.zero_grad(set_to_none=True)
    return taken


def _add_up(model: PreTrainedModel, gradients: Sequence[Gradients]) -> None:
    """Puts the sum of the gradients of all losses into `.grad`, in the place of the first one's."""
    for name, parameter in model.named_parameters():
        there = [taken[name] for taken in gradients if name in taken]
        if there:
            first, *others = there
            # The last loss's own gradient is still looked at: it must not be clipped in place.
            own = len(gradients) > 1 and len(there) == 1 and name in gradients[-1]
            parameter.grad = first.clone() if own else first
            for other in others:
                parameter.grad.add_(other)


def _state(
    step: int,
    model: PreTrainedModel,
    optimizer: Any,
    scheduler: Any,
    shares: Shares,
    outcome: Outcome,
    tables: dict,
) -> State:
    moments = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {
        f"model.{n}": p for n, p in model.named_parameters() if p.requires_grad
    }
    for index, values in moments["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    tensors |= {f"shares.{name}": tensor for name, tensor in shares.state().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"random.cuda.{k}": s for k, s in enumerate(torch.cuda.get_rng_state_all())}
    record = {
        "groups": moments["param_groups"],
        "scheduler": scheduler.state_dict(),
        "log": outcome.rows,
    }
    return State(step, tensors, record, tables)


def _restore(
    state: State,
    model: PreTrainedModel,
    optimizer: Any,
    scheduler: Any,
    shares: Shares,
    outcome: Outcome,
) -> None:
    """Puts everything that a state holds into place."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state.tensors[f"model.{name}"])
    moments: dict[int, dict] = {}
    for name, tensor in state.tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
    restore(optimizer, moments, state.record["groups"])
    scheduler.load_state_dict(state.record["scheduler"])
    prefix = "shares."
    shares.restore(
        {n.removeprefix(prefix): t for n, t in state.tensors.items() if n.startswith(prefix)}
    )
    torch.set_rng_state(state.tensors["random.cpu"])
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            if f"random.cuda.{k}" in state.tensors:  # it may have had other GPUs
                torch.cuda.set_rng_state(state.tensors[f"random.cuda.{k}"], k)
    outcome.rows = state.record["log"]
    state.tensors.clear()  # the model's size several times over
