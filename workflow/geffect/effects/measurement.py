"""G-effects along a cell's run, as the tables that it leaves behind.

Memory, in units of the model's size in its own dtype: the model, θ_o where KL or RR look at it,
∇R(D_u) and ∇R(D_r), at most two gradients of losses, and for the predicted change of risk the
weights and both risk gradients of the step before. Reference log-probabilities are computed once,
at the first step, which is θ_o.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geffect import losses, models
from geffect.cell import Cell, Draws, Loss
from geffect.effects.gradients import (
    Directions,
    Gradient,
    by_length,
    data_batches,
    dots,
    effect_rows,
    gradient_over,
    places,
    risk_term,
)
from geffect.effects.instances import instance_effects
from geffect.effects.tokens import token_rows
from geffect.encoding import IGNORED
from geffect.errors import ModelError, NotFiniteError
from geffect.losses import next_tokens
from geffect.registry import REFERENCE_NEEDS, get
from geffect.rows import read_rows
from geffect.runtime import Progress, log

DATASETS = ("unlearn", "retain")
ANSWER, REFUSAL = "answer", "refusal"
TOKEN_COLUMNS = ["sample", "token", "id", "logp", "logp_ref", "e_unlearn", "e_retain"]


class Measurement:
    """A cell's G-effects at one set of weights after another, θ_o first.

    Args:
        cell: its losses over D_u and over one fixed sample of retain rows.
        draws: the run's.
        probes: regularizers that the cell does not train with, by variant.
        held_out: the rows of the retain risk; None takes the cell's sample of training rows.
        micro_batch: how many rows at once; a matter of memory only.
        instances, tokens: whether to make these tables too.
    """

    def __init__(
        self,
        cell: Cell,
        draws: Draws,
        probes: Mapping[str, Loss],
        held_out: Sequence[dict] | None,
        micro_batch: int,
        instances: bool = True,
        tokens: bool = True,
    ):
        self.terms = cell.effect_terms(draws)
        self.terms |= {f"probe.{name}": cell.probe(loss, draws) for name, loss in probes.items()}
        retain = (
            cell.sample(draws) if held_out is None else cell.encoder.rows(held_out, "held-out rows")
        )
        risks = {"unlearn": cell.forget, "retain": retain}
        self.risks = {name: risk_term(examples) for name, examples in risks.items()}
        self.all_terms = self.terms | self.risks
        self.batches = {n: data_batches(term, micro_batch) for n, term in self.all_terms.items()}
        self.objective = get("objective", cell.objective.name)
        self.hyper = cell.objective.hyper
        self.control, self.instances, self.tokens = draws.control_vector, instances, tokens
        self.previous: tuple | None = None
        self.found: dict[str, list[pd.DataFrame]] = {"geffect": [], "risk": []}
        self.found |= {"instances": []} if instances else {}
        self.found |= {"tokens": []} if tokens else {}

    @classmethod
    def of_job(cls, cell: Cell, draws: Draws, files, settings) -> "Measurement":
        """A measurement from tables and resolved configuration.

        Args:
            files: has the path `held_out`.
            settings: has `probes` (variant -> arguments of `Loss`), `retain_rows` ("held_out" or
                "train"), `micro_batch_size`, `instances` and `tokens`.
        """
        held_out = read_rows(files.held_out) if settings.retain_rows == "held_out" else None
        probes = {name: Loss(**loss) for name, loss in settings.probes.items()}
        return cls(
            cell,
            draws,
            probes,
            held_out,
            settings.micro_batch_size,
            settings.instances,
            settings.tokens,
        )

    @property
    def needs(self) -> frozenset:
        """What θ_o is looked at for at every step (`registry.REFERENCE_NEEDS`)."""
        needs = frozenset().union(*(term.spec.needs for term in self.terms.values()))
        return needs & REFERENCE_NEEDS - {"reference_logp"}

    def begin(self, original, reference=None) -> None:
        """Has to come first.

        Args:
            original: θ_o, which is looked at here for the log-probabilities under it.
            reference: θ_o again, kept for every step; None where `needs` is empty.
        """
        self.reference = reference
        self.layout = _layout(original)
        for name in ("unlearn", "objective"):
            self.batches[name] = [
                losses.with_reference(original, batch.to(models.input_device(original)))
                for batch in self.batches[name]
            ]

    def at(self, model, step: int) -> None:
        """Measures at a model's weights.

        Raises:
            ModelError: the model's parameters are not those of θ_o.
        """
        if _layout(model) != self.layout:
            raise ModelError(
                f"step {step}: the checkpoint's parameters are not those of the cell's model; "
                "it belongs to another run"
            )
        components = models.component_map(model)
        values, gradients = self._risks(model, f"step {step}")
        directions = Directions({n: gradients[n] for n in values if not math.isnan(values[n])})
        self._changes(model, step, values, gradients, components)
        effects = effect_rows(
            self.terms,
            lambda name: self._exact(model, name, f"step {step}")[1],
            gradients,
            components,
        )
        self._keep("geffect", step, pd.DataFrame(effects))
        if self.instances:
            for numbers, batch in self._numbered("unlearn"):
                self._keep(
                    "instances",
                    step,
                    self._instances(model, numbers, batch, directions, components),
                )
        if self.tokens:
            sources = [(ANSWER, "unlearn")]
            if "refusals" in self.objective.needs:
                sources.append((REFUSAL, "objective"))
            for text, name in sources:
                for numbers, batch in self._numbered(name):
                    rows = token_rows(model, batch, directions, numbers)
                    rows.insert(0, "text", text)
                    rows = rows.reindex(columns=["text", *TOKEN_COLUMNS])
                    self._keep("tokens", step, rows)

    def tables(self) -> dict[str, pd.DataFrame]:
        """What was found so far, in the order in which it was, for `resume`."""
        return {name: pd.concat(parts, ignore_index=True) for name, parts in self.found.items()}

    def resume(self, model, tables: Mapping[str, pd.DataFrame]) -> None:
        """Goes on after what was found up to a model, as if it had been measured here."""
        self.found = {
            name: [part.reset_index(drop=True) for _, part in table.groupby("step", sort=False)]
            for name, table in tables.items()
        }
        self.previous = (*self._risks(model, "resumed"), _weights(model))

    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables without the cell's keys, by file name; all have `step`.

        - geffect: `term`, `dataset`, and the columns of `gradients.compare`. Terms are those of
          the cell, `combined` = objective + λ · regularizer, and probes; rows of `regularizer`
          include λ. What needs a gradient that is not finite is missing.
        - risk: `dataset`, `component`, `predicted_change` = ∇R(D; θ_t) · (θ_t' - θ_t) up to the
          next measured step t', in nats; and in the rows of component `total` also `risk`
          R(D; θ_t) and `measured_change` R(D; θ_t') - R(D; θ_t).
        - instances: `sample` (row of D_u), `component`, `e_unlearn`, `e_retain`
          (∇R(D) · ∇log p(s)), `logp`, `logp_ref` (log p(s) in nats, under θ_o), and, where the
          objective declares one, its `weight` (of token weights: the mean over the sample).
        - tokens: `text` (answer, or refusal for objectives that train on those), `sample`,
          `token` (position in the answer), `id`, `logp`, `logp_ref`, `e_unlearn`, `e_retain`.
        """
        frames = self.tables()
        keys = {"instances": ["step", "sample"], "tokens": ["step", "text", "sample", "token"]}
        for name, columns in keys.items():
            if name in frames:
                frames[name] = frames[name].sort_values(columns, kind="stable", ignore_index=True)
        return frames

    def _risks(self, model, where: str) -> tuple[dict[str, float], dict[str, Gradient]]:
        risks = {name: self._exact(model, name, where) for name in self.risks}
        values = {name: value for name, (value, _) in risks.items()}
        return values, {name: gradient for name, (_, gradient) in risks.items()}

    def _exact(self, model, name: str, where: str) -> tuple[float, Gradient]:
        term, batches = self.all_terms[name], self.batches[name]
        try:
            return gradient_over(model, term, batches, self.reference, self.control)
        except NotFiniteError as error:
            log.warning("%s: %s; its G-effects are missing", where, error)
            nothing = {n: torch.full_like(p, math.nan) for n, p in model.named_parameters()}
            return math.nan, nothing

    def _keep(self, name: str, step: int, rows: pd.DataFrame) -> None:
        rows.insert(0, "step", step)
        self.found[name].append(rows)

    def _changes(self, model, step, values, gradients, components) -> None:
        weights = _weights(model)
        if self.previous is not None:
            old_values, old_gradients, old_weights = self.previous
            moved = {name: weights[name] - old for name, old in old_weights.items()}
            rows = self.found["risk"][-1]
            for name, gradient in old_gradients.items():
                predicted = dots(gradient, moved, components)
                here = rows["dataset"].eq(name)
                rows.loc[here, "predicted_change"] = rows["component"].map(predicted)[here]
                total = here & rows["component"].eq("total")
                rows.loc[total, "measured_change"] = values[name] - old_values[name]
        self.previous = (values, gradients, weights)
        rows = pd.DataFrame(
            [(name, place) for name in values for place in places(components)],
            columns=["dataset", "component"],
        )
        risk = rows["dataset"].map(values).where(rows["component"].eq("total"))
        rows = rows.assign(risk=risk, predicted_change=math.nan, measured_change=math.nan)
        self._keep("risk", step, rows)

    def _numbered(self, name: str):
        """The batches of a term with the row numbers of their samples."""
        order, start = by_length(self.all_terms[name].select(0)), 0
        for batch in self.batches[name]:
            rows = len(batch.input_ids)
            yield order[start : start + rows], batch
            start += rows

    def _instances(self, model, numbers, batch, directions, components) -> pd.DataFrame:
        logp, found = instance_effects(model, batch, directions, components)
        labels = next_tokens(batch)
        columns = {
            "logp": _by_sample(logp),
            "logp_ref": _by_sample(batch.logp_ref),
        }
        if self.objective.weighted and "refusals" not in self.objective.needs:
            view = losses.View(labels != IGNORED, logp, None, logp_ref=batch.logp_ref)
            weight = self.objective.module().weight(view, **self.hyper)
            if self.objective.reduction == "token":
                weight = view.per_sample(weight) / view.mask.sum(dim=1)
            columns["weight"] = weight.double().cpu().numpy()
        where = places(components)
        missing = dict.fromkeys(where, torch.full([len(numbers)], math.nan))
        rows = {"sample": np.repeat(numbers, len(where)), "component": where * len(numbers)}
        for name in DATASETS:
            effects = found.get(name, missing)
            rows[f"e_{name}"] = torch.stack([effects[w] for w in where], dim=1).flatten().numpy()
        rows |= {name: np.repeat(values, len(where)) for name, values in columns.items()}
        return pd.DataFrame(rows)


def _layout(model) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in model.named_parameters()}


def _weights(model) -> Gradient:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def _by_sample(logp: torch.Tensor) -> np.ndarray:
    return logp.double().sum(dim=1).cpu().numpy()


def along(
    checkpoints: Sequence[tuple[int, Path]], measurement: Measurement, device: str, what: str
) -> None:
    """Measures at every checkpoint (step, model folder) of a run; the first is θ_o."""
    model = models.load(checkpoints[0][1], device)
    measurement.begin(model, model if measurement.needs else None)
    progress = Progress(what, len(checkpoints))
    for done, (step, folder) in enumerate(checkpoints, start=1):
        if done > 1:
            del model  # two models at once may not fit
            model = models.load(folder, device)
        measurement.at(model, step)
        progress.step(done)
