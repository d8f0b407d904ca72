"""Base training and fine-tuning: they minimise the risk of all examples."""

from collections.abc import Sequence

import pandas as pd
from transformers import PreTrainedModel

from geffect.data.draws import generator, order
from geffect.data.encoding import Example
from geffect.errors import ModelError
from geffect.losses.loss import RISK
from geffect.training.loop import Observer, Outcome, train
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings


def fit(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: TrainingSettings,
    seed: int,
    what: str,
    resume: Resume | None = None,
) -> pd.DataFrame:
    """Trains a model in place on the risk of all examples; returns the log (`loop.train`).

    Args:
        seed: of the order of rows and of what the model draws.
        what: the name of the run in progress lines and errors.

    Raises:
        ConfigError: there is not a single full batch.
        ModelError: the run diverged.
    """
    outcome = fitted(model, examples, settings, seed, what, resume)
    if outcome.diverged is not None:
        step, reason = outcome.diverged
        raise ModelError(f"{what}: diverged at step {step} ({reason}); lower learning_rate")
    return outcome.frame()


def fitted(
    model: PreTrainedModel,
    examples: Sequence[Example],
    settings: TrainingSettings,
    seed: int,
    what: str,
    resume: Resume | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """The same with whatever became of the run, which `observer` looks at after every update.

    Raises:
        ConfigError: there is not a single full batch.
    """
    rows = order(
        len(examples),
        settings.steps(len(examples)),
        settings.batch_size,
        generator(seed, "order"),
        [len(example) for example in examples],
        settings.length_bucket,
    )
    return train(
        model,
        {"risk": RISK},
        {"risk": lambda step: [examples[i] for i in rows[step - 1]]},
        settings,
        len(examples),
        what,
        observer=observer,
        seed=seed,
        resume=resume,
    )
