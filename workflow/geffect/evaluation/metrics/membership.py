"""Membership inference: can rows that were trained on be told from rows that were not?

Every score is low for members. Sources: loss (Yeom et al. 2018), zlib and reference (Carlini et
al. 2021), min-k (Shi et al. 2024), min-k++ (Zhang et al. 2025), gradient norm (Duan et al. 2024);
privleak (Shi et al. 2025, MUSE).
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

SHARE = 0.4
"""The share of tokens that min-k and min-k++ look at, as in the field's TOFU evaluations."""


def zlib_score(nll: float, text: str) -> float:
    """Mean token NLL (nats) per byte of the answer's zlib-compressed text.

    Args:
        nll: mean token negative log-likelihood in nats.
        text: the answer.
    """
    return nll / len(zlib.compress(text.encode("utf-8")))


def min_k(logp: ArrayLike, share: float = SHARE) -> float:
    """Minus the mean of the lowest log-probabilities of an answer.

    Args:
        logp: log-probabilities of the answer's tokens in nats, without EOS, (|y|,).
        share: how many of them: max(1, floor(share * |y|)).

    Raises:
        ValueError: no token, or a share outside (0, 1].
    """
    logp = np.sort(np.asarray(logp, dtype=np.float64))
    if logp.ndim != 1 or logp.size == 0 or not 0 < share <= 1:
        raise ValueError(f"min-k of shape {logp.shape}, share {share}: pass tokens, 0 < share <= 1")
    if not np.isfinite(logp).all():
        return float("nan")
    return float(-np.mean(logp[: max(1, int(logp.size * share))]))


def min_k_plus_plus(
    logp: ArrayLike, mean: ArrayLike, variance: ArrayLike, share: float = SHARE
) -> float:
    """Min-k of log-probabilities standardised by the distribution they are drawn from.

    Args:
        logp: as for ``min_k``.
        mean: expected log-probability of a token at each position, sum p log p, (|y|,).
        variance: of the same, sum p (log p)^2 - mean^2; at least 1e-6 is used.
        share: as for ``min_k``.
    """
    deviation = np.sqrt(np.maximum(np.asarray(variance, dtype=np.float64), 1e-6))
    return min_k((np.asarray(logp, dtype=np.float64) - np.asarray(mean)) / deviation, share)


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """Probability that a random member scores lower than a random other, ties counted half.

    Args:
        members: scores of rows that were trained on (and perhaps unlearned), (rows,).
        others: scores of rows that were never trained on, (rows,).

    Returns:
        AUC in [0, 1]: 1 where members are told apart, 0.5 where they are not; nan where there are
        no rows on one side, or a score is not finite.
    """
    members, others = _scores(members), _scores(others)
    if not (members.size and others.size):
        return float("nan")
    if not (np.isfinite(members).all() and np.isfinite(others).all()):
        return float("nan")
    ranks = rankdata(np.concatenate([members, others]))[members.size :]
    above = ranks.sum() - others.size * (others.size + 1) / 2
    return float(above / (members.size * others.size))


def privleak(auc_unlearned: float, auc_retain: float) -> float:
    """Relative difference of 1 - AUC to the retain model's, in percent (with min-k's AUC).

    Args:
        auc_unlearned: ``auc`` of the unlearned model, forget set against holdout.
        auc_retain: the same of the matching retain model.

    Returns:
        0 where forgetting is as if never seen, negative where members still show, positive where
        they are conspicuous in the other direction; nan if one AUC is, or the retain model's is 1.
    """
    reference = 1 - auc_retain
    if not np.isfinite(reference) or reference == 0:
        return float("nan")
    return float(((1 - auc_unlearned) - reference) / reference * 100)


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores have shape {values.shape}: pass one per row, (rows,)")
    return values
