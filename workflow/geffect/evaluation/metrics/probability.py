"""Answer probability, absolute and among multiple choices (TOFU, "Probability")."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp


def answer_probability(nll: ArrayLike) -> NDArray[np.float64]:
    """Length-normalised probability of an answer, exp(-nll).

    Args:
        nll: mean token negative log-likelihood in nats, any shape.

    Returns:
        Probabilities, float64, the shape of ``nll``; nan where ``nll`` is not finite.

    Source: TOFU, the "Probability" metric on the retain and forget sets.
    """
    nll = np.asarray(nll, dtype=np.float64)
    # exp(-inf) would turn a diverged model's overflow into an innocent-looking zero.
    return np.exp(-np.where(np.isfinite(nll), nll, np.nan))


def choice_probability(
    nll_true: ArrayLike, nll_false: NDArray[np.float64] | Sequence[ArrayLike]
) -> NDArray[np.float64]:
    """Probability of the true answer among its options, p_true / (p_true + sum p_false).

    Args:
        nll_true: mean token negative log-likelihood of the true answer in nats, (rows,).
        nll_false: the same for the false answers, (rows, options), or one sequence per row
            where rows differ in their number of options.

    Returns:
        Probabilities, float64, (rows,); nan in rows with a value that is not finite.

    Raises:
        ValueError: shapes that do not belong together, or a row without a false answer.

    Source: TOFU, the "Probability" metric on real authors and world facts.
    """
    true, false = paired_rows(nll_true, nll_false, "nll_true", "nll_false")
    return np.array([_choice_row(t, f) for t, f in zip(true, false, strict=True)], np.float64)


def _choice_row(true: float, false: NDArray[np.float64]) -> float:
    if not (np.isfinite(true) and np.isfinite(false).all()):
        return np.nan
    # The quotient itself is 0/0 once every probability underflows; this form never is.
    return float(expit(-logsumexp(true - false)))


def paired_rows(
    single: ArrayLike,
    several: NDArray[np.float64] | Sequence[ArrayLike],
    single_name: str,
    several_name: str,
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Check and convert one number per row and the (possibly ragged) numbers beside it.

    Args:
        single: one number per row, (rows,).
        several: at least one number per row, (rows, options) or one sequence per row.
        single_name: what the caller calls ``single``, for the error.
        several_name: what the caller calls ``several``, for the error.

    Returns:
        ``single`` as float64, (rows,), and a list of float64 arrays, one per row.

    Raises:
        ValueError: shapes that do not belong together, or an empty row in ``several``.
    """
    single = np.asarray(single, dtype=np.float64)
    if single.ndim != 1:
        raise ValueError(
            f"{single_name} has shape {single.shape}: pass one number per row, (rows,)"
        )
    rows = [np.asarray(row, dtype=np.float64) for row in several]
    if len(rows) != len(single):
        raise ValueError(
            f"{single_name} has {len(single)} rows and {several_name} has {len(rows)}: "
            "pass both for the same rows"
        )
    for index, row in enumerate(rows):
        if row.ndim != 1 or row.size == 0:
            raise ValueError(
                f"{several_name} row {index} has shape {row.shape}: "
                "pass a flat sequence of at least one number"
            )
    return single, rows
