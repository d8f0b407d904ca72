"""The per-row log of an evaluation: every number that enters a metric, and the generated texts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from geffect.data.encoding import Encoder, Example
from geffect.errors import ConfigError, DataError
from geffect.evaluation.metrics.membership import zlib_score
from geffect.evaluation.metrics.probability import answer_probability, choice_probability
from geffect.evaluation.metrics.rouge import rouge_l_recall
from geffect.evaluation.metrics.truth_ratio import truth_ratio
from geffect.evaluation.passes import generate, gradient_norms, score
from geffect.names import EVALUATION_SETS, HOLDOUT, MEMBERSHIP_SETS, TOFU_SETS

SAMPLES = [
    "dataset",
    "row",
    "question",
    "answer",
    "generated",
    "nll",
    "nll_paraphrased",
    "nll_perturbed",
    "es_exact",
    "es_perturb",
    "em",
    "probability",
    "rouge",
    "truth_ratio_geometric",
    "truth_ratio_arithmetic",
    "mia_loss",
    "mia_zlib",
    "mia_min_k",
    "mia_min_k_plus_plus",
    "mia_gradient_norm",
]


TRUTH_RATIOS = ("geometric", "arithmetic")


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate; the keys of the configuration's `evaluation`, but for `at`.

    Attributes:
        micro_batch_size: rows at once; results do not depend on it.
        max_rows: limits every data set to its first rows (None: all; TOFU's own logs use 300).
        truth_ratio: the form used for Model Utility and display, "geometric" or "arithmetic";
            Forget Quality is always geometric.
        generation_length: tokens of a generation, prompt included (TOFU: 200).
        gradient_norm: whether to compute that membership score, one backward pass per row.
        bootstrap: the number of resamples for the intervals; 0 for no intervals.

    Raises:
        ConfigError: a value is out of range.
    """

    micro_batch_size: int = 32
    max_rows: int | None = None
    truth_ratio: str = "geometric"
    generation_length: int = 200
    gradient_norm: bool = True
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        lowest = {"micro_batch_size": 1, "max_rows": 1, "generation_length": 1, "bootstrap": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if name == "max_rows" and value is None:
                continue
            if type(value) is not int or value < least:
                raise ConfigError(f"{name}: {value!r} is not an integer of at least {least}")
        if self.truth_ratio not in TRUTH_RATIOS:
            raise ConfigError(
                f"truth_ratio: {self.truth_ratio!r} is none of {', '.join(TRUTH_RATIOS)}"
            )


def samples(
    model: PreTrainedModel,
    encoder: Encoder,
    data: Mapping[str, Sequence[dict]],
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """The per-row log of an evaluation.

    Args:
        data: `unlearn` and `retain` rows (question, answer, paraphrased_question,
            paraphrased_answer, perturbed_answer), `real_authors` and `world_facts` rows
            (question, answer, perturbed_answer), and perhaps `holdout` rows (question, answer).

    Returns:
        A row per question: `dataset`, `row`, `question`, `answer`, `generated`, `nll` and
        `nll_paraphrased` (mean per label token, nats), `nll_perturbed` (list), `es_exact`,
        `es_perturb`, `em`, `probability`, `rouge`, `truth_ratio_geometric`,
        `truth_ratio_arithmetic`, and the membership scores `mia_*` of the forget and holdout rows.
        What a data set does not have is missing.

    Raises:
        DataError: a row lacks a field that its metrics need.
    """
    kept = {name: list(data.get(name, ()))[: settings.max_rows] for name in EVALUATION_SETS}
    texts: dict[tuple[str, int, str], Example] = {}
    for dataset, rows in kept.items():
        for number, row in enumerate(rows):
            for text, example in _texts(encoder, dataset, number, row):
                texts[dataset, number, text] = example
    scores = score(model, list(texts.values()), settings.micro_batch_size)
    score_of = dict(zip(texts, scores, strict=True))
    asked = [key for key in texts if key[2] == "answer" and key[0] != HOLDOUT]
    answers = generate(
        model,
        encoder.tokenizer,
        [texts[key].prompt for key in asked],
        settings.generation_length,
        settings.micro_batch_size,
    )
    generated = {key[:2]: answer for key, answer in zip(asked, answers, strict=True)}
    norms: dict[tuple[str, int], float] = {}
    if settings.gradient_norm and kept[HOLDOUT]:
        suspects = [key for key in texts if key[2] == "answer" and key[0] in MEMBERSHIP_SETS]
        values = gradient_norms(model, [texts[key] for key in suspects])
        norms = {key[:2]: value for key, value in zip(suspects, values, strict=True)}
    log = [
        _sample(dataset, number, row, score_of, generated, norms)
        for dataset, rows in kept.items()
        for number, row in enumerate(rows)
    ]
    return _ratios(pd.DataFrame(log))[SAMPLES]


def _texts(encoder: Encoder, dataset: str, number: int, row: dict) -> Iterator[tuple[str, Example]]:
    """The texts of a row that are scored, by name."""
    _check_row(row, dataset, number)
    yield "answer", encoder(row["question"], row["answer"])
    if dataset in TOFU_SETS:
        yield "perturb", encoder(row["paraphrased_question"], row["answer"])
        yield "para", encoder(row["question"], row["paraphrased_answer"])
    if dataset != HOLDOUT:
        for j, wrong in enumerate(row["perturbed_answer"]):
            yield f"wrong{j}", encoder(row["question"], wrong)


def _check_row(row: dict, dataset: str, number: int) -> None:
    needed = ["question", "answer"]
    if dataset != HOLDOUT:
        needed += ["perturbed_answer"]
    if dataset in TOFU_SETS:
        needed += ["paraphrased_question", "paraphrased_answer"]
    for name in needed:
        value = row.get(name)
        if value is None or len(value) == 0:
            raise DataError(f"evaluation data {dataset}, row {number}: no {name}; complete the row")


def _sample(
    dataset: str, number: int, row: dict, score_of: Mapping, generated: Mapping, norms: Mapping
) -> dict:
    """One row of the log, without what is computed from its NLLs."""
    exact = score_of[dataset, number, "answer"]
    result = {
        "dataset": dataset,
        "row": row.get("row", number),
        "question": row["question"],
        "answer": row["answer"],
        "generated": generated.get((dataset, number)),
        "nll": exact.nll,
        "nll_paraphrased": exact.nll,
        "nll_perturbed": [
            score_of[dataset, number, f"wrong{j}"].nll
            for j in range(0 if dataset == HOLDOUT else len(row["perturbed_answer"]))
        ],
    }
    # Without finite logits the arg max, and any text generated with it, mean nothing: an extraction
    # strength of 0 would pass for perfect forgetting. What is left out here is missing.
    finite = math.isfinite(exact.nll)
    if dataset != HOLDOUT and finite:
        result["rouge"] = _rouge(generated[dataset, number], row["answer"], dataset, number)
    if dataset in TOFU_SETS:
        perturb = score_of[dataset, number, "perturb"]
        result["nll_paraphrased"] = score_of[dataset, number, "para"].nll
        if finite:
            result |= {"es_exact": exact.extraction_strength, "em": exact.exact_memorization}
        if math.isfinite(perturb.nll):
            result["es_perturb"] = perturb.extraction_strength
    if dataset in MEMBERSHIP_SETS and finite:
        result |= {
            "mia_loss": exact.nll,
            "mia_zlib": zlib_score(exact.nll, row["answer"]),
            "mia_min_k": exact.min_k,
            "mia_min_k_plus_plus": exact.min_k_plus_plus,
            "mia_gradient_norm": norms.get((dataset, number), math.nan),
        }
    return result


def _rouge(generated: str, answer: str, dataset: str, number: int) -> float:
    try:
        return rouge_l_recall(generated, answer)
    except ValueError as error:
        raise DataError(f"evaluation data {dataset}, row {number}: {error}") from error


def _ratios(log: pd.DataFrame) -> pd.DataFrame:
    """Adds `probability`, both truth ratios, and the columns that no row has."""
    log = log.reindex(columns=[*dict.fromkeys([*log.columns, *SAMPLES])])
    asked = log["dataset"].ne(HOLDOUT)
    rows = log[asked]
    wrong = rows["nll_perturbed"].tolist()
    for form in ("geometric", "arithmetic"):
        ratios = truth_ratio(rows["nll_paraphrased"], wrong, form=form)
        log.loc[asked, f"truth_ratio_{form}"] = ratios
    absolute, chosen = answer_probability(rows["nll"]), choice_probability(rows["nll"], wrong)
    log.loc[asked, "probability"] = np.where(rows["dataset"].isin(TOFU_SETS), absolute, chosen)
    texts = ["dataset", "row", "question", "answer", "generated", "nll_perturbed"]
    numbers = log.columns.difference(texts)
    return log.astype(dict.fromkeys(numbers, "float64"))
