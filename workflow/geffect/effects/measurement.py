"""G-effects along a cell's run, as the tables that it leaves behind.

Memory, in units of the model's size in float32: the model, θ_o where KL or RR look at it, ∇R(D_u)
and ∇R(D_r), and on top of these at most 3: for the change of risk the weights and both risk
gradients of the step before; and 1 for each share of the displacement. Of a model in half precision
weights take half of that, and gradients all of it. Where the measurement is offloaded
(`models.offload`), all gradients but the one that is being computed are parked, and the passes of
instances and tokens take directions in the type in which matrix products read them. Reference
log-probabilities are computed once, at the first step, which is θ_o.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect.cells.cell import Cell
from geffect.cells.draws import Draws
from geffect.data.batches import IGNORED, Batch, collate
from geffect.data.encoding import Example
from geffect.data.rows import read_rows
from geffect.effects.gradients import (
    Components,
    Directions,
    Gradient,
    data_batches,
    dot_products,
    effect_rows,
    gradient_over,
    numbered,
    places,
)
from geffect.effects.instances import instance_effects, instance_rows
from geffect.effects.selection import SelectionSettings, TokenSelection
from geffect.effects.tokens import token_effects, token_rows
from geffect.errors import ModelError, NotFiniteError
from geffect.losses.loss import RISK, Loss
from geffect.losses.view import View, next_tokens, with_reference
from geffect.models.adapters import Change, half_way, is_adapted, measured_in, original_beside
from geffect.models.adapters import weights as adapter_weights
from geffect.models.components import component_map
from geffect.models.compute import halved, input_device, raised, recompute
from geffect.models.folder import load_model
from geffect.models.offload import Summed, aside, parked
from geffect.names import (
    ADAPTER,
    EFFECT_DATASETS,
    MERGED,
    OBJECTIVE,
    PROBE,
    REGULARIZER,
    RETAIN,
    TOTAL,
    UNEXPLAINED,
    UNLEARN,
)
from geffect.progress import Progress

ANSWER, REFUSAL = "answer", "refusal"
CHANGE_COLUMNS = ["risk", "predicted_change", "measured_change"]
TOKEN_COLUMNS = ["sample", "token", "id", "logp", "logp_ref", "e_unlearn", "e_retain"]
TOKEN_COLUMNS += ["entropy", "runner_up", "logp_runner_up"]
TOKEN_COLUMNS += ["e_unlearn_runner_up", "e_retain_runner_up"]

log = logging.getLogger(__name__)


class Onlooker(Protocol):
    """Something that reads along where a measurement runs the model over D_u and D_r."""

    def see(self, dataset: str, numbers: np.ndarray, batch: Batch, seen: View) -> None:
        """Is shown what a pass over a batch of a data set gave; `numbers` are its rows [B]."""

    def table(self, model: PreTrainedModel) -> pd.DataFrame:
        """What it read at a step, of which everything has been shown now."""


class Measurement:
    """A cell's G-effects at one set of weights after another, θ_o first: an observer of its run.

    Args:
        cell: its losses over D_u and over one fixed sample of retain rows.
        draws: the run's.
        probes: regularizers that the cell does not train with, by variant.
        retain: the rows of the retain risk.
        micro_batch_size: rows at once; a matter of memory only.
        instances, tokens: whether to make these tables too.
        change: how the change of risk between two measured steps is predicted, "trapezoid" or
            "simpson" (a gradient in the middle of each interval more).
        selection: the token selection that wraps the cell's objective, if there is one.
        trajectory: reads along, and adds its table `trajectory` (`evaluation.trajectory`).
        parameters: of a model with adapters: "adapter", those of the adapters, or "merged", the
            weights that they are merged into. Others are measured in what is trainable.

    Raises:
        DataError: a data set is empty, or one of its rows has no label token.
    """

    def __init__(
        self,
        cell: Cell,
        draws: Draws,
        probes: Mapping[str, Loss],
        retain: Sequence[Example],
        micro_batch_size: int,
        instances: bool = True,
        tokens: bool = True,
        change: str = "trapezoid",
        selection: SelectionSettings | None = None,
        trajectory: Onlooker | None = None,
        parameters: str = ADAPTER,
    ):
        self.parameters = parameters
        self.simpson = change == "simpson"
        self.losses = {
            name: loss.bind(control_vector=draws.control_vector)
            for name, loss in (
                *cell.losses.items(),
                *((f"{PROBE}{name}", loss) for name, loss in probes.items()),
            )
        }
        self.coefficients = {name: loss.coefficient for name, loss in self.losses.items()}
        sample = cell.sample(draws)
        self.examples: dict[str, Sequence[Example]] = {
            name: sample if not loss.pairs_refusals else cell.sample(draws, pairs=True)
            for name, loss in self.losses.items()
        }
        self.examples[OBJECTIVE] = cell.measured(draws)
        self.losses |= dict.fromkeys(EFFECT_DATASETS, RISK)
        self.examples |= {UNLEARN: cell.forget, RETAIN: retain}
        self.batches = {
            name: data_batches(loss, self.examples[name], micro_batch_size, f"term {name!r}")
            for name, loss in self.losses.items()
        }
        self.select = (
            None
            if selection is None
            else TokenSelection(cell, self.losses[OBJECTIVE], selection, micro_batch_size)
        )
        self.left: list[torch.Tensor] | None = None
        """Of the step: the labels [B, T] that the selection has left in the objective's batches."""
        self.trains_on_refusals = cell.trains_on_refusals
        self.pairs_refusals = cell.objective.pairs_refusals
        self.rows = {sample: row["row"] for sample, row in enumerate(cell.forget_rows)}
        self.decode = cell.decode
        self.instances, self.tokens = instances, tokens
        self.previous: tuple[dict[str, float], dict[str, Gradient], Gradient] | None = None
        self.parts: dict[str, list[pd.DataFrame]] = {"geffect": [], "risk": []}
        self.parts |= {"instances": []} if instances else {}
        self.parts |= {"tokens": []} if tokens else {}
        self.trajectory = trajectory
        self.parts |= {} if trajectory is None else {"trajectory": []}

    @classmethod
    def of_job(
        cls,
        cell: Cell,
        draws: Draws,
        files: Any,
        settings: Any,
        trajectory: Onlooker | None = None,
    ) -> "Measurement":
        """A measurement from tables and resolved configuration.

        Args:
            files: has the path `held_out`.
            settings: has `probes` (variant -> arguments of `Loss.load`), `retain_rows` ("held_out",
                or "train" for the cell's sample of training rows), `micro_batch_size`, `instances`,
                `tokens`, `change`, `selection` (arguments of `SelectionSettings`, or None), and
                `parameters`.
        """
        if settings.retain_rows == "held_out":
            retain = cell.encoder.rows(read_rows(files.held_out), "held-out rows")
        else:
            retain = cell.sample(draws)
        return cls(
            cell,
            draws,
            {name: Loss.load(REGULARIZER, **loss) for name, loss in settings.probes.items()},
            retain,
            settings.micro_batch_size,
            settings.instances,
            settings.tokens,
            settings.change,
            None if settings.selection is None else SelectionSettings(**settings.selection),
            trajectory,
            settings.parameters,
        )

    @property
    def looks_at_original(self) -> bool:
        """Whether θ_o is needed at every step (and not in `begin` alone)."""
        return any(loss.keeps_original for loss in self.losses.values())

    def begin(self, start: PreTrainedModel, original: PreTrainedModel | None = None) -> None:
        """Call before `at`.

        Args:
            start: θ_o, which is run here for the log-probabilities under it.
            original: θ_o again, kept for every step; may be None unless `looks_at_original`.

        Raises:
            LossError: a loss looks at a layer that the model does not have.
        """
        for loss in self.losses.values():
            loss.check_layer(start)
        self.losses = {
            name: loss.bind(original, loss.control_vector) for name, loss in self.losses.items()
        }
        if self.select is not None:
            self.select.objective = self.losses[OBJECTIVE]
        self.layout = _layout(start)
        others = {
            name
            for name, loss in self.losses.items()
            if loss.looks_at_original and not loss.keeps_original
        }
        for name in {UNLEARN, OBJECTIVE} | others:
            self.batches[name] = [
                with_reference(start, batch.to(input_device(start))) for batch in self.batches[name]
            ]

    def at(
        self,
        model: PreTrainedModel,
        step: int,
        moved: Mapping[str, Gradient] = MappingProxyType({}),
    ) -> None:
        """Measures at a model's weights.

        Args:
            moved: how far regularizer and weight decay have moved the weights since the measured
                step before (`training.shares`); the rest counts for the objective.

        Raises:
            ModelError: the model's parameters are not those of θ_o.
        """
        if _layout(model) != self.layout:
            raise ModelError(
                f"step {step}: the checkpoint's parameters are not those of the cell's model; "
                "it belongs to another run"
            )
        with measured_in(model, self.parameters):
            self._measure(model, step, moved)

    def _measure(self, model: PreTrainedModel, step: int, moved: Mapping[str, Gradient]) -> None:
        components = component_map(model)
        values, gradients = self._risks(model, f"step {step}", self.trajectory)
        if self.trajectory is not None:
            self._keep("trajectory", step, self.trajectory.table(model))
        self._changes(model, step, values, gradients, components, moved)
        self.left = None
        effects = effect_rows(
            self.coefficients,
            lambda name: self._exact(model, name, f"step {step}", step=step)[1],
            gradients,
            components,
        )
        self._keep("geffect", step, pd.DataFrame(effects))
        if not (self.instances or self.tokens):
            return
        directions = Directions(
            {name: gradients[name] for name in values if not math.isnan(values[name])},
            halved(model),
        )
        originals = (loss.original for loss in self.losses.values() if loss.keeps_original)
        with aside("measurement", next(originals, None)):
            self._tables(model, step, directions, components)

    def _tables(
        self, model: PreTrainedModel, step: int, directions: Directions, components: Components
    ) -> None:
        looks_at_refusals = self.trains_on_refusals or self.pairs_refusals
        # What a selection leaves cannot be known where the gradient that it goes by is not finite.
        known = self.select is None or self.left is not None
        weighted = None if looks_at_refusals or not known else self.losses[OBJECTIVE]

        def of_rows(name: str, batches: Sequence[Batch]) -> Iterator[tuple]:
            """Batches, the numbers of their rows, and the labels that are left of them."""
            # An objective that weighs the labels of D_u alone has them in the same batches.
            left: Sequence[torch.Tensor | None] = [None] * len(batches)
            if self.left is not None and weighted is not None and name == UNLEARN:
                left = self.left
            rows = numbered(self.examples[name], batches)
            for (numbers, batch), kept in zip(rows, left, strict=True):
                yield batch, numbers, kept

        if self.instances:
            for batch, numbers, left in of_rows(UNLEARN, self.batches[UNLEARN]):
                rows = instance_rows(model, batch, directions, components, numbers, weighted, left)
                self._keep("instances", step, rows)
        if self.tokens:
            sources = {ANSWER: (UNLEARN, self.batches[UNLEARN])}
            if looks_at_refusals:
                # Those beside the answers, or in their place.
                refusals = [batch.refusal or batch for batch in self.batches[OBJECTIVE]]
                sources[REFUSAL] = (OBJECTIVE, refusals)
            for text, source in sources.items():
                for batch, numbers, left in of_rows(*source):
                    rows = token_rows(model, batch, directions, numbers, weighted, left)
                    rows.insert(0, "text", text)
                    more = rows.columns.intersection(["weight"])
                    rows = rows.reindex(columns=["text", *TOKEN_COLUMNS, *more])
                    self._keep("tokens", step, rows)

    def state(self) -> dict[str, pd.DataFrame]:
        """The tables of everything measured so far, in order of measurement, for `resume`."""
        return {name: pd.concat(parts, ignore_index=True) for name, parts in self.parts.items()}

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Continues after everything up to a model, as if it had been measured here."""
        self.parts = {
            name: [part.reset_index(drop=True) for _, part in table.groupby("step", sort=False)]
            for name, table in state.items()
        }
        with measured_in(model, self.parameters):
            self.previous = (*self._risks(model, "resumed"), self._position(model))

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables without the cell's keys, by file name; all have `step`.

        - geffect: `term`, `dataset`, and the columns of `gradients.compare`. Terms are those of
          the cell, `combined` = objective + λ · regularizer, and probes; rows of `regularizer`
          include λ. What needs a gradient that is not finite is missing.
        - risk: `term`, `dataset`, `component`, `predicted_change` up to the next measured step t',
          in nats: the integral of ∇R(D) along the straight path, times the share of the
          displacement that the term (objective, regularizer, decay) made; and in the rows of
          component `total` also `risk` R(D; θ_t) and `measured_change` R(D; θ_t') - R(D; θ_t). Of
          the term `unexplained` there is `total` alone: the measured change less all predicted.
        - instances: `sample` (position in D_u) and its `row` in the whole data set, `component`,
          `e_unlearn`, `e_retain` (∇R(D) · ∇log p(s)), `logp`, `logp_ref` (log p(s) in nats, under
          θ_o), and, where the objective declares one, its `weight` (of token weights: the mean over
          the sample). Tokens that a selection leaves out have the weight 0.
        - tokens: `text` (answer, or refusal for objectives that look at those), `sample`,
          `row`, `token` (position in the answer), `id` and `string` (the token's text), `logp`,
          `logp_ref`, `e_unlearn`, `e_retain`; `entropy` (nats), `runner_up` (the id of the most
          probable token other than the label), `string_runner_up`, `logp_runner_up`,
          `e_unlearn_runner_up`, `e_retain_runner_up`; and, where the objective declares one and
          looks at the labels alone, its `weight` (of a sample: at each of its tokens).
        - trajectory: what the onlooker read.
        """
        frames = self.state()
        keys = {"instances": ["step", "sample"], "tokens": ["step", "text", "sample", "token"]}
        for name, columns in keys.items():
            if name in frames:
                table = frames[name].sort_values(columns, kind="stable", ignore_index=True)
                _insert_after(table, "sample", "row", self.rows)
                frames[name] = table
        if "tokens" in frames:
            table = frames["tokens"]
            numbers = np.union1d(table["id"], table["runner_up"])
            strings = {number: self.decode([int(number)]) for number in numbers}
            _insert_after(table, "id", "string", strings)
            _insert_after(table, "runner_up", "string_runner_up", strings)
        return frames

    def _risks(
        self, model: PreTrainedModel, where: str, onlooker: Onlooker | None = None
    ) -> tuple[dict[str, float], dict[str, Gradient]]:
        values: dict[str, float] = {}
        gradients: dict[str, Gradient] = {}
        for name in EFFECT_DATASETS:
            values[name], gradient = self._exact(model, name, where, onlooker)
            gradients[name] = parked("measurement", gradient)
            del gradient
        return values, gradients

    def _exact(
        self,
        model: PreTrainedModel,
        name: str,
        where: str,
        onlooker: Onlooker | None = None,
        step: int | None = None,
    ) -> tuple[float, dict[str, torch.Tensor]]:
        batches, what = self.batches[name], f"term {name!r}"
        numbers = (rows for rows, _ in numbered(self.examples[name], batches))

        def look(batch: Batch, seen: View) -> None:
            if onlooker is not None:
                onlooker.see(name, next(numbers), batch, seen)

        try:
            if self.select is not None and name == OBJECTIVE:
                assert step is not None
                with measured_in(model, ADAPTER):  # as in training
                    batches = self.select.at(model, batches, step)
                self.left = [next_tokens(batch) != IGNORED for batch in batches]
            return gradient_over(model, self.losses[name], batches, what, look)
        except NotFiniteError as error:
            log.warning("%s: %s; its G-effects are missing", where, error)
            nothing = {
                n: raised(torch.full_like(p, math.nan))
                for n, p in model.named_parameters()
                if p.requires_grad
            }
            return math.nan, nothing

    def _keep(self, name: str, step: int, rows: pd.DataFrame) -> None:
        rows.insert(0, "step", step)
        self.parts[name].append(rows)

    def _changes(
        self,
        model: PreTrainedModel,
        step: int,
        values: dict[str, float],
        gradients: dict[str, Gradient],
        components: Components,
        moved: Mapping[str, Gradient],
    ) -> None:
        if self.previous is not None:
            before, old_gradients, old_weights = self.previous
            changes = {name: values[name] - before[name] for name in EFFECT_DATASETS}
            if others := set(old_weights).symmetric_difference(self._weights(model)):
                log.warning(
                    "step %d: %s was frozen or thawed since the measured step before; the change "
                    "of risk in between is not predicted, for want of its gradient at both ends",
                    step,
                    min(others),
                )
                rows = pd.DataFrame(_unattributed(moved, changes, components))
            else:
                path = [old_gradients, gradients]
                if self.simpson:
                    path.insert(1, self._middle(model, old_weights))
                whole, shares = self._moved(model, old_weights, moved)
                rows = pd.DataFrame(_attributed(path, whole, shares, changes, components))
                del path, whole, shares
            # For want of memory they go before those of this step come.
            self.previous = None
            del old_gradients, old_weights
            last = self.parts["risk"][-1]
            keys = ["term", "dataset", "component"]
            known = last.set_index(["dataset", "component"])["risk"]
            rows["risk"] = [
                known.get((r.dataset, r.component), math.nan) for r in rows.itertuples()
            ]
            rows.insert(0, "step", last["step"].iloc[0])
            self.parts["risk"][-1] = rows[["step", *keys, *CHANGE_COLUMNS]]
        self.previous = (values, gradients, self._position(model))
        rows = pd.DataFrame(
            [
                (OBJECTIVE, name, place, values[name] if place == TOTAL else math.nan)
                for name in values
                for place in places(components)
            ],
            columns=["term", "dataset", "component", "risk"],
        )
        rows = rows.assign(predicted_change=math.nan, measured_change=math.nan)
        self._keep("risk", step, rows)

    def _weights(self, model: PreTrainedModel) -> dict[str, torch.Tensor]:
        """What is trained: in merged coordinates, the adapters."""
        if self.parameters == MERGED and is_adapted(model):
            return {name: weight.detach() for name, weight in adapter_weights(model).items()}
        return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def _position(self, model: PreTrainedModel) -> MutableMapping[str, torch.Tensor]:
        """A copy of what is trained, where the next measured step finds it."""
        copies = {name: weight.clone() for name, weight in self._weights(model).items()}
        return parked("measurement", copies)

    def _moved(
        self, model: PreTrainedModel, start: Gradient, moved: Mapping[str, Gradient]
    ) -> tuple[Gradient, dict[str, Gradient]]:
        """The whole displacement since a position, and the given shares of it."""
        end = self._weights(model)
        if self.parameters == MERGED and is_adapted(model):
            shares = {name: Change(model, start, end, share) for name, share in moved.items()}
            return Change(model, start, end), dict(shares)
        return Summed(end, start, -1), {name: _Share(share, end) for name, share in moved.items()}

    def _middle(self, model: PreTrainedModel, start: Gradient) -> dict[str, Gradient]:
        """The gradients of both risks half-way between a position and the model's."""
        if self.parameters == MERGED and is_adapted(model):
            with half_way(model, start):
                return self._risks(model, "half-way")[1]
        end, weights = self._position(model), self._weights(model)
        try:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_((start[name] + end[name]) / 2)
            return self._risks(model, "half-way")[1]
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(end[name])


