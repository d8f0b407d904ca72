"""Membership scores by hand, and the AUC against counting pairs."""

import math
import zlib

import numpy as np
import pytest

from geffect.evaluation.metrics.exact_memorization import exact_memorization
from geffect.evaluation.metrics.membership import auc, min_k, min_k_plus_plus, privleak, zlib_score


def test_exact_memorization_counts_matching_tokens():
    assert exact_memorization([1, 2, 3, 4], [1, 9, 3, 4]) == 0.75
    assert exact_memorization([1], [1]) == 1
    for predicted, target in (([], []), ([1], [1, 2]), ([[1]], [[1]])):
        with pytest.raises(ValueError, match="one answer's tokens"):
            exact_memorization(predicted, target)


def test_min_k_is_minus_the_mean_of_the_lowest_by_hand():
    logp = [-1.0, -5.0, -0.5, -3.0, -2.0]
    assert min_k(logp) == 4  # floor(0.4 * 5) = 2 tokens: -5, -3
    assert min_k(logp, 1) == pytest.approx(11.5 / 5)
    assert min_k([-1.5]) == 1.5  # at least one
    assert math.isnan(min_k([-1.0, -math.inf]))
    for bad in ([], [[-1.0]]):
        with pytest.raises(ValueError, match="min-k"):
            min_k(bad)


def test_min_k_plus_plus_standardises_by_hand():
    assert min_k_plus_plus([-4.0, -1.0], [-2.0, -1.0], [4.0, 1.0]) == 1  # (-4 + 2) / 2
    # A distribution without variance does not divide by zero.
    assert min_k_plus_plus([-0.1], [-0.1], [0.0]) == 0


def test_zlib_divides_by_the_compressed_length():
    text = "The novelist was born by the river Lume, by the river Lume."
    assert zlib_score(3.0, text) == 3.0 / len(zlib.compress(text.encode()))


def test_auc_is_the_share_of_pairs_in_which_the_member_scores_lower(rng):
    members = rng.integers(0, 6, size=int(rng.integers(1, 30))).astype(float)
    others = rng.integers(0, 6, size=int(rng.integers(1, 30))).astype(float)
    pairs = [(m < o) + 0.5 * (m == o) for m in members for o in others]
    assert auc(members, others) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert auc(members, others) + auc(others, members) == pytest.approx(1, rel=1e-12)
    assert auc(members * 3 - 1, others * 3 - 1) == pytest.approx(auc(members, others))


def test_auc_at_its_ends_and_where_there_is_none():
    assert auc([0, 1], [2, 3]) == 1
    assert auc([2, 3], [0, 1]) == 0
    assert auc([1, 1], [1]) == 0.5
    for members, others in (([], [1]), ([1], []), ([1, math.nan], [1]), ([1], [math.inf])):
        assert math.isnan(auc(members, others))
    with pytest.raises(ValueError, match="one per row"):
        auc([[1]], [1])


def test_privleak_is_relative_to_the_retain_model_by_hand():
    assert privleak(0.5, 0.5) == 0
    assert privleak(1.0, 0.5) == -100
    assert privleak(0.2, 0.6) == pytest.approx(100)
    assert math.isnan(privleak(0.5, 1.0))
    assert math.isnan(privleak(math.nan, 0.5))
    assert math.isnan(privleak(0.5, math.nan))
