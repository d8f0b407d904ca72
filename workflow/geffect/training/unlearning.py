"""One cell's unlearning run, from the original model to the files that it leaves behind."""

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect import frames
from geffect.cells.cell import Cell
from geffect.losses.loss import Loss
from geffect.models import adapters, folder
from geffect.training.loop import Observer, Outcome, Select, train
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings
from geffect.training.shares import Displacement

log = logging.getLogger(__name__)


class Observers:
    """Several observers of one run, which look one after another; one of them may have tables."""

    def __init__(self, *observers: Observer):
        self.observers = observers

    def at(self, model: PreTrainedModel, step: int, moved: Mapping[str, Displacement]) -> None:
        """Lets all of them look."""
        for observer in self.observers:
            observer.at(model, step, moved)

    def state(self) -> dict[str, pd.DataFrame]:
        """The tables of all of them."""
        return {name: t for observer in self.observers for name, t in observer.state().items()}

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Lets all of them continue."""
        for observer in self.observers:
            observer.resume(model, state)


class Run:
    """A cell's run: the model that is trained, and the cell's draws.

    Args:
        cell: what is unlearned, and how.
        original: the folder of θ_o.
        device: where to compute.
        lora: the keys of `lora` in the configuration, for adapters that are trained instead of
            the whole model; None for none.

    Raises:
        ModelError: the folder holds no usable model.
        DamagedError: it is not complete, or a weight is not a finite number.
    """

    def __init__(
        self,
        cell: Cell,
        original: str | Path,
        device: torch.device | str,
        lora: Mapping[str, Any] | None = None,
    ):
        self.cell, self._folder, self._device = cell, original, device
        self.model = folder.load_model(original, device)
        folder.check_finite(self.model, original)
        if lora is not None:
            adapters.adapt(self.model, cell.seed, **lora)
        self.draws = cell.draw(self.model.config.hidden_size)

    @cached_property
    def original(self) -> PreTrainedModel:
        """θ_o, loaded when something first looks at it."""
        return adapters.original_beside(self.model, self._folder, self._device)

    @cached_property
    def losses(self) -> dict[str, Loss]:
        """The cell's losses, bound to its draws, and to θ_o where they need more of it than the
        log-probabilities of labels, which a run computes at its start.
        """
        return {name: self._bound(loss) for name, loss in self.cell.losses.items()}

    def train(
        self,
        settings: TrainingSettings,
        every: int,
        observer: Observer,
        what: str,
        resume: Resume | None = None,
        select: Select | None = None,
    ) -> Outcome:
        """Unlearns D_u: trains the model in place with the cell's losses.

        `observer` looks at the model before the first update (step 0), after every `every`-th, and
        after the last one. With `resume`, a killed run continues from its newest state; `select`
        takes labels out of the objective's batches (`effects.selection`).

        Raises:
            ConfigError: there is not a single full batch.
        """
        cell, steps = self.cell, settings.steps(len(self.cell.forget))
        return train(
            self.model,
            self.losses,
            cell.visits(steps, settings.batch_size, settings.length_bucket),
            settings,
            len(cell.forget),
            what,
            observer=observer,
            every=every,
            seed=cell.seed,
            resume=resume,
            select=select,
        )

    def _bound(self, loss: Loss) -> Loss:
        original = self.original if loss.keeps_original else None
        return loss.bind(original, self.draws.control_vector)

    def save(self, outcome: Outcome, output: Any) -> None:
        """Writes the files that every run leaves behind; adapters are merged for it, in place.

        Args:
            outcome: of `train`.
            output: has the paths `model` (where a diverged run leaves its record instead), `draws`
                and `training`.
        """
        if outcome.diverged:
            folder.record_divergence(output.model, *outcome.diverged)
            log.warning("diverged at step %d: %s", *outcome.diverged)
        else:
            adapters.save_model(self.model, self.cell.encoder.tokenizer, output.model)
        self.draws.save(output.draws)
        frames.write(outcome.frame(), output.training)
        log.info("wrote %s", output.model)