def _insert_after(table: pd.DataFrame, column: str, name: str, values: Mapping) -> None:
    """Adds what a column's values stand for as a column to the right of it."""
    table.insert(table.columns.get_loc(column) + 1, name, table[column].map(values))


class _Share(Mapping[str, torch.Tensor]):
    """A share with a tensor for every parameter, where the weights have theirs, made when read."""

    def __init__(self, share: Gradient, weights: Gradient):
        self.share, self.weights = share, weights

    def __getitem__(self, name: str) -> torch.Tensor:
        weight = self.weights[name]
        return self.share[name].to(weight) if name in self.share else torch.zeros_like(weight)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)


def _attributed(
    path: Sequence[Mapping[str, Gradient]],
    whole: Gradient,
    shares: Mapping[str, Gradient],
    changes: Mapping[str, float],
    components: Components,
) -> list[dict]:
    """The changes of both risks along a straight path, by share of the displacement and component.

    The integral of ∇R · dθ by the trapezoid rule (gradients at both ends), or by Simpson's rule
    (and in the middle). What the shares leave of the whole displacement counts for the objective.
    """
    factors = {2: (1 / 2, 1 / 2), 3: (1 / 6, 4 / 6, 1 / 6)}[len(path)]
    gradients = [at[dataset] for dataset in changes for at in path]
    products = iter(dot_products(gradients, [whole, *shares.values()], components))
    rows: list[dict] = []
    for dataset, change in changes.items():
        along = [next(products) for _ in path]
        integrals = [
            {
                place: math.fsum(f * p[place] for f, p in zip(factors, products_of, strict=True))
                for place in products_of[0]
            }
            for products_of in zip(*along, strict=True)
        ]
        rows += _split(dataset, integrals[0], dict(zip(shares, integrals[1:], strict=True)), change)
    return rows


