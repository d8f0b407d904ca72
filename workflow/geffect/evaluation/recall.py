"""How much of some rows a model knows: before and after it relearns, or is rounded.

A part of the evaluation that takes teacher-forced passes alone, over any rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from geffect import frames
from geffect.data.encoding import Encoder, Example
from geffect.evaluation.metrics.exact_memorization import exact_memorization
from geffect.evaluation.metrics.truth_ratio import forget_score, retain_score, truth_ratio
from geffect.evaluation.teacher_forcing import Answer, read_answers, strengths
from geffect.names import RETAIN

TRUTH_RATIO = "truth_ratio"
METRICS = ("es_exact", "em", TRUTH_RATIO, "risk")
COLUMNS = ["metric", "dataset", "value"]
_FIELDS = ("paraphrased_answer", "perturbed_answer")


class Recall:
    """What is asked about the rows of some data sets.

    Args:
        encoder: with the model's tokenizer and prompt format.
        rows: data set -> its rows: `question`, `answer` and, for the truth ratio,
            `paraphrased_answer` and `perturbed_answer`.
        ratios: the data sets whose truth ratio is asked for.
        micro_batch_size: rows at once; results do not depend on it.

    Attributes:
        why: data set -> why its truth ratio is missing although it is asked for.

    Raises:
        DataError: a row has no question or answer, or is longer than the model's positions.
    """

    def __init__(
        self,
        encoder: Encoder,
        rows: Mapping[str, Sequence[Mapping]],
        ratios: Iterable[str],
        micro_batch_size: int,
    ):
        self.answers = {name: encoder.rows(own, f"{name} rows") for name, own in rows.items()}
        asked = list(ratios)
        found = {name: _lacking(rows[name]) for name in asked}
        self.why = {name: reason for name, reason in found.items() if reason}
        self.others = {
            name: [_others(encoder, row) for row in rows[name]]
            for name in asked
            if name not in self.why
        }
        self.asked, self.micro_batch_size = asked, micro_batch_size

    def table(self, model: PreTrainedModel) -> pd.DataFrame:
        """What a model says, in evaluation mode.

        Returns:
            `metric`, `dataset`, `value` (float64): es_exact, em (means over rows), risk (the mean
            over all label tokens, nats) and, where it is asked for, truth_ratio (geometric; on
            retained rows mean max(0, 1 - TR), else mean min(TR, 1/TR)). Missing where a row's NLL
            is not finite, and the truth ratio where rows lack its fields (`why`).
        """
        rows = []
        for name, examples in self.answers.items():
            answers = read_answers(model, examples, self.micro_batch_size)
            rows += [
                ("es_exact", name, float(np.mean(strengths(answers)))),
                ("em", name, float(np.mean([_memorization(answer) for answer in answers]))),
            ]
            if name in self.asked:
                rows.append((TRUTH_RATIO, name, self._truth_ratio(model, name)))
            rows.append(("risk", name, _risk(answers, examples)))
        return pd.DataFrame(rows, columns=COLUMNS).astype({"value": "float64"})

    def _truth_ratio(self, model: PreTrainedModel, name: str) -> float:
        if name in self.why:
            return math.nan
        texts = [text for right, wrong in self.others[name] for text in (right, *wrong)]
        read = iter([a.nll for a in read_answers(model, texts, self.micro_batch_size)])
        nll = [(next(read), [next(read) for _ in wrong]) for _, wrong in self.others[name]]
        ratios = truth_ratio([right for right, _ in nll], [wrong for _, wrong in nll])
        return retain_score(ratios) if name == RETAIN else forget_score(ratios)


def write(
    tables: Mapping[int, pd.DataFrame],
    by: str,
    wanted: Iterable[int],
    missing: pd.DataFrame,
    key: Mapping[str, object],
    path: str | Path,
) -> None:
    """Writes the tables of several weights as one.

    Args:
        tables: number -> the table of the weights that it stands for, such as those after an epoch.
        by: the column of those numbers.
        wanted: the numbers that the table is to have, in this order.
        missing: stands where there is no table (`nothing`).
        key: the keys of a cell, or of a reference model.
        path: of the table, with CELL, `by`, and `COLUMNS`.
    """
    found = [tables.get(number, missing).assign(**{by: number}) for number in wanted]
    table = pd.concat(found, ignore_index=True)[[by, *COLUMNS]]
    frames.write(frames.with_cell(table, key), path)


def nothing(datasets: Iterable[str], ratios: Iterable[str]) -> pd.DataFrame:
    """The table of a model that there is not: every value is missing."""
    asked = set(ratios)
    rows = [
        (metric, name, math.nan)
        for name in datasets
        for metric in METRICS
        if metric != TRUTH_RATIO or name in asked
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": "float64"})


def _lacking(rows: Sequence[Mapping]) -> str | None:
    """Which field of the truth ratio the first row lacks that is not complete, in a few words."""
    for number, row in enumerate(rows):
        for field in _FIELDS:
            if row.get(field) is None or len(row[field]) == 0:
                return f"row {row.get('row', number)} has no {field}"
    return None


def _others(encoder: Encoder, row: Mapping) -> tuple[Example, list[Example]]:
    """The paraphrased answer of a row, and its wrong ones."""
    right = encoder(row["question"], row["paraphrased_answer"])
    return right, [encoder(row["question"], wrong) for wrong in row["perturbed_answer"]]


def _memorization(answer: Answer) -> float:
    if not math.isfinite(answer.nll):
        return math.nan
    return exact_memorization(answer.predicted, answer.target)


def _risk(answers: Sequence[Answer], examples: Sequence[Example]) -> float:
    """Pooled over label tokens, EOS among them, as the risk of a G-effect is."""
    tokens = np.array([len(example.labels) for example in examples])
    sums = np.array([answer.nll for answer in answers]) * tokens
    risk = float(sums.sum() / tokens.sum())
    return risk if math.isfinite(risk) else math.nan
