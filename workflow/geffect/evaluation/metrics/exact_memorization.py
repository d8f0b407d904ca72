"""Exact memorization (EM): how much of an answer a model predicts token by token."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def exact_memorization(
    predicted: Sequence[int] | NDArray[np.integer], target: Sequence[int] | NDArray[np.integer]
) -> float:
    """The share of answer tokens that are the arg max after the true tokens before them.

    Args:
        predicted: token ids, (|y|,), as for ``extraction_strength``.
        target: token ids of the answer y, (|y|,), without EOS.

    Returns:
        EM in [0, 1].

    Raises:
        ValueError: an empty answer, or sequences of different shape or more than one answer.

    Source: Tirumala et al. 2022, "exact memorization".
    """
    predicted, target = np.asarray(predicted), np.asarray(target)
    if predicted.shape != target.shape or target.ndim != 1 or target.size == 0:
        raise ValueError(
            f"predicted has shape {predicted.shape} and target {target.shape}: "
            "pass one answer's tokens, at least one, one prediction each"
        )
    return float(np.mean(predicted == target))
