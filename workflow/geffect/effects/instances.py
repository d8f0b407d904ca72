"""∇R(D) · ∇log p(s) for every sample and component, in one forward and one backward pass.

For a module y = f(x; W) a sample's ⟨∂log p(s)/∂W, G⟩ is ⟨δ, ∂f(x; W)/∂W · G⟩, δ being the gradient
of log p(s) at the module's output: no gradient of a parameter is ever formed. Where f is linear in
W, that is ⟨δ, f(x; G)⟩; other modules are differentiated forwards (`rules`). In units of a forward
and backward pass over the same rows (three matrix products a weight): two products for the pass
itself, one more for each direction, and for a module without a rule of its own two more.

The first pass over a model is tried on two short rows against a backward pass for each. Where they
differ, since a module mixes its rows or its weights are used by the module around it, the latter is
differentiated instead; a model for which this does not help is measured row by row: a backward pass
with all gradients for every row, instead of one for the batch.
"""

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from transformers import PreTrainedModel

from geffect.data.batches import IGNORED, Batch, collate
from geffect.data.encoding import Example
from geffect.effects.gradients import Components, Directions, Gradient, dot64, places
from geffect.effects.rules import Inputs, Rule, by_forward_mode, differentiable, rule_of
from geffect.effects.tokens import weighed
from geffect.losses.loss import Loss
from geffect.losses.view import forward, log_probabilities, next_tokens
from geffect.messages import warn_once
from geffect.models.adapters import adapted_like
from geffect.models.compute import computing_in, input_device
from geffect.models.small import small
from geffect.names import COMPONENTS, EFFECT_DATASETS, TOTAL

Groups = Mapping[str, tuple[str, ...]]
"""Parameter -> where its products are added up."""

Sums = dict[str, dict[str, Tensor]]
"""Direction -> group -> products [B] in float64, on the CPU."""

log = logging.getLogger(__name__)


def instance_effects(
    model: PreTrainedModel, batch: Batch, directions: Directions, components: Components
) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """The products of every sample's ∇log p(s) with some directions, by component and block.

    log p(s) is the sum over the sample's labels (PG-effect). Tied embeddings are one
    parameter: what its use as unembedding adds counts under `embed` (as in `component_map`).

    Args:
        model: in eval mode; its rows must not see one another.
        components: `models.components.component_map`.

    Returns:
        log p_i [B, T] as in `losses.View`, and per direction: place -> products [B] (float64, on
        the CPU) for each of `gradients.places`.
    """
    groups = {
        name: (component,) if block is None else (component, f"layer.{block}")
        for name, (component, block) in components.items()
    }
    planned = plan(model)
    owners, why = planned.owners, planned.by_rows
    try:
        found = None if why else _by_taps(model, batch, directions, groups, owners)
    except _NotUnderstood as error:  # in this batch alone
        why, found = str(error), None
    if found is None:
        warn_once(
            log,
            f"{type(model).__name__}: instances are measured row by row, with a backward pass and "
            f"a whole gradient for every row instead of one backward pass for a batch ({why})",
        )
        found = _by_rows(model, batch, directions, groups)
    logp, sums = found
    zero = torch.zeros(len(batch.input_ids), dtype=torch.float64)
    products = {
        name: {place: sums[name].get(place, zero) for place in places(components)}
        for name in directions
    }
    for of_places in products.values():
        of_places[TOTAL] = sum((of_places[component] for component in COMPONENTS), start=zero)
    return logp, products


