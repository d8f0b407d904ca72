"""Exact gradients over whole data sets, one backward pass each, and their products in float64."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedModel

from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.errors import DataError, NotFiniteError
from geffect.losses.loss import Loss
from geffect.losses.view import View
from geffect.models.compute import raised, while_recomputing
from geffect.models.offload import Parked, Summed, parked
from geffect.names import COMBINED, COMPONENTS, OBJECTIVE, REGULARIZER, TOTAL

Gradient = Mapping[str, torch.Tensor]
"""Parameter -> its gradient, or a direction in parameter space; a frozen one counts as zero."""

Components = Mapping[str, tuple[str, int | None]]
"""Parameter -> its component and block (`models.components.component_map`)."""


class Directions(Mapping[str, Gradient]):
    """Named directions in parameter space, which a pass takes all at once.

    Args:
        given: name -> a tensor for every trainable parameter. They are moved, not copied: given
            dictionaries are left with views of `stacked`. Parked ones stay as they are.
        half: parameters of which bfloat16 copies are enough, since autocast rounds whatever stands
            in their place; only parked directions are copied.

    Attributes:
        stacked: parameter -> its tensors in all directions [K, ...].
        half: those of them that are in bfloat16.

    Raises:
        NotFiniteError: a direction is not finite.
    """

    def __init__(self, given: Mapping[str, Gradient], half: Set[str] = frozenset()):
        copied = any(isinstance(direction, Parked) for direction in given.values())
        self.half = half if copied else frozenset()
        for name, direction in given.items():
            check_finite(direction, f"direction {name!r}")
        self.stacked: dict[str, torch.Tensor] = {}
        self._given: dict[str, dict[str, torch.Tensor]] = {
            name: {} if copied else cast(dict, direction) for name, direction in given.items()
        }
        for parameter in next(iter(given.values()), ()):
            tensors = [
                d[parameter].bfloat16() if parameter in self.half else d[parameter]
                for d in given.values()
            ]
            self.stacked[parameter] = torch.stack(tensors)
            for k, views in enumerate(self._given.values()):
                views[parameter] = self.stacked[parameter][k]

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
) -> tuple[float, dict[str, torch.Tensor]]:
    """The value and exact gradient of a loss's mean over all examples, without its coefficient.

    `model` is in eval mode; gradients are those of its trainable parameters. They come in the dtype
    of these, but those of half-precision weights in float32, in which they are added up. What the
    loss does not reach counts as zero, and so does everything where the loss attains its declared
    minimum.

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
) -> tuple[float, dict[str, torch.Tensor]]:
    """`gradient` over given batches (`data_batches`); `look` is shown each of them in its turn."""
    count = sum(loss.count(batch) for batch in batches)
    model.zero_grad(set_to_none=True)
    value, sums = 0.0, dict[str, torch.Tensor]()
    with while_recomputing(model):
        for batch in batches:
            seen = loss.view(model, batch)
            if look is not None:
                look(batch, seen)
            total = loss.total(seen)
            del seen  # its logits are of no use to the backward pass
            if total.requires_grad:  # else it reaches nothing that is trainable
                (total / count).backward()
            _add_halves(model, sums)
            value += total.item() / count
    at_minimum = loss.minimum is not None and value == loss.minimum
    result = {
        name: raised(torch.zeros_like(p)) if at_minimum or g is None else g
        for name, p in model.named_parameters()
        if p.requires_grad
        for g in [sums.get(name, p.grad)]
    }
    model.zero_grad(set_to_none=True)
    check_finite(result, f"{what}: the gradient")
    return value, result


def _add_halves(model: PreTrainedModel, sums: dict[str, torch.Tensor]) -> None:
    """Moves gradients in half precision to sums in float32: in their own, small terms are lost."""
    for name, parameter in model.named_parameters():
        own = parameter.grad
        if own is not None and own.itemsize < 4:
            sums[name] = sums[name].add_(own) if name in sums else own.float()
            parameter.grad = None


def check_finite(gradient: Gradient, what: str) -> None:
    """Raises NotFiniteError for the first tensor with a value that is not finite."""
    for name, tensor in gradient.items():
        # A finite sum, which costs less to find, has no other terms.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise NotFiniteError(f"{what} of {name} is not finite")


def scale(gradient: dict[str, torch.Tensor], coefficient: float) -> dict[str, torch.Tensor]:
    """coefficient · gradient, in place."""
    return {name: g if coefficient == 1 else g.mul_(coefficient) for name, g in gradient.items()}


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
    return dot_products([a], [b], components)[0][0]


def dot_products(
    lefts: Sequence[Gradient], rights: Sequence[Gradient], components: Components
) -> list[list[dict[str, float]]]:
    """The `dots` of each of some gradients with each of others.

    Parameter by parameter, so that what is parked, or computed when read, is read once and is never
    there as a whole.
    """
    results = [[dict.fromkeys(places(components), 0.0) for _ in rights] for _ in lefts]
    trainable = set(next(iter(lefts), ()))
    for name, (component, block) in components.items():
        if name not in trainable:
            continue
        beside = [right[name] for right in rights]
        read = {id(right): tensor for right, tensor in zip(rights, beside, strict=True)}
        for row, left in zip(results, lefts, strict=True):
            tensor = read[id(left)] if id(left) in read else left[name]
            for result, other in zip(row, beside, strict=True):
                dot = dot64(tensor, other)
                result[component] += dot
                if block is not None:
                    result[f"layer.{block}"] += dot
    for result in itertools.chain.from_iterable(results):
        result[TOTAL] = math.fsum(result[component] for component in COMPONENTS)
    return results


def norms(gradient: Gradient, components: Components) -> dict[str, float]:
    """The norm of a gradient in each of `places`."""
    return _roots(dots(gradient, gradient, components))


def _roots(squares: Mapping[str, float]) -> dict[str, float]:
    return {place: math.sqrt(square) for place, square in squares.items()}


def compare(loss: Gradient, risk: Gradient, components: Components) -> list[dict]:
    """The G-effect of a loss on a risk, a row per component.

    Columns: `component`, `geffect` (nats per unit of squared parameter), `cosine` (nan where a
    norm is zero), `norm_loss`, `norm_risk`.
    """
    products = dots(loss, risk, components)
    return _compared(products, norms(loss, components), norms(risk, components))


def _compared(
    products: Mapping[str, float], norm_loss: Mapping[str, float], norm_risk: Mapping[str, float]
) -> list[dict]:
    rows = []
    for component, value in products.items():
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
    exact: Callable[[str], dict[str, torch.Tensor]],
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
        squares, *products = dot_products([loss, *risks.values()], [loss], components)
        norm_loss = _roots(squares[0])
        return [
            {"term": name, "dataset": dataset, **row}
            for dataset, (product,) in zip(risks, products, strict=True)
            for row in _compared(product, norm_loss, norms_risk[dataset])
        ]

    rows: list[dict] = []
    combined: list[dict] = []
    objective: Gradient = {}
    for name, coefficient in coefficients.items():
        loss = scale(exact(name), coefficient)
        added = rows_of(name, loss)
        if name == OBJECTIVE:
            combined = [row | {"term": COMBINED} for row in added]
            objective = parked("measurement", loss) if REGULARIZER in coefficients else {}
        elif name == REGULARIZER:
            combined = rows_of(COMBINED, Summed(objective, loss))
            objective = {}
        rows += added
        del loss
    return rows + combined
