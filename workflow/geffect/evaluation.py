"""Runs a model over the evaluation data and hands what it did to the metrics.

One teacher-forced pass per text gives its mean token NLL and, through the argmax, its extraction
strength; a generation per question gives ROUGE. Reported are two frames: `samples` (a row per
evaluated question) and `metrics` (metric, dataset, value).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from geffect.encoding import Encoder, Example, collate
from geffect.errors import DataError
from geffect.losses import forward, log_probabilities
from geffect.metrics.extraction_strength import extraction_strength
from geffect.metrics.forget_quality import forget_quality
from geffect.metrics.model_utility import PARTS, model_utility
from geffect.metrics.probability import answer_probability, choice_probability
from geffect.metrics.rouge import rouge_l_recall
from geffect.metrics.truth_ratio import forget_score, retain_score, truth_ratio
from geffect.models import input_device
from geffect.runtime import Progress

TOFU_SETS = ("unlearn", "retain")
BACKGROUND_SETS = ("real_authors", "world_facts")
METRICS = [
    *((m, d) for d in TOFU_SETS for m in ("es_exact", "es_perturb")),
    *(
        (m, d)
        for d in (*TOFU_SETS, *BACKGROUND_SETS)
        for m in ("probability", "rouge", "truth_ratio")
    ),
    ("fq", "unlearn"),
    ("mu", "all"),
]


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
    "probability",
    "rouge",
    "truth_ratio_geometric",
    "truth_ratio_arithmetic",
]


@dataclass(frozen=True)
class Settings:
    """How to evaluate; the keys of the configuration's `evaluation`.

    `max_rows` limits every data set to its first rows (None: all; TOFU's own logs use 300).
    `truth_ratio` is the form used for Model Utility and display; Forget Quality is always
    geometric. `generation_length` counts the prompt. `batch_size` does not change results.
    """

    batch_size: int
    max_rows: int | None
    truth_ratio: str
    generation_length: int


@dataclass(frozen=True)
class Score:
    """One teacher-forced pass: mean NLL per label token (nats) and extraction strength."""

    nll: float
    extraction_strength: float


@torch.no_grad()
def score(model, examples: Sequence[Example], batch_size: int) -> list[Score]:
    """Scores every example; length-sorted batches, results in the given order."""
    by_length = sorted(range(len(examples)), key=lambda i: len(examples[i]))
    scores: list[Score | None] = [None] * len(examples)
    progress = Progress("scored texts", len(examples))
    for start in range(0, len(by_length), batch_size):
        rows = by_length[start : start + batch_size]
        batch = collate([examples[i] for i in rows]).to(input_device(model))
        logits = forward(model, batch).logits
        logp, mask = log_probabilities(logits, batch)
        nll = (-logp.double().sum(dim=1) / mask.sum(dim=1)).tolist()
        predicted = logits.argmax(dim=-1).tolist()
        for i, mean, argmax in zip(rows, nll, predicted, strict=True):
            example = examples[i]
            first = example.prompt_length - 1 - batch.start
            answer = example.labels[:-1]
            strength = extraction_strength(argmax[first : first + len(answer)], answer)
            scores[i] = Score(mean, strength)
        progress.step(start + len(rows))
    return scores


@torch.no_grad()
def generate(
    model, tokenizer, prompts: Sequence[Sequence[int]], length: int, batch_size: int
) -> list[str]:
    """Greedy continuations of token-id prompts, `length` tokens in total with the prompt.

    Batches are padded on the left; each text is cut to its own prompt's budget, so it does not
    depend on its neighbours. A prompt of `length` tokens or more gets an empty continuation.
    """
    eos = tokenizer.eos_token_id
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    progress = Progress("answered questions", len(prompts))
    for start in range(0, len(by_length), batch_size):
        rows = by_length[start : start + batch_size]
        width = max(len(prompts[i]) for i in rows)
        budget = length - min(len(prompts[i]) for i in rows)
        if budget > 0:
            ids = torch.full((len(rows), width), eos)
            mask = torch.zeros_like(ids)
            for k, i in enumerate(rows):
                ids[k, width - len(prompts[i]) :] = torch.tensor(prompts[i])
                mask[k, width - len(prompts[i]) :] = 1
            device = input_device(model)
            output = model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=budget,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=eos,
                pad_token_id=eos,
            )
            for i, continuation in zip(rows, output[:, width:].tolist(), strict=True):
                own = continuation[: max(0, length - len(prompts[i]))]
                own = own[: own.index(eos)] if eos in own else own
                texts[i] = tokenizer.decode(own, skip_special_tokens=True)
        progress.step(start + len(rows))
    return texts


def samples(
    model, encoder: Encoder, data: Mapping[str, Sequence[dict]], settings: Settings
) -> pd.DataFrame:
    """The per-row log of an evaluation.

    Args:
        data: `unlearn` and `retain` rows (question, answer, paraphrased_question,
            paraphrased_answer, perturbed_answer), `real_authors` and `world_facts` rows
            (question, answer, perturbed_answer).

    Returns:
        A row per question: `dataset`, `row`, `question`, `answer`, `generated`, `nll` and
        `nll_paraphrased` (mean per label token, nats), `nll_perturbed` (list), `es_exact`,
        `es_perturb`, `probability`, `rouge`, `truth_ratio_geometric`, `truth_ratio_arithmetic`.

    Raises:
        DataError: a row lacks a field that its metrics need.
    """
    texts: dict[tuple[str, int, str], Example] = {}
    kept = {name: list(data[name])[: settings.max_rows] for name in (*TOFU_SETS, *BACKGROUND_SETS)}
    for dataset, rows in kept.items():
        for number, row in enumerate(rows):
            for text, example in _texts(encoder, dataset, number, row):
                texts[dataset, number, text] = example
    scores = score(model, list(texts.values()), settings.batch_size)
    found = dict(zip(texts, scores, strict=True))
    asked = [key for key in texts if key[2] == "answer"]
    answers = generate(
        model,
        encoder.tokenizer,
        [texts[key].prompt for key in asked],
        settings.generation_length,
        settings.batch_size,
    )
    generated = {key[:2]: answer for key, answer in zip(asked, answers, strict=True)}
    log = [
        _sample(dataset, number, row, found, generated[dataset, number])
        for dataset, rows in kept.items()
        for number, row in enumerate(rows)
    ]
    return _ratios(pd.DataFrame(log))[SAMPLES]


def _texts(encoder: Encoder, dataset: str, number: int, row: dict) -> Iterator[tuple[str, Example]]:
    """The texts of a row that are scored, by name."""
    tofu = dataset in TOFU_SETS
    _check_row(row, dataset, number, tofu)
    yield "answer", encoder(row["question"], row["answer"])
    if tofu:
        yield "perturb", encoder(row["paraphrased_question"], row["answer"])
        yield "para", encoder(row["question"], row["paraphrased_answer"])
    for j, wrong in enumerate(row["perturbed_answer"]):
        yield f"wrong{j}", encoder(row["question"], wrong)


def _sample(dataset: str, number: int, row: dict, found: Mapping, generated: str) -> dict:
    """One row of the log, without what is computed from its NLLs."""
    tofu = dataset in TOFU_SETS
    exact = found[dataset, number, "answer"]
    para = found[dataset, number, "para"] if tofu else exact
    perturb = found[dataset, number, "perturb"] if tofu else None
    wrong = range(len(row["perturbed_answer"]))
    # Without finite logits the argmax, and what was generated by it, mean nothing: an extraction
    # strength of 0 would pass for perfect forgetting.
    finite = math.isfinite(exact.nll)
    return {
        "dataset": dataset,
        "row": row.get("row", number),
        "question": row["question"],
        "answer": row["answer"],
        "generated": generated,
        "nll": exact.nll,
        "nll_paraphrased": para.nll,
        "nll_perturbed": [found[dataset, number, f"wrong{j}"].nll for j in wrong],
        "es_exact": exact.extraction_strength if tofu and finite else math.nan,
        "es_perturb": (
            perturb.extraction_strength if tofu and math.isfinite(perturb.nll) else math.nan
        ),
        "rouge": _rouge(generated, row["answer"], dataset, number) if finite else math.nan,
    }


def _ratios(log: pd.DataFrame) -> pd.DataFrame:
    """Adds `probability` and both truth ratios."""
    wrong = log["nll_perturbed"].tolist()
    for form in ("geometric", "arithmetic"):
        log[f"truth_ratio_{form}"] = truth_ratio(log["nll_paraphrased"], wrong, form=form)
    chosen = choice_probability(log["nll"], wrong)
    log["probability"] = np.where(
        log["dataset"].isin(TOFU_SETS), answer_probability(log["nll"]), chosen
    )
    return log


def _rouge(generated: str, answer: str, dataset: str, number: int) -> float:
    try:
        return rouge_l_recall(generated, answer)
    except ValueError as error:
        raise DataError(f"evaluation data {dataset}, row {number}: {error}") from error


def _check_row(row: dict, dataset: str, number: int, tofu: bool) -> None:
    needed = ["question", "answer", "perturbed_answer"]
    if tofu:
        needed += ["paraphrased_question", "paraphrased_answer"]
    for name in needed:
        value = row.get(name)
        if value is None or len(value) == 0:
            raise DataError(f"evaluation data {dataset}, row {number}: no {name}; complete the row")


def metrics(log: pd.DataFrame, retain_log: pd.DataFrame | None, settings: Settings) -> pd.DataFrame:
    """Aggregates a per-row log.

    Args:
        log: what `samples` returned.
        retain_log: the log of the matching retain model on the same data, or None if this is
            that model (its Forget Quality against itself is 1).

    Returns:
        `metric`, `dataset`, `value` for `METRICS`. A value that cannot be computed is nan.
    """
    by = dict(list(log.groupby("dataset", sort=False)))
    values: dict[tuple[str, str], float] = {}
    for dataset, frame in by.items():
        for metric in ("es_exact", "es_perturb", "probability", "rouge"):
            values[metric, dataset] = _mean(frame[metric])
        ratios = frame[f"truth_ratio_{settings.truth_ratio}"].to_numpy()
        aggregate = forget_score if dataset == "unlearn" else retain_score
        values["truth_ratio", dataset] = float(aggregate(ratios))
    own = by["unlearn"]
    other = own if retain_log is None else retain_log[retain_log["dataset"] == "unlearn"]
    if own["question"].tolist() != other["question"].tolist():
        raise DataError("retain log: its forget rows are not this model's; evaluate it again")
    ratios = (frame["truth_ratio_geometric"].to_numpy() for frame in (own, other))
    values["fq", "unlearn"] = float(forget_quality(*ratios))
    values["mu", "all"] = float(model_utility({part: values[part] for part in PARTS}))
    return _frame(values)


def missing() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log and metrics of a cell that has no model (it diverged): no row, every value missing."""
    return pd.DataFrame(columns=SAMPLES), _frame(dict.fromkeys(METRICS, math.nan))


def _frame(values: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    rows = [(metric, dataset, values[metric, dataset]) for metric, dataset in METRICS]
    return pd.DataFrame(rows, columns=["metric", "dataset", "value"]).astype({"value": float})


def _mean(values: pd.Series) -> float:
    return float(np.mean(values.to_numpy(dtype=float)))