def _unattributed(
    terms: Iterable[str], changes: Mapping[str, float], components: Components
) -> list[dict]:
    """The rows of `_attributed` where only the changes themselves are known."""
    unknown = dict.fromkeys(places(components), math.nan)
    predicted = dict.fromkeys(terms, unknown)
    return [
        row
        for dataset, change in changes.items()
        for row in _split(dataset, unknown, predicted, change)
    ]


def _split(
    dataset: str,
    whole: Mapping[str, float],
    predicted: Mapping[str, Mapping[str, float]],
    change: float,
) -> list[dict]:
    rest = {
        place: math.fsum([value, *(-share[place] for share in predicted.values())])
        for place, value in whole.items()
    }
    rows = [
        {
            "term": term,
            "dataset": dataset,
            "component": place,
            "predicted_change": value,
            "measured_change": change if place == TOTAL else math.nan,
        }
        for term, by_place in {OBJECTIVE: rest, **predicted}.items()
        for place, value in by_place.items()
    ]
    explained = [-by_place[TOTAL] for by_place in (rest, *predicted.values())]
    unexplained = {"predicted_change": math.fsum([change, *explained]), "measured_change": change}
    return [
        *rows,
        {"term": UNEXPLAINED, "dataset": dataset, "component": TOTAL, **unexplained},
    ]


