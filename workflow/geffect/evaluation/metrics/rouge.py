"""ROUGE-L recall of a generated answer (TOFU, "ROUGE")."""

import re
from functools import cache

from rouge_score import rouge_scorer


def rouge_l_recall(generated: str, reference: str) -> float:
    """Share of the reference's words in the longest common subsequence, after stemming.

    Args:
        generated: the model's greedy answer, without the prompt.
        reference: the true answer.

    Returns:
        Recall in [0, 1]; 0 for an empty generation.

    Raises:
        ValueError: a reference without a word (ROUGE only sees a-z and 0-9), whose recall
            is undefined.

    Source: TOFU, the "ROUGE" metric (rouge-score, ``use_stemmer=True``).
    """
    # rouge-score itself returns 0 here, which reads as a model that knows nothing.
    if not re.search("[a-z0-9]", reference.lower()):
        raise ValueError(
            f"ROUGE reference {reference!r} has no word in a-z, 0-9: leave the row out of ROUGE"
        )
    return float(_scorer().score(reference, generated)["rougeL"].recall)


@cache
def _scorer() -> rouge_scorer.RougeScorer:
    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
