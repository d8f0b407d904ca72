"""The full evaluation of chosen steps of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from geffect import files
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.errors import DamagedError
from geffect.evaluation import summary
from geffect.evaluation.folder import evaluate
from geffect.evaluation.samples import EvaluationSettings
from geffect.models.adapters import load_merged
from geffect.names import EVALUATION_SETS
from geffect.progress import Progress


def evaluate_steps(
    steps: Sequence[int],
    done: int,
    known: Mapping[int, pd.DataFrame],
    checkpoints: str | Path,
    original: str | Path,
    encoder: Encoder,
    data: Mapping[str, str | Path],
    settings: EvaluationSettings,
    device: torch.device | str,
    retain_log: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """Evaluates the checkpoints of some steps.

    Args:
        steps: those that are asked for, in order.
        done: the updates after which the run's weights were finite: its last one, unless it
            diverged.
        known: step -> its metrics, where they are known already.
        checkpoints: the folder with the others (`models.checkpoints.Checkpoints`).
        original: the folder of θ_o, for checkpoints that hold adapters alone.
        encoder: with the tokenizer of the run, since checkpoints have none of their own.
        data: the file of each of `names.EVALUATION_SETS` (`holdout` may be left out).
        retain_log: as for `folder.evaluate`.

    Returns:
        `step` and the columns of `summary.metrics`; values are missing at steps after `done`. And
        by step the hashes of the weights that were evaluated here.

    Raises:
        DamagedError: a checkpoint is not there.
        DataError: a row is not complete, or the retain model's log is of other rows.
    """
    rows = {name: read_rows(data[name]) for name in EVALUATION_SETS if name in data}
    frames, weights = [], {}
    progress = Progress("evaluated steps", len(steps))
    for number, step in enumerate(steps, start=1):
        folder = files.step_folder(checkpoints, step)
        if step > done:
            metrics = summary.missing()[1]
        elif step in known:
            metrics = known[step]
        elif folder.is_dir():
            weights[str(step)] = files.hash_folder(folder)
            model = load_merged(folder, original, device)
            metrics = evaluate(model, encoder, rows, settings, retain_log).metrics
            del model  # two models at once may not fit
        else:
            raise DamagedError(folder, "is not there, although the run came that far")
        frames.append(metrics.assign(step=step)[["step", *metrics.columns]])
        progress.step(number)
    return pd.concat(frames, ignore_index=True), weights
