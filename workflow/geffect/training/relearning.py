"""Relearning: an unlearned model is fine-tuned on a few rows of what it was to forget."""

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from transformers import PreTrainedModel

from geffect.data.encoding import Example
from geffect.models.adapters import adapt
from geffect.training.fit import fitted
from geffect.training.loop import Outcome
from geffect.training.settings import TrainingSettings
from geffect.training.shares import Displacement

Look = Callable[[PreTrainedModel, int], None]
"""Looks at a model, in evaluation mode, after a number of epochs."""


class Epochs:
    """An observer that lets somebody look before the first update and after every epoch.

    Epoch k ends with update ⌊k · rows / batch⌋: batches run across the borders of epochs.

    Args:
        rows: number of rows of an epoch, a full batch at least.
        settings: of the run; its epochs are a whole number.
        look: what is called.
    """

    def __init__(self, rows: int, settings: TrainingSettings, look: Look):
        ends = range(int(settings.epochs) + 1)
        self.ends = {math.floor(k * rows / settings.batch_size): k for k in ends}
        self.look = look

    def at(self, model: PreTrainedModel, step: int, moved: Mapping[str, Displacement]) -> None:
        """Looks if an epoch ends here."""
        if step in self.ends:
            self.look(model, self.ends[step])

    def state(self) -> dict[str, pd.DataFrame]:
        """Nothing: what was seen is kept by whoever looked."""
        return {}

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Relearning starts over instead."""
        raise NotImplementedError


def relearn(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: TrainingSettings,
    seed: int,
    what: str,
    look: Look,
) -> Outcome:
    """Fine-tunes a model in place on the risk of a few forget rows, by adapters if so set.

    Order and batches depend on the seed and the number of rows alone, so that models which are to
    be compared are treated alike.

    Args:
        examples: the rows that are learnt again, a full batch at least.
        settings: of the run; its epochs are a whole number.
        seed: of the order of rows and of what the model draws.
        what: the name of the run in progress lines and errors.
        look: called with the model in evaluation mode before the first update (epoch 0) and after
            every epoch; not any more once the run has diverged.

    Returns:
        The log of the run (`loop.train`).

    Raises:
        ConfigError: there is not a single full batch.
    """
    if settings.lora is not None:
        adapt(model, seed, **settings.lora)
    epochs = Epochs(len(examples), settings, look)
    return fitted(model, examples, settings, seed, what, observer=epochs)
