"""Truth ratio and its two aggregates (TOFU, "Truth Ratio")."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from geffect.evaluation.metrics.probability import paired_rows

Form = Literal["geometric", "arithmetic"]

# exp of +-700 is still a normal float64, and so is its inverse.
_LOG_LIMIT = 700.0


def truth_ratio(
    nll_paraphrased: ArrayLike,
    nll_perturbed: NDArray[np.float64] | Sequence[ArrayLike],
    form: Form = "geometric",
) -> NDArray[np.float64]:
    """How probable the wrong answers are relative to the right one, row by row.

    geometric: exp(-mean_j nll_perturbed_j) / exp(-nll_paraphrased);
    arithmetic: mean_j exp(-nll_perturbed_j) / exp(-nll_paraphrased).
    Finite input gives finite ratios: they are limited to exp(-700)..exp(700), so that a ratio
    that is not finite always means a missing number.

    Args:
        nll_paraphrased: mean token negative log-likelihood in nats of the paraphrased answer
            (of the answer itself for real authors and world facts), (rows,).
        nll_perturbed: the same for the perturbed answers, (rows, options), or one sequence per
            row where rows differ in their number of options.
        form: how the perturbed answers are averaged.

    Returns:
        Ratios, float64, (rows,); nan in rows with a value that is not finite.

    Raises:
        ValueError: an unknown form, shapes that do not belong together, or a row without a
            perturbed answer.

    Source: TOFU; its two scripts use one form each, forget quality always the geometric one.
    """
    if form not in get_args(Form):
        raise ValueError(f"truth ratio form {form!r} is unknown: use one of {get_args(Form)}")
    right, wrong = paired_rows(nll_paraphrased, nll_perturbed, "nll_paraphrased", "nll_perturbed")
    log_mean = _log_geometric_mean if form == "geometric" else _log_arithmetic_mean
    logs = [_log_ratio(r, w, log_mean) for r, w in zip(right, wrong, strict=True)]
    return np.exp(np.clip(np.array(logs, np.float64), -_LOG_LIMIT, _LOG_LIMIT))


def forget_score(ratios: ArrayLike) -> float:
    """Aggregate truth ratios of forgotten rows, mean min(TR, 1/TR): 1 is ignorance.

    Args:
        ratios: truth ratios, dimensionless, (rows,).

    Returns:
        The mean in [0, 1]; nan if a ratio is not finite.

    Raises:
        ValueError: no ratios, a wrong shape, or a negative ratio.

    Source: TOFU, "Truth Ratio" on the forget set.
    """
    ratios = _checked(ratios)
    # A ratio of zero, the limit of total knowledge, counts as zero but has no inverse.
    smaller = np.divide(1.0, ratios, out=ratios.copy(), where=ratios > 1)
    return float(np.mean(smaller))


def retain_score(ratios: ArrayLike) -> float:
    """Aggregate truth ratios of rows to be remembered, mean max(0, 1 - TR): 1 is knowledge.

    Args:
        ratios: truth ratios, dimensionless, (rows,).

    Returns:
        The mean in [0, 1]; nan if a ratio is not finite.

    Raises:
        ValueError: no ratios, a wrong shape, or a negative ratio.

    Source: TOFU, "Truth Ratio" on the retain set, real authors and world facts.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - _checked(ratios))))


def _log_geometric_mean(nll: NDArray[np.float64]) -> float:
    return -float(np.mean(nll))


def _log_arithmetic_mean(nll: NDArray[np.float64]) -> float:
    return logsumexp(-nll) - np.log(nll.size)


def _log_ratio(
    right: float,
    wrong: NDArray[np.float64],
    log_mean: Callable[[NDArray[np.float64]], float],
) -> float:
    if not (np.isfinite(right) and np.isfinite(wrong).all()):
        return np.nan
    return log_mean(wrong) + right


def _checked(ratios: ArrayLike) -> NDArray[np.float64]:
    ratios = np.asarray(ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size == 0:
        raise ValueError(f"truth ratios have shape {ratios.shape}: pass at least one row, (rows,)")
    if (ratios < 0).any():
        raise ValueError(
            f"truth ratio of row {int(np.argmax(ratios < 0))} is negative: "
            "pass ratios, not their logarithms"
        )
    # An infinite ratio would enter both means as a harmless zero.
    return np.where(np.isfinite(ratios), ratios, np.nan)
