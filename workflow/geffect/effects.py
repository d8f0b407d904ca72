"""Dataset-level G-effects: exact gradients over whole data sets, dots in float64.

e(D, L; θ) = ∇R(D; θ) · ∇L(θ) (PAPER, G-effect). This is the straightforward version: one
backward pass per gradient, through the same loss functions that training uses.

Memory, in units of the model's size and dtype: the model, θ_o where a loss needs it, the gradients
of R(D_u) and R(D_r), and at most two more (the combined loss, and the term being differentiated).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from geffect import losses, models
from geffect.cell import Cell, Draws, Loss
from geffect.encoding import Example
from geffect.errors import DataError, NotFiniteError
from geffect.models import COMPONENTS
from geffect.registry import REFERENCE_NEEDS, get
from geffect.rows import read_rows
from geffect.runtime import Progress, log
from geffect.training import Term, micro_batches, term_view

Gradient = dict[str, torch.Tensor]


def risk_term(examples: Sequence[Example]) -> Term:
    """R(D; θ) of a data set, as a term."""
    return Term("risk", get("regularizer", "nll"), {}, lambda step: examples)


def gradient(
    model, term: Term, micro_batch: int, reference=None, control=None
) -> tuple[float, Gradient]:
    """The value and exact gradient of a term's mean over all of its examples.

    The examples are those of step 0 of the term. `model` is in eval mode; gradients come in its
    dtype, parameters that the loss does not reach count as zero, and so does everything where
    the loss attains its declared minimum.

    Raises:
        DataError: there are no examples.
        NotFiniteError: the gradient is not finite.
    """
    examples = sorted(term.select(0), key=len)
    if not examples:
        raise DataError(f"term {term.name!r}: no rows; a G-effect needs at least one")
    module = term.spec.module()
    batches = micro_batches(term, examples, micro_batch)
    total = sum(losses.count(batch, term.spec.reduction) for batch in batches)
    model.zero_grad(set_to_none=True)
    value = 0.0
    for batch in batches:
        view = term_view(model, term, batch, reference, control)
        result = module.loss(view, **term.hyper)
        (result.total / total).backward()
        value += result.total.item() / total
    at_minimum = term.spec.minimum is not None and value == term.spec.minimum
    found = {
        name: torch.zeros_like(p) if p.grad is None or at_minimum else p.grad
        for name, p in model.named_parameters()
    }
    model.zero_grad(set_to_none=True)
    for name, value_ in found.items():
        if not torch.isfinite(value_).all():
            raise NotFiniteError(f"term {term.name!r}: the gradient of {name} is not finite")
    return value, found


def scale(gradient: Gradient, coefficient: float) -> Gradient:
    """coefficient · gradient, in place."""
    return {name: g if coefficient == 1 else g.mul_(coefficient) for name, g in gradient.items()}


def add(a: Gradient, b: Gradient) -> Gradient:
    """a + b, in the place of a."""
    return {name: g.add_(b[name]) for name, g in a.items()}


def dots(a: Gradient, b: Gradient, components: Mapping) -> dict[str, float]:
    """a · b in float64 for every component, every block (`layer.1` ...) and in total.

    `components` is `models.component_map`; the total is the sum of the five components.
    """
    result = dict.fromkeys(COMPONENTS, 0.0)
    blocks: dict[str, float] = {}
    for name, (component, block) in components.items():
        dot = torch.dot(a[name].double().flatten(), b[name].double().flatten()).item()
        result[component] += dot
        if block is not None:
            blocks[f"layer.{block}"] = blocks.get(f"layer.{block}", 0.0) + dot
    return {"total": math.fsum(result.values()), **result, **blocks}


def compare(loss: Gradient, risk: Gradient, components: Mapping) -> list[dict]:
    """The G-effect of a loss on a risk, a row per component.

    Columns: `component`, `geffect` (nats per unit of squared parameter), `cosine` (nan where a
    norm is zero), `norm_loss`, `norm_risk`.
    """
    e = dots(loss, risk, components)
    squared_loss, squared_risk = dots(loss, loss, components), dots(risk, risk, components)
    rows = []
    for component, value in e.items():
        norm_loss, norm_risk = (math.sqrt(s[component]) for s in (squared_loss, squared_risk))
        product = norm_loss * norm_risk
        rows.append(
            {
                "component": component,
                "geffect": value,
                "cosine": value / product if product > 0 else math.nan,
                "norm_loss": norm_loss,
                "norm_risk": norm_risk,
            }
        )
    return rows


def at_checkpoint(
    model,
    terms: Mapping[str, Term],
    risks: Mapping[str, Sequence[Example]],
    components: Mapping,
    micro_batch: int,
    reference=None,
    control=None,
) -> list[dict]:
    """G-effects of every term on every data set at the model's weights.

    Args:
        terms: `objective`, perhaps `regularizer` (with its λ) and `probe.*`.
        risks: data-set name (`unlearn`, `retain`) -> its examples.

    Returns:
        Rows with `term` (those of `terms`, and `combined` = objective + λ · regularizer),
        `dataset`, and the columns of `compare`; rows of `regularizer` include λ. Where a gradient
        is not finite (a run on its way to diverging), the rows that need it are missing (nan).
    """

    def exact(term: Term) -> Gradient:
        try:
            return gradient(model, term, micro_batch, reference, control)[1]
        except NotFiniteError as error:
            log.warning("%s; its G-effects at this step are missing", error)
            return {name: torch.full_like(p, math.nan) for name, p in model.named_parameters()}

    risk_gradients = {name: exact(risk_term(examples)) for name, examples in risks.items()}

    def rows_of(name: str, loss: Gradient) -> list[dict]:
        return [
            {"term": name, "dataset": dataset, **row}
            for dataset, risk in risk_gradients.items()
            for row in compare(loss, risk, components)
        ]

    rows, combined = [], None
    for name, term in terms.items():
        loss = scale(exact(term), term.coefficient)
        rows += rows_of(name, loss)
        if name in ("objective", "regularizer"):
            combined = loss if combined is None else add(combined, loss)
    return rows + rows_of("combined", combined)


class Measurement:
    """A cell's G-effects at one set of weights after another.

    Args:
        cell: its losses over D_u and over one fixed sample of retain rows.
        draws: the run's.
        probes: regularizers that the cell does not train with, by variant.
        held_out: the rows of the retain risk; None takes the cell's sample of training rows.
        micro_batch: how many rows at once; a matter of memory only.
    """

    def __init__(
        self,
        cell: Cell,
        draws: Draws,
        probes: Mapping[str, Loss],
        held_out: Sequence[dict] | None,
        micro_batch: int,
    ):
        self.terms = cell.effect_terms(draws)
        self.terms |= {f"probe.{name}": cell.probe(loss, draws) for name, loss in probes.items()}
        retain = (
            cell.sample(draws) if held_out is None else cell.encoder.rows(held_out, "held-out rows")
        )
        self.risks = {"unlearn": cell.forget, "retain": retain}
        self.control, self.micro_batch = draws.control_vector, micro_batch
        self.rows: list[dict] = []

    @classmethod
    def of_job(cls, cell: Cell, draws: Draws, files, settings) -> "Measurement":
        """A measurement from tables and resolved configuration.

        Args:
            files: has the path `held_out`.
            settings: has `probes` (variant -> arguments of `Loss`), `retain_rows` ("held_out" or
                "train") and `micro_batch_size`.
        """
        held_out = read_rows(files.held_out) if settings.retain_rows == "held_out" else None
        probes = {name: Loss(**loss) for name, loss in settings.probes.items()}
        return cls(cell, draws, probes, held_out, settings.micro_batch_size)

    @property
    def needs(self) -> frozenset:
        """What the losses look at (`registry.NEEDS`)."""
        return frozenset().union(*(term.spec.needs for term in self.terms.values()))

    def at(self, model, step: int, reference) -> None:
        """Measures at a model's weights; θ_o is `reference`, None where no loss looks at it."""
        found = at_checkpoint(
            model,
            self.terms,
            self.risks,
            models.component_map(model),
            self.micro_batch,
            reference,
            self.control,
        )
        self.rows += [{"step": step, **row} for row in found]

    def frame(self) -> pd.DataFrame:
        """`geffect.parquet` without the cell's keys.

        Columns: `step`, `term`, `dataset`, `component`, `geffect`, `cosine`, `norm_loss`,
        `norm_risk`.
        """
        return pd.DataFrame(self.rows)


def along(
    checkpoints: Sequence[tuple[int, Path]], measurement: Measurement, device: str, what: str
) -> None:
    """Measures at every checkpoint (step, model folder) of a run; the first is θ_o."""
    original = checkpoints[0][1]
    reference = models.load(original, device) if measurement.needs & REFERENCE_NEEDS else None
    progress, model = Progress(what, len(checkpoints)), None
    for done, (step, folder) in enumerate(checkpoints, start=1):
        del model  # two models at once may not fit
        model = models.load(folder, device)
        measurement.at(model, step, reference)
        progress.step(done)
