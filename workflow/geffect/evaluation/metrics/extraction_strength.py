"""Extraction strength (ES): how little of an answer a model needs to recite the rest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def extraction_strength(
    predicted: Sequence[int] | NDArray[np.integer], target: Sequence[int] | NDArray[np.integer]
) -> float:
    """1 - k/|y|, k the smallest number of given tokens from which the rest of y is exact.

    As long as every prediction is right, greedy decoding sees the true answer so far. So the
    rest of y is completed from k tokens exactly if the teacher-forced predictions match on it,
    and k is |y| minus the length of the longest matching suffix.

    Args:
        predicted: token ids, (|y|,); entry i is the arg max of the distribution that predicts
            ``target[i]`` from the prompt and ``target[:i]``.
        target: token ids of the answer y, (|y|,), without EOS.

    Returns:
        ES in [0, 1]: 1 if nothing but the prompt is needed, 0 if the last token is missed.

    Raises:
        ValueError: an empty answer, or sequences of different shape or more than one answer.

    Source: the paper, "ES"; with k = |y| always sufficient.
    """
    predicted, target = np.asarray(predicted), np.asarray(target)
    if predicted.shape != target.shape or target.ndim != 1:
        raise ValueError(
            f"predicted has shape {predicted.shape} and target {target.shape}: "
            "pass one answer's tokens, one prediction each"
        )
    if target.size == 0:
        raise ValueError("target is empty: extraction strength needs at least one answer token")
    wrong = np.flatnonzero(predicted != target)
    needed = int(wrong[-1]) + 1 if wrong.size else 0
    return 1 - needed / target.size
