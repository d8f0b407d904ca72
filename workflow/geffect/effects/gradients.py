"""Exact gradients over whole data sets, one backward pass each, and their products in float64."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.errors import DataError, NotFiniteError
from geffect.losses.loss import Loss
from geffect.losses.view import View
from geffect.names import COMBINED, COMPONENTS, OBJECTIVE, REGULARIZER, TOTAL

Gradient = dict[str, torch.Tensor]
"""Parameter -> its gradient, or a direction in parameter space."""

Components = Mapping[str, tuple[str, int | None]]
"""Parameter -> its component and block (`models.components.component_map`)."""


class Directions(Mapping[str, Gradient]):
    """Named directions in parameter space, which a pass takes all at once.

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


def data_batches(
    loss: Loss, examples: Sequence[Example], micro_batch_size: int, what: str = "data set"
) -> list[Batch]:
    """All examples as a loss pools them, `by_length`, `micro_batch_size` at a time.

    Raises:
        DataError: there are no examples, or one has no label token; `what` names them.
    """
    if not examples:
        raise DataError(f"{what}: no rows; a G-effect needs at least one")
    for row, example in enumerate(examples):
        if not example.labels:
            raise DataError(f"{what}, row {row}: no label token; fix the row")
    return loss.batches([examples[row] for row in by_length(examples)], micro_batch_size)


def numbered(
    examples: Sequence[Example], batches: Sequence[Batch]
) -> Iterator[tuple[np.ndarray, Batch]]:
    """The batches that `data_batches` made of some examples, each with the numbers of its rows."""
    order, start = by_length(examples), 0
    for batch in batches:
        rows = len(batch.input_ids)
        yield order[start : start + rows], batch
        start += rows


def gradient(
    model: PreTrainedModel,
    loss: Loss,
    examples: Sequence[Example],
    micro_batch_size: int,
    what: str = "data set",
) -> tuple[float, Gradient]:
    """The value and exact gradient of a loss's mean over all examples, without its coefficient.

    `model` is in eval mode; gradients come in its dtype, parameters that the loss does not reach
    count as zero, and so does everything where the loss attains its declared minimum.

    Raises:
        DataError: there are no examples, or one has no label token.
        NotFiniteError: the gradient is not finite.
    """
    return gradient_over(model, loss, data_batches(loss, examples, micro_batch_size, what), what)


def gradient_over(
    model: PreTrainedModel,
    loss: Loss,
    batches: Sequence[Batch],
    what: str = "data set",
    look: Callable[[Batch, View], None] | None = None,
) -> tuple[float, Gradient]:
    """`gradient` over given batches (`data_batches`); `look` is shown each of them in its turn."""
    count = sum(loss.count(batch) for batch in batches)
    model.zero_grad(set_to_none=True)
    value = 0.0
    for batch in batches:
        seen = loss.view(model, batch)
        if look is not None:
            look(batch, seen)
        total = loss.total(seen)
        del seen  # its logits are of no use to the backward pass
        (total / count).backward()
        value += total.item() / count
    at_minimum = loss.minimum is not None and value == loss.minimum
    result = {
        name: torch.zeros_like(p) if p.grad is None or at_minimum else p.grad
        for name, p in model.named_parameters()
    }
    model.zero_grad(set_to_none=True)
    check_finite(result, f"{what}: the gradient")
    return value, result


def check_finite(gradient: Gradient, what: str) -> None:
    """Raises NotFiniteError for the first tensor with a value that is not finite."""
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


def places(components: Components) -> list[str]:
    """The places that effects are reported for: `total`, five components, blocks `layer.1` ..."""
    blocks = sorted({block for _, block in components.values() if block is not None})
    return [TOTAL, *COMPONENTS, *(f"layer.{block}" for block in blocks)]


def dot64(a: torch.Tensor, b: torch.Tensor) -> float:
    """a · b over all elements, multiplied and added in float64.

    In pieces that stay in a CPU's cache: the copies in float64 are never written to memory.
    """
    size = 2**16 if a.device.type == "cpu" else 2**24
    pieces = zip(a.flatten().split(size), b.flatten().split(size), strict=True)
    products = (torch.dot(x.double(), y.double()) for x, y in pieces)
    return sum(products, start=a.new_zeros((), dtype=torch.float64)).item()


def dots(a: Gradient, b: Gradient, components: Components) -> dict[str, float]:
    """a · b in float64 for each of `places`.

    The total is the sum of the five components.
    """
    result = dict.fromkeys(places(components), 0.0)
    for name, (component, block) in components.items():
        dot = dot64(a[name], b[name])
        result[component] += dot
        if block is not None:
            result[f"layer.{block}"] += dot
    result[TOTAL] = math.fsum(result[component] for component in COMPONENTS)
    return result


def norms(gradient: Gradient, components: Components) -> dict[str, float]:
    """The norm of a gradient in each of `places`."""
    return {place: math.sqrt(s) for place, s in dots(gradient, gradient, components).items()}


def compare(
    loss: Gradient,
    risk: Gradient,
    components: Components,
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
    coefficients: Mapping[str, float],
    exact: Callable[[str], Gradient],
    risks: Mapping[str, Gradient],
    components: Components,
) -> list[dict]:
    """The G-effects of a cell's terms on every data set, a row per component.

    Args:
        coefficients: term -> λ, for `objective`, perhaps `regularizer`, and probes.
        exact: the name of a term -> its gradient, without λ; called for one term after another.
        risks: data-set name -> the gradient of its risk.

    Returns:
        Rows with `term` (those given, and `combined` = objective + λ · regularizer), `dataset`,
        and the columns of `compare`; rows of `regularizer` include λ.
    """

    norms_risk = {name: norms(risk, components) for name, risk in risks.items()}

    def rows_of(name: str, loss: Gradient) -> list[dict]:
        norm_loss = norms(loss, components)
        return [
            {"term": name, "dataset": dataset, **row}
            for dataset, risk in risks.items()
            for row in compare(loss, risk, components, norm_loss, norms_risk[dataset])
        ]

    rows: list[dict] = []
    combined: Gradient | None = None
    for name, coefficient in coefficients.items():
        loss = scale(exact(name), coefficient)
        rows += rows_of(name, loss)
        if name in (OBJECTIVE, REGULARIZER):
            combined = loss if combined is None else add(combined, loss)
    if len(coefficients) == 1:
        return rows + [row | {"term": COMBINED} for row in rows]
    assert combined is not None
    return rows + rows_of(COMBINED, combined)
