"""The runs of one (model, split), as the statements look at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from geffect.names import (
    CELL,
    EFFECT_DATASETS,
    NO_REGULARIZER,
    OBJECTIVE,
    PROBE,
    REGULARIZER,
    RETAIN,
    TOTAL,
    UNLEARN,
)
from geffect.report import blocks
from geffect.report.changes import intervals
from geffect.report.registry import stands_for
from geffect.report.statements.verdict import CannotTell

RISE = 0.1
"""Nats per token: a run that raised R_u by less has not forgotten anything to speak of."""
# How far instances may miss the measured e, relative to the sum of their sizes, by rounding.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Curve:
    """The changes of both risks along a run, in nats from its start.

    Attributes:
        steps: the measured steps [n].
        unlearn: measured change of R_u up to each of them [n]; 0 at the first.
        retain: change of R_r up to each of them [n], attributed to a term, or measured.
        progress: share of the run's learning rate (its sum over updates) spent up to each [n].
    """

    steps: np.ndarray
    unlearn: np.ndarray
    retain: np.ndarray
    progress: np.ndarray

    @property
    def rise(self) -> float:
        """The greatest rise of R_u."""
        return float(self.unlearn.max())

    def harm_at(self, rise: float) -> tuple[float, float]:
        """The change of R_r when R_u has first risen by so much, and the error of reading it.

        It is read off straight lines between the measured steps; how far a monotone cubic (PCHIP)
        through the same steps lies from them is the error.

        Raises:
            CannotTell: that was before the second measured step, where nothing shows the way.
        """
        after = int(np.argmax(self.unlearn >= rise))
        if after < 2:
            raise CannotTell(
                f"R_u has risen by {rise:.3g} nats before the second measured step "
                f"({self.steps[min(2, len(self.steps) - 1)]}); measure more often "
                "(training.checkpoint_every)"
            )
        u, h = self.unlearn[after - 1 : after + 1], self.retain[after - 1 : after + 1]
        line = float(np.interp(rise, u, h))
        new = np.append(True, np.diff(np.maximum.accumulate(self.unlearn)) > 0)
        cubic = PchipInterpolator(self.unlearn[new], self.retain[new])
        return line, abs(float(cubic(rise)) - line)

    def at_half(self) -> float:
        """The change of R_u when half of the run's learning rate is spent."""
        return float(np.interp(0.5, self.progress, self.unlearn))

    def late_share(self) -> float:
        """The share of the whole rise of R_u in the second half (by learning rate) of the run."""
        end = float(self.unlearn[-1])
        return (end - self.at_half()) / end