def instance_rows(
    model: PreTrainedModel,
    batch: Batch,
    directions: Directions,
    components: Components,
    numbers: np.ndarray,
    objective: Loss | None = None,
    left: Tensor | None = None,
) -> pd.DataFrame:
    """`instance_effects` as a table with a row per sample and place.

    Args:
        batch: with reference log-probabilities (`losses.view.with_reference`).
        numbers: the numbers of the batch's rows [B].
        objective: adds the column `weight`, if it reweights log-likelihoods of these labels alone.
        left: [B, T], the labels that a selection of tokens leaves to the objective; None for all.

    Returns:
        `sample`, `component`, `e_unlearn`, `e_retain` (missing where there is no such direction),
        `logp`, `logp_ref` (log p(s) in nats), and `weight` (of token weights: the mean over the
        sample, in which those that are not left count 0); all values in float64.
    """
    logp, products = instance_effects(model, batch, directions, components)
    assert batch.logp_ref is not None
    columns = {"logp": _by_sample(logp), "logp_ref": _by_sample(batch.logp_ref)}
    if objective is not None and objective.weighs_labels_alone:
        mask = next_tokens(batch) != IGNORED
        seen = weighed(mask if left is None else left, logp, batch.logp_ref)
        weight = objective.weight(seen)
        if objective.reduction == "token":
            weight = seen.per_sample(weight) / mask.sum(dim=1)
        weight = weight.masked_fill(~seen.mask.any(dim=1), 0)
        columns["weight"] = weight.double().cpu().numpy()
    where = places(components)
    missing = dict.fromkeys(where, torch.full([len(numbers)], math.nan))
    rows = {"sample": np.repeat(numbers, len(where)), "component": where * len(numbers)}
    for name in EFFECT_DATASETS:
        effects = products.get(name, missing)
        rows[f"e_{name}"] = torch.stack([effects[w] for w in where], dim=1).flatten().numpy()
    rows |= {name: np.repeat(values, len(where)) for name, values in columns.items()}
    return pd.DataFrame(rows)


def _by_sample(logp: Tensor) -> np.ndarray:
    return logp.double().sum(dim=1).cpu().numpy()


Owners = Mapping[str, Mapping[str, str]]
"""Module -> the parameters that its output is differentiated for, by their names in it."""


class _NotUnderstood(Exception):
    """The products of these parameters cannot be had from the output of their module."""

    def __init__(self, why: str, parameters: Iterable[str]):
        super().__init__(why)
        self.parameters = set(parameters)


@dataclass(frozen=True)
class Plan:
    """How the instances of a model are measured.

    Attributes:
        owners: which modules are tapped, and for which parameters.
        by_rows: why that is not possible, so that every row has a backward pass; else empty.
    """

    owners: Owners
    by_rows: str = ""


def _by_taps(
    model: PreTrainedModel,
    batch: Batch,
    directions: Mapping[str, Mapping[str, Tensor]],
    groups: Groups,
    owners: Owners,
) -> tuple[Tensor, Sums]:
    """log p_i [B, T], and direction -> group -> products [B] in float64, in one backward pass."""
    taps = _Taps(model, batch, directions, groups, owners)
    with torch.enable_grad():
        with taps.attached():
            logp = log_probabilities(forward(model, batch).logits, batch)[0]
        logp.sum().backward()
    return logp.detach(), taps.result()


def _by_rows(
    model: PreTrainedModel,
    batch: Batch,
    directions: Mapping[str, Mapping[str, Tensor]],
    groups: Groups,
) -> tuple[Tensor, Sums]:
    """The same with a backward pass for every row, which holds for any model."""
    sums = _zeros(directions, groups, len(batch.input_ids))
    logps = []
    for row in range(len(batch.input_ids)):
        logp, gradient = _of_row(model, batch, row)
        logps.append(logp)
        for name, g in gradient.items():
            for direction, tensors in directions.items():
                product = dot64(tensors[name], g)
                for group in groups[name]:
                    sums[direction][group][row] += product
    return torch.cat(logps), sums


def _of_row(model: PreTrainedModel, batch: Batch, row: int) -> tuple[Tensor, Gradient]:
    """log p_i [1, T] and ∇log p(s) of a row of a batch, seen alone."""
    mask = batch.attention_mask
    one = replace(
        batch,
        input_ids=batch.input_ids[row : row + 1],
        labels=batch.labels[row : row + 1],
        attention_mask=None if mask is None else mask[row : row + 1],
    )
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.enable_grad():
        logp = log_probabilities(forward(model, one).logits, one)[0]
        found = torch.autograd.grad(logp.sum(), list(trainable.values()), allow_unused=True)
    gradients = dict(zip(trainable, found, strict=True))
    return logp.detach(), {
        name: torch.zeros_like(p) if gradients[name] is None else gradients[name]
        for name, p in trainable.items()
    }


def _zeros(directions: Iterable[str], groups: Groups, rows: int) -> Sums:
    found = dict.fromkeys(group for several in groups.values() for group in several)
    return {
        direction: {group: torch.zeros(rows, dtype=torch.float64) for group in found}
        for direction in directions
    }


