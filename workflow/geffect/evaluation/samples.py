"""The per-row log of an evaluation: every number that enters a metric, and the generated texts."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from transformers import PreTrainedModel

from geffect.data.encoding import Encoder, Example
from geffect.data.rows import plain
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


PERTURBED = ("paraphrased_question", "paraphrased_answer", "perturbed_answer")
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
            A data set may lack a field beyond these two in all its rows, or have None or NaN there,
            as pandas reads it. Rows with an empty question are running text (`Encoder.rows`).

    Returns:
        A row per question: `dataset`, `row`, `question`, `answer`, `generated`, `nll` and
        `nll_paraphrased` (mean per label token, nats), `nll_perturbed` (list), `es_exact`,
        `es_perturb`, `em`, `probability`, `rouge`, `truth_ratio_geometric`,
        `truth_ratio_arithmetic`, and the membership scores `mia_*` of the forget and holdout rows.
        What a data set does not have is missing, and what needs it: truth ratios and the
        probability of real authors and world facts without paraphrased or perturbed answers,
        `es_perturb` without paraphrased questions. Of running text there are `es_exact`, `em`,
        `probability` and the membership scores.

    Raises:
        DataError: a row lacks a field that others of its data set have.
    """
    kept = {
        name: [plain(row) for row in list(data.get(name, ()))[: settings.max_rows]]
        for name in EVALUATION_SETS
    }
    texts: dict[tuple[str, int, str], Example] = {}
    for dataset, rows in kept.items():
        fields = _fields(dataset, rows)
        for number, row in enumerate(rows):
            for text, example in _texts(encoder, dataset, number, row, fields):
                texts[dataset, number, text] = example
    scores = score(model, list(texts.values()), settings.micro_batch_size)
    score_of = dict(zip(texts, scores, strict=True))
    asked = [
        key
        for key in texts
        if key[2] == "answer" and key[0] != HOLDOUT and kept[key[0]][key[1]]["question"]
    ]
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


def _fields(dataset: str, rows: Sequence[dict]) -> list[str]:
    """The fields beyond question and answer that a data set has, of those that its metrics need."""
    needed = {HOLDOUT: [], **dict.fromkeys(TOFU_SETS, PERTURBED)}.get(dataset, PERTURBED[-1:])
    asked = [row for row in rows if row.get("question")]
    return [name for name in needed if any(_there(row, name) for row in asked)]


def _there(row: dict, name: str) -> bool:
    return row.get(name) is not None and len(row[name]) > 0


def _texts(
    encoder: Encoder, dataset: str, number: int, row: dict, fields: Sequence[str]
) -> Iterator[tuple[str, Example]]:
    """The texts of a row that are scored, by name."""
    _check_row(row, dataset, number, fields)
    question = row["question"] or ""
    yield "answer", encoder(question, row["answer"], row.get("last", True))
    if not question:
        return
    if "paraphrased_question" in fields:
        yield "perturb", encoder(row["paraphrased_question"], row["answer"])
    if "paraphrased_answer" in fields:
        yield "para", encoder(question, row["paraphrased_answer"])
    if "perturbed_answer" in fields:
        for j, wrong in enumerate(row["perturbed_answer"]):
            yield f"wrong{j}", encoder(question, wrong)


def _check_row(row: dict, dataset: str, number: int, fields: Sequence[str]) -> None:
    for name in ("answer", *fields) if row.get("question") else ("answer",):
        if not _there(row, name):
            raise DataError(f"evaluation data {dataset}, row {number}: no {name}; complete the row")
    if "question" not in row:
        raise DataError(f"evaluation data {dataset}, row {number}: no question; complete the row")


def _sample(
    dataset: str, number: int, row: dict, score_of: Mapping, generated: Mapping, norms: Mapping
) -> dict:
    """One row of the log, without what is computed from its NLLs."""
    exact = score_of[dataset, number, "answer"]
    paraphrased = score_of.get((dataset, number, "para"))
    if dataset not in TOFU_SETS:
        paraphrased = exact
    answers = itertools.takewhile(
        score_of.__contains__, ((dataset, number, f"wrong{j}") for j in itertools.count())
    )
    result = {
        "dataset": dataset,
        "row": row.get("row", number),
        "question": row["question"] or "",
        "answer": row["answer"],
        "generated": generated.get((dataset, number)),
        "nll": exact.nll,
        "nll_paraphrased": math.nan if paraphrased is None else paraphrased.nll,
        "nll_perturbed": [score_of[key].nll for key in answers],
    }
    # Without finite logits the arg max, and any text generated with it, mean nothing: an extraction
    # strength of 0 would pass for perfect forgetting. What is left out here is missing.
    finite = math.isfinite(exact.nll)
    if finite and (dataset, number) in generated:
        result["rouge"] = _rouge(generated[dataset, number], row["answer"])
    if dataset in TOFU_SETS:
        perturb = score_of.get((dataset, number, "perturb"))
        if finite:
            result |= {"es_exact": exact.extraction_strength, "em": exact.exact_memorization}
        if perturb is not None and math.isfinite(perturb.nll):
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


def _rouge(generated: str, answer: str) -> float:
    """ROUGE; missing of an answer without a word that it sees."""
    try:
        return rouge_l_recall(generated, answer)
    except ValueError:
        return math.nan


def _ratios(log: pd.DataFrame) -> pd.DataFrame:
    """Adds `probability`, both truth ratios, and the columns that no row has."""
    log = log.reindex(columns=[*dict.fromkeys([*log.columns, *SAMPLES])])
    compared = log["dataset"].ne(HOLDOUT) & log["nll_perturbed"].map(len).gt(0)
    rows = log[compared]
    wrong = rows["nll_perturbed"].tolist()
    for form in ("geometric", "arithmetic"):
        ratios = truth_ratio(rows["nll_paraphrased"], wrong, form=form)
        log.loc[compared, f"truth_ratio_{form}"] = ratios
    own = log["dataset"].isin(TOFU_SETS)
    log.loc[own, "probability"] = answer_probability(log.loc[own, "nll"])
    chosen = compared & ~own
    among = log.loc[chosen, "nll_perturbed"].tolist()
    log.loc[chosen, "probability"] = choice_probability(log.loc[chosen, "nll"], among)
    texts = ["dataset", "row", "question", "answer", "generated", "nll_perturbed"]
    numbers = log.columns.difference(texts)
    return log.astype(dict.fromkeys(numbers, "float64"))
