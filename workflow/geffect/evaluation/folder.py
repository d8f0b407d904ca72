"""The evaluation of a model folder on data files, and what it was an evaluation of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from geffect import files, frames, models, runtime
from geffect.encoding import Encoder
from geffect.errors import DamagedError, ModelError
from geffect.evaluation import summary
from geffect.evaluation.samples import DATASETS, Settings, samples
from geffect.rows import read_rows


@dataclass(frozen=True)
class Evaluation:
    """The per-row log, the metrics, and the record of what was evaluated."""

    samples: pd.DataFrame
    metrics: pd.DataFrame
    record: dict

    def write(self, output) -> None:
        """Writes `output.samples`, `output.metrics` (parquet) and `output.record` (JSON)."""
        frames.write(self.samples, output.samples)
        frames.write(self.metrics, output.metrics)
        files.write_json(self.record, output.record)
        runtime.log.info("wrote %s", output.metrics)


def evaluate(
    folder,
    template: dict,
    data: Mapping[str, str],
    settings: Settings,
    device: str,
    retain_log: pd.DataFrame | None = None,
    is_retain: bool = False,
    provenance=None,
) -> Evaluation:
    """Evaluates the model of a folder.

    Args:
        folder: written by `save_pretrained`, with its tokenizer; or the record of a diverged run.
        template: arguments of `templates.Template`.
        data: the file of each of `samples.DATASETS` (`holdout` may be lacking).
        retain_log: the per-row log of the matching retain model, None where there is none.
        is_retain: this is that model itself.
        provenance: the record of the unlearning run that left this folder.

    Raises:
        DamagedError: the weights are not those that the run left.
        ModelError: they are those that it started from.
        DataError: a row is not complete, or the retain model's log is of other rows.
    """
    weights = runtime.hash_folder(folder)
    record = {
        "model": str(folder),
        "weights": weights,
        "template": template,
        "data": {name: runtime.sha256(path) for name, path in data.items()},
        "settings": asdict(settings),
        **runtime.provenance(),
    }
    if models.diverged(folder):
        runtime.log.warning("the run diverged: its metrics are missing")
        return Evaluation(*summary.missing(), record)
    if provenance is not None:
        check_moved(weights, files.read_json(provenance)["weights"], folder)
    log = samples(
        models.load(folder, device),
        Encoder.of(folder, template),
        {name: read_rows(data[name]) for name in DATASETS if name in data},
        settings,
    )
    if not log["dataset"].eq("holdout").any():
        runtime.log.warning("no holdout rows: membership inference is not available")
    found = summary.metrics(log, log if is_retain else retain_log, settings)
    return Evaluation(log, found, record)


def check_moved(weights: dict, of_run: Mapping[str, dict], folder) -> None:
    """Returns if the weights are those that a run left, and not its first ones.

    Args:
        weights: file -> hash, of the folder that is evaluated.
        of_run: `original` and `unlearned`, the same for what the run started from and left.

    Raises:
        DamagedError: they are not those that it left.
        ModelError: they are those that it started from.
    """
    if weights != of_run["unlearned"]:
        raise DamagedError(folder, "its weights are damaged: not those that its run left")
    if weights == of_run["original"]:
        raise ModelError(
            f"{folder}: its weights are the original model's although steps were taken; raise "
            "learning_rate, or see its training.parquet"
        )
