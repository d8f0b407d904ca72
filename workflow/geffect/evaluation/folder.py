"""The evaluation of a model, or of a model folder with a record of what was evaluated."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect import files, frames
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.errors import DamagedError, ModelError
from geffect.evaluation import summary
from geffect.evaluation.samples import EvaluationSettings, samples
from geffect.models.folder import diverged, load_model
from geffect.names import EVALUATION_SETS, HOLDOUT

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The per-row log, the metrics, and the record of what was evaluated.

    Attributes:
        samples: a row per question (`samples.samples`).
        metrics: `metric`, `dataset`, `value`, `low`, `high` (`summary.metrics`).
        record: hashes of weights and data, settings; empty for a model in memory.
    """

    samples: pd.DataFrame
    metrics: pd.DataFrame
    record: dict[str, Any]

    def write(self, output: Any, provenance: Mapping[str, Any]) -> None:
        """Writes `output.samples` and `output.metrics` (parquet), and `output.record` (JSON), which
        is the record together with `provenance`.
        """
        frames.write(self.samples, output.samples)
        frames.write(self.metrics, output.metrics)
        files.write_json({**self.record, **provenance}, output.record)
        log.info("wrote %s", output.metrics)


def evaluate(
    model: PreTrainedModel,
    encoder: Encoder,
    data: Mapping[str, list[dict]],
    settings: EvaluationSettings | None = None,
    retain_log: pd.DataFrame | None = None,
    is_retain: bool = False,
) -> Evaluation:
    """Evaluates a model.

    Args:
        model: in eval mode.
        encoder: with the model's tokenizer and prompt format.
        data: the rows of each of `names.EVALUATION_SETS` (see `samples.samples`); `holdout` may be
            left out, and then membership inference is missing.
        settings: None for the defaults.
        retain_log: `samples` of the evaluation of the matching retain model, None where there is
            none: metrics that compare with it are missing.
        is_retain: whether this is that model itself.

    Returns:
        The per-row log and the metrics, with an empty record.

    Raises:
        DataError: a row is not complete, or the retain model's log is of other rows.
    """
    chosen = settings or EvaluationSettings()
    own_log = samples(model, encoder, data, chosen)
    if not own_log["dataset"].eq(HOLDOUT).any():
        log.warning("no holdout rows: membership inference is not available")
    metrics = summary.metrics(own_log, own_log if is_retain else retain_log, chosen)
    return Evaluation(own_log, metrics, {})


def evaluate_folder(
    folder: str | Path,
    template: dict,
    data: Mapping[str, str | Path],
    settings: EvaluationSettings,
    device: torch.device | str,
    retain_log: pd.DataFrame | None = None,
    is_retain: bool = False,
    provenance: str | Path | None = None,
) -> Evaluation:
    """Evaluates the model of a folder.

    Args:
        folder: written by `save_pretrained`, with its tokenizer; or the record of a diverged run.
        template: arguments of `Template`.
        data: the file of each of `names.EVALUATION_SETS` (`holdout` may be left out).
        retain_log, is_retain: as for `evaluate`.
        provenance: the record of the unlearning run that left this folder.

    Raises:
        DamagedError: the weights are not those that the run left.
        ModelError: the weights are those that the run started from.
        DataError: a row is not complete, or the retain model's log is of other rows.
    """
    weights = files.hash_folder(folder)
    record = {
        "model": str(folder),
        "weights": weights,
        "template": template,
        "data": {name: files.sha256(path) for name, path in data.items()},
        "settings": asdict(settings),
    }
    if diverged(folder):
        log.warning("the run diverged: its metrics are missing")
        return Evaluation(*summary.missing(), record)
    if provenance is not None:
        check_moved(weights, files.read_json(provenance)["weights"], folder)
    evaluation = evaluate(
        load_model(folder, device),
        Encoder.of(folder, template),
        {name: read_rows(data[name]) for name in EVALUATION_SETS if name in data},
        settings,
        retain_log,
        is_retain,
    )
    return Evaluation(evaluation.samples, evaluation.metrics, record)


def holds_weights(folder: str | Path, provenance: str | Path | None = None) -> bool:
    """Whether a folder holds a model, and not the record of a diverged run.

    Args:
        provenance: the record of the unlearning run that left this folder.

    Raises:
        DamagedError, ModelError: as `check_moved`.
    """
    if diverged(folder):
        log.warning("the run diverged: its values are missing")
        return False
    if provenance is not None:
        check_moved(files.hash_folder(folder), files.read_json(provenance)["weights"], folder)
    return True


def check_moved(weights: dict, of_run: Mapping[str, dict], folder: str | Path) -> None:
    """Checks that weights are those that a run left, and not those that it started from.

    Args:
        weights: file -> hash, of the folder that is evaluated.
        of_run: `original` and `unlearned`, the same for what the run started from and left.

    Raises:
        DamagedError: the weights are not those that the run left.
        ModelError: the weights are those that the run started from.
    """
    if weights != of_run["unlearned"]:
        raise DamagedError(folder, "its weights are damaged: they are not those that its run wrote")
    if weights == of_run["original"]:
        raise ModelError(
            f"{folder}: its weights are the original model's although steps were taken; raise "
            "learning_rate, or see its training.parquet"
        )