class Runs:
    """The measured runs of one (model, split).

    Args:
        cells: the grid's cells, as mappings with the keys CELL, in its order.
        geffect, risk, instances, training: the cells' tables, those of the same name in
            docs/outputs.md, with the columns CELL in front; rows of other (model, split) are left
            out. `instances` may be empty.
        variants: kind (objective, regularizer) -> variant -> `name` (of its file) and `hyper`.
        resamples, seed: of the bootstrap over instances.
    """

    def __init__(
        self,
        cells: Sequence[Mapping],
        geffect: pd.DataFrame,
        risk: pd.DataFrame,
        instances: pd.DataFrame,
        training: pd.DataFrame,
        variants: Mapping[str, Mapping[str, Mapping]],
        resamples: int,
        seed: int,
    ):
        self.cells = [dict(cell) for cell in cells]
        if len({(cell["model"], cell["split"]) for cell in self.cells}) != 1:
            raise ValueError("the cells are not of one (model, split)")
        here = {name: self.cells[0][name] for name in ("model", "split")}
        self.variants = variants
        self.resamples, self.seed = resamples, seed
        self._geffect = _by_run(geffect, here)
        self._risk = _by_run(risk, here)
        self._training = _by_run(training, here)
        total = instances[instances["component"].eq(TOTAL)] if len(instances) else instances
        self._instances = _by_run(total, here)

    # --- What there is.

    def family(self, kind: str, variant: str) -> str:
        """The objective or regularizer that a variant is a setting of: the name of its file."""
        return Path(str(self.variants[kind][variant]["name"])).stem

    def of_family(self, family: str) -> list[str]:
        """The variants of an objective that the grid runs without a regularizer, in its order."""
        names = dict.fromkeys(
            cell["objective"] for cell in self.cells if cell["regularizer"] == NO_REGULARIZER
        )
        return [name for name in names if self.family(OBJECTIVE, name) == family]

    def variant(self, family: str) -> str:
        """The variant that stands for an objective: the one of its name, else the grid's first.

        Raises:
            CannotTell: the grid has none without a regularizer.
        """
        names = self.of_family(family)
        if not names:
            raise CannotTell(f"no run of {family} without a regularizer is in the grid")
        return stands_for(family, names)

    def seeds(self, *runs: tuple[str, str]) -> list[int]:
        """The seeds for which all of some (objective, regularizer) have finished and finite runs.

        Raises:
            CannotTell: there are none.
        """
        usable = [
            {
                cell["seed"]
                for cell in self.cells
                if (cell["objective"], cell["regularizer"]) == run and self._finished(cell)
            }
            for run in runs
        ]
        common = sorted(set.intersection(*usable))
        if not common:
            why = [
                f"{objective}+{regularizer} {self._lack(objective, regularizer)}"
                for (objective, regularizer), seeds in zip(runs, usable, strict=True)
                if not seeds
            ]
            raise CannotTell("; ".join(why) or "no seed is common to the runs that are compared")
        return common

    def _finished(self, cell: Mapping) -> bool:
        key = _key(cell)
        log = self._training.get(key)
        return key in self._risk and not (log is not None and log["diverged"].any())

    def gaps(self) -> list[str]:
        """The cells of the grid that have no finished run, and why."""
        return [
            f"{cell['objective']}+{cell['regularizer']} seed{cell['seed']} "
            + ("diverged" if _key(cell) in self._training else "is missing")
            for cell in self.cells
            if not self._finished(cell)
        ]

    def _lack(self, objective: str, regularizer: str) -> str:
        states = {
            "diverged" if _key(cell) in self._training else "is missing"
            for cell in self.cells
            if (cell["objective"], cell["regularizer"]) == (objective, regularizer)
        }
        return " or ".join(sorted(states)) or "is not in the grid"

    def pairs(self) -> list[tuple[str, str]]:
        """The distinct (objective, regularizer) of the grid, in its order."""
        return list(dict.fromkeys((cell["objective"], cell["regularizer"]) for cell in self.cells))

    def measured(self, objective: str, regularizer: str, seed: int, term: str) -> bool:
        """Whether a run's G-effects have a term."""
        return term in set(self._of(self._geffect, objective, regularizer, seed)["term"])

    # --- G-effects.

    def cosines(
        self, objective: str, regularizer: str, seed: int, dataset: str, term: str = OBJECTIVE
    ) -> pd.Series:
        """Cosines of the total over the measured steps; missing where a gradient is zero."""
        rows = self._of(self._geffect, objective, regularizer, seed)
        chosen = rows["term"].eq(term) & rows["dataset"].eq(dataset) & rows["component"].eq(TOTAL)
        return rows[chosen].set_index("step")["cosine"].sort_index()

    def effects(self, objective: str, seed: int, dataset: str) -> pd.DataFrame:
        """Raw e of the objective, without a regularizer: step × component."""
        rows = self._of(self._geffect, objective, NO_REGULARIZER, seed)
        chosen = rows[rows["term"].eq(OBJECTIVE) & rows["dataset"].eq(dataset)]
        return chosen.pivot(index="step", columns="component", values="geffect").sort_index()

    def untouched(self, objective: str, seed: int) -> list[str]:
        """The blocks that the objective never moves, by construction; see `blocks.untouched`."""
        both = [self.effects(objective, seed, dataset) for dataset in EFFECT_DATASETS]
        return blocks.untouched(pd.concat(both))

    def mean_cosine(
        self,
        objective: str,
        regularizer: str,
        seed: int,
        dataset: str,
        term: str = OBJECTIVE,
        part: tuple[float, float] = (0, 1),
    ) -> float:
        """The mean cosine over a part of a run, a measured step counting up to the next one.

        Args:
            part: from which share of the run's learning rate to which.

        Raises:
            CannotTell: the run is measured at fewer than two steps, or has no cosine there.
        """
        series = self.cosines(objective, regularizer, seed, dataset, term)
        weights = self._weights(objective, regularizer, seed, series.index.to_numpy(), part)
        known = series.notna().to_numpy() & (weights > 0)
        if not known.any():
            raise CannotTell(
                f"{objective}+{regularizer} has no cosine of term {term} on {dataset} between "
                "two measured steps"
            )
        return float(np.average(series.to_numpy()[known], weights=weights[known]))

    def _weights(
        self,
        objective: str,
        regularizer: str,
        seed: int,
        steps: np.ndarray,
        part: tuple[float, float] = (0, 1),
    ) -> np.ndarray:
        """How much every step counts; the last one has no next step, and counts nothing."""
        if part == (0, 1):
            return np.append(np.diff(steps), 0).astype(float)
        progress = np.clip(self._progress(objective, regularizer, seed, steps), *part)
        return np.append(np.diff(progress), 0)

    def _progress(
        self, objective: str, regularizer: str, seed: int, steps: np.ndarray
    ) -> np.ndarray:
        log = self._of(self._training, objective, regularizer, seed)
        rates = log.set_index("step")["learning_rate"].sort_index()
        spent = np.interp(steps, [0, *rates.index], [0, *rates.cumsum()])
        if not spent[-1] > 0:
            raise CannotTell(f"{objective}+{regularizer} is measured at its first step only")
        return spent / spent[-1]

    # --- Changes of risk.

    def curve(
        self, objective: str, regularizer: str, seed: int, term: str | None = OBJECTIVE
    ) -> Curve:
        """Both risks along a run; `term` None: the measured change of R_r instead of a share.

        Raises:
            CannotTell: the run is measured at fewer than two steps, or a change is not finite.
        """
        rows = self._of(self._risk, objective, regularizer, seed)
        totals = rows[rows["component"].eq(TOTAL)]
        column = "measured_change" if term is None else "predicted_change"
        of = totals[totals["term"].eq(term or OBJECTIVE)].sort_values("step")
        measured = totals[totals["term"].eq(OBJECTIVE) & totals["dataset"].eq(UNLEARN)]
        measured = measured.sort_values("step")
        steps = measured["step"].to_numpy()
        retain = of[of["dataset"].eq(RETAIN)].set_index("step")[column].reindex(steps)
        if len(steps) < 2:
            raise CannotTell(f"{objective}+{regularizer} is measured at one step only")
        changes = [measured["measured_change"].to_numpy()[:-1], retain.to_numpy()[:-1]]
        if not np.isfinite(changes).all():
            raise CannotTell(f"{objective}+{regularizer}: a change of risk is not finite")
        sums = [np.concatenate([[0], np.cumsum(change)]) for change in changes]
        progress = self._progress(objective, regularizer, seed, steps)
        return Curve(steps, sums[0], sums[1], progress)

    def change(self, objective: str, regularizer: str, seed: int, dataset: str, term: str) -> float:
        """The change of a risk over a run that is attributed to a term, in nats."""
        rows = intervals(self._of(self._risk, objective, regularizer, seed))
        chosen = rows["component"].eq(TOTAL) & rows["term"].eq(term) & rows["dataset"].eq(dataset)
        values = rows[chosen].sort_values("step")["predicted_change"].to_numpy()
        if not len(values) or not np.isfinite(values).all():
            raise CannotTell(
                f"{objective}+{regularizer} has no finite change of risk by term {term}"
            )
        return float(values.sum())

    def changes(self, objective: str, seed: int, dataset: str) -> pd.DataFrame:
        """The objective's share of the change of risk, without a regularizer: step × component.

        Of all steps but the last, which has no interval.
        """
        rows = intervals(self._of(self._risk, objective, NO_REGULARIZER, seed))
        chosen = rows[rows["term"].eq(OBJECTIVE) & rows["dataset"].eq(dataset)]
        wide = chosen.pivot(index="step", columns="component", values="predicted_change")
        return wide.sort_index()

    # --- Instances.

    def instances(self, objective: str, seed: int, column: str) -> pd.DataFrame:
        """A column of instances.parquet, without a regularizer: step × sample.

        Raises:
            CannotTell: the run has no instances, or no such column.
        """
        rows = self._instances.get((objective, NO_REGULARIZER, seed))
        if rows is None:
            raise CannotTell("there is no instances.parquet (geffect.instances)")
        if column not in rows or rows[column].isna().all():
            raise CannotTell(f"{objective} declares no {column} of instances")
        return rows.pivot(index="step", columns="sample", values=column).sort_index()

    def draws(self, samples: int) -> np.ndarray:
        """How often every sample is drawn in every resample [resamples, samples]; seeded."""
        rng = np.random.default_rng([self.seed, samples])
        return rng.multinomial(samples, np.full(samples, 1 / samples), size=self.resamples)

    def resampled_cosine(self, objective: str, seed: int, dataset: str) -> np.ndarray | None:
        """`mean_cosine` of the objective for resampled instances [resamples], norms held fixed.

        Where e is a weighted sum of the instances (GA, NPO): a resample changes that sum. None for
        other objectives (their weights differ between tokens), and without instances.
        """
        try:
            effects = self.instances(objective, seed, f"e_{dataset}")
            weights = self.instances(objective, seed, "weight")
        except CannotTell:
            return None
        parts = (effects * weights).to_numpy()
        cosines = self.cosines(objective, NO_REGULARIZER, seed, dataset).reindex(effects.index)
        e = self.effects(objective, seed, dataset)[TOTAL].reindex(effects.index).to_numpy()
        sums, sizes = parts.sum(axis=1), np.abs(parts).sum(axis=1)
        finite = np.isfinite(e) & np.isfinite(sums) & (sizes > 0)
        if not finite.any():
            return None
        scale = (e[finite] @ sums[finite]) / (sums[finite] @ sums[finite])
        if (np.abs(e - scale * sums) > ROUNDING * abs(scale) * sizes)[finite].any():
            return None
        counts = self._weights(
            objective, NO_REGULARIZER, seed, effects.index.to_numpy()
        ) * np.isfinite(cosines.to_numpy())
        with np.errstate(divide="ignore", invalid="ignore"):
            per_e = np.where(finite & (e != 0), cosines.to_numpy() / e, 0) * scale
        drawn = self.draws(parts.shape[1]) @ np.nan_to_num(parts).T
        return (drawn * per_e) @ counts / counts.sum()

    # --- Internals.

    @cached_property
    def without_regularizer(self) -> list[str]:
        """The objectives that the grid runs without a regularizer."""
        return [name for name, regularizer in self.pairs() if regularizer == NO_REGULARIZER]

    def standing(self) -> list[str]:
        """One variant of each of these objectives, so that a sweep does not outweigh the others."""
        families = dict.fromkeys(self.family(OBJECTIVE, name) for name in self.without_regularizer)
        return [self.variant(family) for family in families]

    def regularized(self) -> list[tuple[str, str, str]]:
        """(objective, regularizer, term) of all runs with a regularizer, then of all probes."""
        own = [(o, r, REGULARIZER) for o, r in self.pairs() if r != NO_REGULARIZER]
        probes = [
            (key[0], key[1], term)
            for key, rows in self._geffect.items()
            for term in dict.fromkeys(rows["term"])
            if term.startswith(PROBE)
        ]
        return [*own, *dict.fromkeys(probes)]

    def _of(
        self, frames: Mapping[tuple, pd.DataFrame], objective: str, regularizer: str, seed: int
    ) -> pd.DataFrame:
        try:
            return frames[objective, regularizer, seed]
        except KeyError:
            raise CannotTell(f"{objective}+{regularizer} seed{seed} is missing") from None


def _key(cell: Mapping) -> tuple[str, str, int]:
    return cell["objective"], cell["regularizer"], int(cell["seed"])


def _by_run(frame: pd.DataFrame, here: Mapping[str, str]) -> dict[tuple, pd.DataFrame]:
    if frame.empty:
        return {}
    chosen = frame[frame["model"].eq(here["model"]) & frame["split"].eq(here["split"])]
    groups: Iterable = chosen.groupby(CELL[2:], sort=False)
    return {(str(o), str(r), int(seed)): rows for (o, r, seed), rows in groups}
