"""Exact gradients over whole data sets, one backward pass each, and their products in float64."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from geffect import losses
from geffect.encoding import Batch, Example
from geffect.errors import DataError, NotFiniteError
from geffect.models import COMPONENTS
from geffect.registry import get
from geffect.training import Term, micro_batches, term_view

Gradient = dict[str, torch.Tensor]


def risk_term(examples: Sequence[Example]) -> Term:
    """R(D; θ) of a data set, as a term."""
    return Term("risk", get("regularizer", "nll"), {}, lambda step: examples)


class Directions(Mapping[str, Gradient]):
    """Directions in parameter space by name, which passes take all at once.

    Args:
        given: name -> a tensor for every parameter. They are moved, not copied: the given mappings
            are left with views of `stacked`.

    Attributes:
        stacked: parameter -> its tensors in all directions [K, ...].

    Raises:
        NotFiniteError: a direction is not finite.
    """

    def __init__(self, given: Mapping[str, Gradient]):
        for name, direction in given.items():
            check_finite(direction, f"direction {name!r}")
        self._given, self.stacked = dict(given), {}
        for parameter in next(iter(given.values()), ()):
            self.stacked[parameter] = torch.stack([d[parameter] for d in given.values()])
            for k, direction in enumerate(given.values()):
                direction[parameter] = self.stacked[parameter][k]

    def __getitem__(self, name: str) -> Gradient:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


def by_length(examples: Sequence[Example]) -> np.ndarray:
    """The row numbers of some examples in the order in which `data_batches` takes them."""
    return np.argsort([len(example) for example in examples], kind="stable")


def data_batches(term: Term, micro_batch: int) -> list[Batch]:
    """All of a term's examples (those of step 0), `by_length`, `micro_batch` at a time.

    Raises:
        DataError: there are no examples, or one has no label token.
    """
    examples = term.select(0)
    if not examples:
        raise DataError(f"term {term.name!r}: no rows; a G-effect needs at least one")
    for row, example in enumerate(examples):
        if not example.labels:
            raise DataError(f"term {term.name!r}, row {row}: no label token; mend the row")
    return micro_batches(term, [examples[row] for row in by_length(examples)], micro_batch)


def gradient(
    model, term: Term, micro_batch: int, reference=None, control=None
) -> tuple[float, Gradient]:
    """The value and exact gradient of a term's mean over all of its examples.

    `model` is in eval mode; gradients come in its dtype, parameters that the loss does not reach
    count as zero, and so does everything where the loss attains its declared minimum.

    Raises:
        DataError: there are no examples, or one has no label token.
        NotFiniteError: the gradient is not finite.
    """
    return gradient_over(model, term, data_batches(term, micro_batch), reference, control)


def gradient_over(
    model, term: Term, batches: Sequence[Batch], reference=None, control=None
) -> tuple[float, Gradient]:
    """`gradient` over batches that were made before."""
    module = term.spec.module()
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
    check_finite(found, f"term {term.name!r}: the gradient")
    return value, found


def check_finite(gradient: Gradient, what: str) -> None:
    """Raises NotFiniteError for the first tensor that holds a value that is not finite."""
    for name, tensor in gradient.items():
        # A finite sum, which costs less to find, has no other terms.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise NotFiniteError(f"{what} of {name} is not finite")


def scale(gradient: Gradient, coefficient: float) -> Gradient:
    """coefficient · gradient, in place."""
    return {name: g if coefficient == 1 else g.mul_(coefficient) for name, g in gradient.items()}


def add(a: Gradient, b: Gradient) -> Gradient:
    """a + b, in the place of a."""
    return {name: g.add_(b[name]) for name, g in a.items()}


def places(components: Mapping) -> list[str]:
    """What is reported: `total`, the five components, and the blocks `layer.1` ..."""
    blocks = sorted({block for _, block in components.values() if block is not None})
    return ["total", *COMPONENTS, *(f"layer.{block}" for block in blocks)]


def dot64(a: torch.Tensor, b: torch.Tensor) -> float:
    """a · b over all elements, multiplied and added in float64.

    In pieces that stay in a CPU's cache: the copies in float64 are never written to memory.
    """
    size = 2**16 if a.device.type == "cpu" else 2**24
    pieces = zip(a.flatten().split(size), b.flatten().split(size), strict=True)
    return sum(torch.dot(x.double(), y.double()) for x, y in pieces).item()


def dots(a: Gradient, b: Gradient, components: Mapping) -> dict[str, float]:
    """a · b in float64 for each of `places`.

    `components` is `models.component_map`; the total is the sum of the five components.
    """
    result = dict.fromkeys(places(components), 0.0)
    for name, (component, block) in components.items():
        dot = dot64(a[name], b[name])
        result[component] += dot
        if block is not None:
            result[f"layer.{block}"] += dot
    result["total"] = math.fsum(result[component] for component in COMPONENTS)
    return result


def norms(gradient: Gradient, components: Mapping) -> dict[str, float]:
    """The norm of a gradient in each of `places`."""
    return {place: math.sqrt(s) for place, s in dots(gradient, gradient, components).items()}


def compare(
    loss: Gradient,
    risk: Gradient,
    components: Mapping,
    norm_loss: Mapping[str, float] | None = None,
    norm_risk: Mapping[str, float] | None = None,
) -> list[dict]:
    """The G-effect of a loss on a risk, a row per component.

    Columns: `component`, `geffect` (nats per unit of squared parameter), `cosine` (nan where a
    norm is zero), `norm_loss`, `norm_risk`; the norms may be given where they are known.
    """
    norm_loss = norms(loss, components) if norm_loss is None else norm_loss
    norm_risk = norms(risk, components) if norm_risk is None else norm_risk
    rows = []
    for component, value in dots(loss, risk, components).items():
        product = norm_loss[component] * norm_risk[component]
        rows.append(
            {
                "component": component,
                "geffect": value,
                "cosine": value / product if product > 0 else math.nan,
                "norm_loss": norm_loss[component],
                "norm_risk": norm_risk[component],
            }
        )
    return rows


def effect_rows(
    terms: Mapping[str, Term],
    exact: Callable[[str], Gradient],
    risks: Mapping[str, Gradient],
    components: Mapping,
) -> list[dict]:
    """The G-effects of a cell's terms on every data set, a row per component.

    Args:
        terms: `objective`, perhaps `regularizer` (with its λ), and probes.
        exact: the name of a term -> its gradient, without λ; called for one term after another.
        risks: data-set name -> the gradient of its risk.

    Returns:
        Rows with `term` (those of `terms`, and `combined` = objective + λ · regularizer),
        `dataset`, and the columns of `compare`; rows of `regularizer` include λ.
    """

    norms_risk = {name: norms(risk, components) for name, risk in risks.items()}

    def rows_of(name: str, loss: Gradient) -> list[dict]:
        norm_loss = norms(loss, components)
        return [
            {"term": name, "dataset": dataset, **row}
            for dataset, risk in risks.items()
            for row in compare(loss, risk, components, norm_loss, norms_risk[dataset])
        ]

    rows, combined = [], None
    for name, term in terms.items():
        loss = scale(exact(name), term.coefficient)
        rows += rows_of(name, loss)
        if name in ("objective", "regularizer"):
            combined = loss if combined is None else add(combined, loss)
    if len(terms) == 1:
        return rows + [row | {"term": "combined"} for row in rows]
    return rows + rows_of("combined", combined)