class _Taps:
    """Hooks on every module with parameters of its own."""

    def __init__(
        self,
        model: PreTrainedModel,
        batch: Batch,
        directions: Mapping[str, Mapping[str, Tensor]],
        groups: Groups,
        owners: Owners,
    ):
        self.model, self.directions, self.groups = model, directions, groups
        self.owners = owners
        self.rows, self.width = batch.input_ids.shape
        self.why, self.lost = "", set[str]()
        self.sums: dict[tuple[str, str, torch.device], Tensor] = {}

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        handles = []
        try:
            for name, own in self.owners.items():
                module = self.model.get_submodule(name)
                nested = any("." in local for local in own)
                rule = by_forward_mode if nested else rule_of(module)
                enter = partial(self._enter, name, own, rule)
                handles.append(module.register_forward_hook(enter, with_kwargs=True))
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()

    def _enter(
        self,
        name: str,
        own: Mapping[str, str],
        rule: Rule,
        module: nn.Module,
        arguments: tuple,
        named: dict[str, Any],
        output: Any,
    ) -> Any:
        given, keywords = tree_map_only(Tensor, Tensor.detach, (arguments, named))
        place, several = -1, len(differentiable(output)) > 1

        def tap(tensor: Tensor) -> Tensor:
            nonlocal place
            if not tensor.is_floating_point():
                return tensor
            place += 1
            if not tensor.requires_grad:  # the first module: here the graph begins
                tensor = tensor.detach().requires_grad_()
            if tensor.dim() > 1 and len(tensor) == 1 < self.rows:  # what all rows share
                tensor = tensor.expand(self.rows, *tensor.shape[1:])
            if several:  # one may go into another: its hook is to see its uses outside alone
                tensor = tensor.view_as(tensor)
            inputs = Inputs(given, keywords, place)
            tensor.register_hook(partial(self._leave, name, own, rule, module, inputs))
            return tensor

        return tree_map_only(Tensor, tap, output)

    def _leave(
        self,
        name: str,
        own: Mapping[str, str],
        rule: Rule,
        module: nn.Module,
        inputs: Inputs,
        delta: Tensor,
    ) -> None:
        of_groups: dict[tuple[str, ...], list[str]] = {}
        for local, full in own.items():
            of_groups.setdefault(self.groups[full], []).append(local)
        for groups, locals_ in of_groups.items():
            for direction, tensors in self.directions.items():
                # A tied unembedding's bias is not of its weight's component: f(x; 0, G_bias).
                given = {
                    local: (tensors[full] if local in locals_ else torch.zeros_like(tensors[full]))
                    for local, full in own.items()
                }
                for local, frozen in module.named_parameters(recurse=False):
                    given.setdefault(local, torch.zeros_like(frozen))
                try:
                    value = self._by_row(rule, module, inputs, delta, given)
                except torch.OutOfMemoryError:
                    raise
                except Exception as failure:  # whatever a module does to a rule
                    self.why = f"{name} ({type(module).__name__}): {' '.join(str(failure).split())}"
                    self.lost.update(own.values())
                    return
                for group in groups:
                    key = (direction, group, value.device)
                    self.sums[key] = self.sums[key] + value if key in self.sums else value

    def _by_row(
        self,
        rule: Rule,
        module: nn.Module,
        inputs: Inputs,
        delta: Tensor,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        # A list of all tokens has those of a row side by side.
        counts = (self.rows, self.rows * self.width)
        shape = ", ".join(map(str, delta.shape))
        if len(delta) not in counts:
            raise ValueError(f"its output [{shape}] is not by sample")
        value = rule(module, inputs, delta, given)
        if value.shape != (len(delta),):
            raise ValueError(f"its product rule gives {list(value.shape)} for [{shape}]")
        return value.view(self.rows, -1).sum(dim=1)

    def result(self) -> Sums:
        if self.lost:
            raise _NotUnderstood(self.why, self.lost)
        sums = _zeros(self.directions, self.groups, self.rows)
        for (direction, group, _), value in self.sums.items():
            sums[direction][group] = sums[direction][group] + value.cpu()
        return sums


_plans: WeakKeyDictionary[nn.Module, dict[frozenset[str], Plan]] = WeakKeyDictionary()
LARGE = 10**8
"""Parameters of a model that is not tried itself where a small one of its kind can be."""
_LEVELS = 4  # from a weight to the module that uses it
_TOLERANCE = 1e-2  # of the product of both norms, parameter by parameter
_NEGLIGIBLE = 1e-4  # of the whole gradient: rounding is all that some biases have


def plan(model: PreTrainedModel) -> Plan:
    """How the instances of a model are measured: found out on two short rows, once for a model and
    what of it is trainable.

    A parameter whose products come out wrong is given to the module that its own module is in, as
    one that uses the weights of its children without calling them.
    """
    known = _plans.setdefault(model, {})
    trainable = frozenset(name for name, p in model.named_parameters() if p.requires_grad)
    if trainable not in known:
        found = None
        if sum(p.numel() for p in model.parameters()) >= LARGE:
            found = _as_a_small_one(model)
        known[trainable] = found or _tried(model)
    return known[trainable]


def _as_a_small_one(model: PreTrainedModel) -> Plan | None:
    """The plan if a small model of the same modules needs nothing special, else None.

    A trial takes gradients of single rows, for which a large model may have no memory.
    """
    try:
        other = adapted_like(small(model.config), model)
    except Exception:  # whatever an architecture makes of sizes that it was not meant for
        return None
    if _kinds(other) != _kinds(model):
        return None
    planned = _tried(other)
    return Plan(_own(model)) if planned == Plan(_own(other)) else None


def _kinds(model: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in model.modules()}


def _own(model: PreTrainedModel) -> dict[str, dict[str, str]]:
    """Every module with the trainable parameters of its own."""
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    owners = {
        name: {
            local: names[id(p)]
            for local, p in module.named_parameters(recurse=False)
            if p.requires_grad
        }
        for name, module in model.named_modules()
    }
    return {name: own for name, own in owners.items() if own}


def _tried(model: PreTrainedModel) -> Plan:
    batch = collate([Example((1, 2, 3, 4, 0), 2), Example((4, 0, 3), 1)])
    batch = batch.to(input_device(model))
    owners: Owners = _own(model)
    with computing_in("float32"), _no_tf32():
        expected = [_of_row(model, batch, row)[1] for row in range(len(batch.input_ids))]
        for _ in range(_LEVELS):
            try:
                _check(_products_of_trial(model, batch, expected[0], owners), expected)
                return Plan(owners)
            except _NotUnderstood as error:
                why = str(error)
                if not error.parameters:
                    break
                owners = _lifted(owners, error.parameters)
    return Plan(owners, why)


def _products_of_trial(
    model: PreTrainedModel, batch: Batch, direction: Gradient, owners: Owners
) -> dict[str, Tensor]:
    own = {name: (name,) for name in direction}
    try:
        return _by_taps(model, batch, {"": direction}, own, owners)[1][""]
    except (_NotUnderstood, torch.OutOfMemoryError):
        raise
    except Exception as failure:  # whatever an unknown architecture does to a pass
        raise _NotUnderstood(" ".join(str(failure).split()), ()) from failure


def _check(found: Mapping[str, Tensor], expected: Sequence[Gradient]) -> None:
    """Raises _NotUnderstood for parameters whose products with the first row's gradient differ."""
    wrong = set()
    for row, gradient in enumerate(expected):
        whole = math.sqrt(math.fsum(dot64(g, g) for g in gradient.values()))
        for name, g in gradient.items():
            direction = expected[0][name]
            error = abs(found[name][row].item() - dot64(g, direction))
            size = math.sqrt(dot64(g, g)) + _NEGLIGIBLE * whole
            if not error <= _TOLERANCE * size * math.sqrt(dot64(direction, direction)):
                wrong.add(name)
    if wrong:
        raise _NotUnderstood(f"no module's output tells the products of {min(wrong)}", wrong)


def _lifted(owners: Owners, parameters: set[str]) -> dict[str, dict[str, str]]:
    """Owners in which the modules above those that own some parameters own them."""
    result: dict[str, dict[str, str]] = {}
    for name, own in owners.items():
        for local, full in own.items():
            above, _, last = name.rpartition(".")
            if full in parameters and name:
                result.setdefault(above, {})[f"{last}.{local}"] = full
            else:
                result.setdefault(name, {})[local] = full
    return result


@contextlib.contextmanager
def _no_tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
