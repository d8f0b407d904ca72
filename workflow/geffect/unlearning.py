"""One cell's unlearning run, from the original model to what it leaves behind."""

from functools import cached_property
from typing import Protocol

import pandas as pd

from geffect import files, frames, models, runtime, training
from geffect.cell import Cell
from geffect.registry import REFERENCE_NEEDS
from geffect.resume import Resume, State
from geffect.training import Outcome, Settings


class Watch(Protocol):
    """What looks at a cell's run every few steps."""

    def at(self, model, step: int) -> None:
        """At θ_t, with the model in evaluation mode."""

    def tables(self) -> dict[str, pd.DataFrame]:
        """What it has found so far."""

    def resume(self, model, tables: dict[str, pd.DataFrame]) -> None:
        """Takes up what it had found when it last saw this model."""


class Run:
    """A cell's run: the model that is trained, and the cell's draws.

    Args:
        cell: what is unlearned, and how.
        original: the folder of θ_o.
        device: where to compute (`models.device`).
    """

    def __init__(self, cell: Cell, original, device: str):
        self.cell, self.original, self.device = cell, original, device
        self.model = models.load(original, device)
        self.draws = cell.draw(self.model.config.hidden_size)

    @cached_property
    def _reference(self):
        return models.load(self.original, self.device)

    def reference(self, needs: frozenset):
        """θ_o where losses with these needs look at it (`registry.NEEDS`), None elsewhere."""
        return self._reference if needs & REFERENCE_NEEDS else None

    def train(
        self, settings: Settings, every: int, watch: Watch, what: str, resume: Resume | None = None
    ) -> Outcome:
        """Trains the model in place away from D_u.

        `watch` sees the model before the first update (step 0), after every `every`-th, and after
        the last one. With `resume`, a run that was killed goes on from its newest state.
        """
        cell = self.cell
        return training.train(
            self.model,
            cell.training_terms(settings),
            settings,
            len(cell.forget),
            what,
            reference=self.reference(cell.needs),
            control=self.draws.control_vector,
            watch=_EveryFewSteps(self.model, every, settings.steps(len(cell.forget)), watch),
            seed=cell.seed,
            resume=resume,
        )

    def save(self, outcome: Outcome, output, made_of: dict) -> None:
        """Writes what every run leaves behind.

        Args:
            outcome: of `train`.
            output: has the paths `model` (of a diverged run: the record of that), `draws`,
                `training` and `provenance`.
            made_of: `runtime.made_of` the job.
        """
        if outcome.diverged:
            models.record_divergence(output.model, *outcome.diverged)
            runtime.log.warning("diverged at step %d: %s", *outcome.diverged)
        else:
            models.save(self.model, self.cell.encoder.tokenizer, output.model)
        self.draws.save(output.draws)
        frames.write(outcome.frame(), output.training)
        files.write_json(_record(outcome, output, made_of), output.provenance)
        runtime.log.info("wrote %s", output.model)


class _EveryFewSteps:
    """Lets a watch see the model in evaluation mode, at both ends and every few steps."""

    def __init__(self, model, every: int, last: int, watch: Watch):
        self.model, self.every, self.last, self.watch = model, every, last, watch
        self.tables = watch.tables

    def start(self, state: State | None) -> None:
        self.model.eval()
        if state is None:
            self.watch.at(self.model, 0)
        else:
            self.watch.resume(self.model, state.tables)
        self.model.train()

    def after(self, step: int) -> None:
        if step % self.every == 0 or step == self.last:
            self.model.eval()
            self.watch.at(self.model, step)
            self.model.train()


def _record(outcome: Outcome, output, made_of: dict) -> dict:
    """What a run was made of: its cell, settings, code, and the hashes of data and weights."""
    record = runtime.record(made_of)
    record["weights"]["unlearned"] = runtime.hash_folder(output.model)
    return {**record, "diverged": outcome.diverged}
