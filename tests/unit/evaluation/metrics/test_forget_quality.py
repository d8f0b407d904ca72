import math
import secrets

import numpy as np
import pytest

from geffect.evaluation.metrics.forget_quality import forget_quality


@pytest.fixture
def rng():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def test_by_hand():
    # Of the 20 ways to split six ranks into threes, only two separate the samples fully.
    assert forget_quality([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / math.comb(6, 3), rel=1e-12)


def test_equal_samples_give_one(rng):
    ratios = rng.lognormal(size=40)
    assert forget_quality(ratios, rng.permutation(ratios)) == 1


def test_symmetric_and_invariant_to_monotone_maps(rng):
    a, b = rng.lognormal(size=40), rng.lognormal(0.5, size=30)
    expected = forget_quality(a, b)
    assert 0 <= expected <= 1
    assert forget_quality(b, a) == pytest.approx(expected, rel=1e-9)
    assert forget_quality(1 / a, 1 / b) == pytest.approx(expected, rel=1e-9)


def test_falls_as_the_samples_part(rng):
    a, b = rng.normal(5, 1, 40), rng.normal(5, 1, 40)
    assert forget_quality(a, b) > forget_quality(a, b + 10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_ratio_has_no_p_value(bad):
    good = [0.1, 0.2, 0.3]
    assert math.isnan(forget_quality([0.1, bad, 0.3], good))
    assert math.isnan(forget_quality(good, [0.1, bad, 0.3]))


@pytest.mark.parametrize(
    ("unlearned", "retain", "name"),
    [([], [1.0], "ratios_unlearned"), ([1.0], [], "ratios_retain"), ([1.0], [[1.0]], "ratios_ret")],
)
def test_rejects_shapes(unlearned, retain, name):
    with pytest.raises(ValueError, match=name):
        forget_quality(unlearned, retain)
