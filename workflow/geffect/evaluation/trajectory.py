"""What a model still knows along its run, read from passes that are made anyway.

The G-effects of a measured step take a pass over D_u and one over D_r, whose log-probabilities and
arg max tell everything that is written here. A pass of its own is made only where those are not
over the held-out rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from transformers import PreTrainedModel

from geffect.cells.cell import Cell
from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.data.rows import read_rows
from geffect.evaluation.metrics.probability import answer_probability
from geffect.evaluation.teacher_forcing import Answer, answers, read_answers, strengths
from geffect.losses.view import View
from geffect.names import RETAIN, TOFU_SETS


class Trajectory:
    """Collects the answers of a measured step; at its end, a table.

    Args:
        micro_batch_size: rows at once in a pass of its own.
        max_rows: only the first rows of each data set count, as in the evaluation (None: all).
        held_out: the held-out rows, where the passes over D_r are not over them: what these show
            is left out, and a pass of its own is made. None where they are.
    """

    def __init__(
        self,
        micro_batch_size: int,
        max_rows: int | None = None,
        held_out: Sequence[Example] | None = None,
    ):
        self.micro_batch_size, self.max_rows, self.held_out = micro_batch_size, max_rows, held_out
        self._answers: dict[str, dict[int, Answer]] = {}

    @classmethod
    def of_job(cls, cell: Cell, files: Any, settings: Any) -> "Trajectory":
        """From tables and resolved configuration.

        Args:
            files: has the path `held_out`.
            settings: has `retain_rows` ("held_out", or "train" where D_r is training rows),
                `micro_batch_size` and `max_rows`.
        """
        held_out = None
        if settings.retain_rows != "held_out":
            rows = read_rows(files.held_out)[: settings.max_rows]
            held_out = cell.encoder.rows(rows, "held-out rows")
        return cls(settings.micro_batch_size, settings.max_rows, held_out)

    def see(self, dataset: str, numbers: NDArray[np.integer], batch: Batch, seen: View) -> None:
        """Takes in what a pass over a batch gave.

        Args:
            dataset: "unlearn" or "retain".
            numbers: the numbers of the batch's rows [B].
            seen: with logits.
        """
        if dataset == RETAIN and self.held_out is not None:
            return
        assert seen.logits is not None
        read = answers(batch, seen.logits, seen.logp, seen.mask)
        self._answers.setdefault(dataset, {}).update(zip(numbers.tolist(), read, strict=True))

    def table(self, model: PreTrainedModel) -> pd.DataFrame:
        """The table of everything seen since the last call, and of `model`'s own pass if need be.

        Returns:
            `metric`, `dataset`, `value` (float64): as the evaluation defines them, es_exact (mean
            over rows), probability (mean of exp(-ℓ) over rows) and nll (mean of ℓ over rows, nats;
            ℓ is the mean per label token of a row). Missing where an ℓ is not finite.
        """
        found = self._answers
        if self.held_out is not None:
            own = read_answers(model, self.held_out, self.micro_batch_size)
            found[RETAIN] = dict(enumerate(own))
        self._answers = {}
        rows = [
            (metric, dataset, value)
            for dataset in TOFU_SETS
            for metric, value in self._values(found[dataset]).items()
        ]
        return pd.DataFrame(rows, columns=["metric", "dataset", "value"])

    def _values(self, by_number: dict[int, Answer]) -> dict[str, float]:
        chosen = [by_number[number] for number in range(len(by_number))][: self.max_rows]
        nll = np.array([answer.nll for answer in chosen])
        return {
            "es_exact": float(np.mean(strengths(chosen))),
            "probability": float(np.mean(answer_probability(nll))),
            "nll": float(np.mean(np.where(np.isfinite(nll), nll, np.nan))),
        }