def check_model(model: PreTrainedModel, instances: bool, tokens: bool) -> None:
    """Checks that the passes behind the asked tables understand a model, by running them on a row.

    Before hours of training, since otherwise only its end would tell.

    Raises:
        ModelError: naming the settings of the configuration without which the rest works.
    """
    batch = collate([Example((0, 1, 2), 1)]).to(input_device(model))
    refused = {}
    for name, asked in (("instances", instances), ("tokens", tokens)):
        if not asked:
            continue
        zeros = {
            n: raised(torch.zeros_like(p, requires_grad=False))
            for n, p in model.named_parameters()
            if p.requires_grad
        }
        directions = Directions({UNLEARN: zeros})
        try:
            if name == "instances":
                instance_effects(model, batch, directions, component_map(model))
            else:
                token_effects(model, batch, directions)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever an unknown architecture does to a pass
            refused[name] = error
    if refused:
        why = " ".join(str(next(iter(refused.values()))).split())
        without = ", ".join(f"{name}: false" for name in refused)
        raise ModelError(
            f"{type(model).__name__}: {' and '.join(refused)} cannot be measured ({why}); set "
            f"geffect: {{{without}}}, with which the rest works, or use another architecture"
        ) from next(iter(refused.values()))


def _layout(model: PreTrainedModel) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in model.named_parameters()}


def measure_checkpoints(
    checkpoints: Sequence[tuple[int, Path]],
    measurement: Measurement,
    device: torch.device | str,
    what: str,
    moved: Callable[[int], Mapping[str, Gradient]] = lambda step: {},
    checkpointing: bool = False,
    load: Callable[[Path], PreTrainedModel] | None = None,
) -> None:
    """Measures at every checkpoint (step, model folder) of a run; the first is θ_o.

    `moved` gives what `Measurement.at` is told of a step; with `checkpointing` the passes that
    differentiate losses compute activations again instead of keeping them; `load` makes a model of
    a folder (`adapters.loader`).

    Raises:
        ModelError: a folder holds no model, or one of another run.
    """
    load = load or partial(load_model, device=device)
    original = checkpoints[0][1]
    model = load(original)
    looked_at = measurement.looks_at_original
    measurement.begin(model, original_beside(model, original, device) if looked_at else None)
    progress = Progress(what, len(checkpoints))
    for done, (step, folder) in enumerate(checkpoints, start=1):
        if done > 1:
            del model  # two models at once may not fit
            model = load(folder)
        if checkpointing:
            recompute(model)
        measurement.at(model, step, moved(step))
        progress.step(done)
