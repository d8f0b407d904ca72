import secrets
import warnings

import numpy as np
import pytest

from geffect.evaluation.metrics.probability import answer_probability, choice_probability


@pytest.fixture
def rng():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def test_answer_probability_by_hand():
    result = answer_probability([0.0, np.log(2), np.log(4)])
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [1, 0.5, 0.25], rtol=1e-15)


def test_answer_probability_keeps_the_shape(rng):
    nll = rng.exponential(3, (4, 3))
    result = answer_probability(nll)
    assert result.shape == nll.shape
    np.testing.assert_allclose(-np.log(result), nll, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answer_probability_of_a_missing_number_is_missing(bad):
    result = answer_probability([1.0, bad])
    assert np.isfinite(result[0]) and np.isnan(result[1])
    assert np.isnan(result.mean())


def test_choice_probability_by_hand():
    p_true, p_false = np.array([0.5, 0.1]), np.array([[0.25, 0.25], [0.3, 0.6]])
    result = choice_probability(-np.log(p_true), -np.log(p_false))
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [0.5, 0.1], rtol=1e-14)


def test_choice_probability_takes_rows_of_different_length():
    result = choice_probability([0.0, 0.0], [[0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(result, [1 / 2, 1 / 4], rtol=1e-15)


def test_choice_probability_agrees_with_its_definition(rng):
    true, false = rng.exponential(3, 50), rng.exponential(3, (50, 4))
    naive = np.exp(-true) / (np.exp(-true) + np.exp(-false).sum(axis=1))
    np.testing.assert_allclose(choice_probability(true, false), naive, rtol=1e-12)


def test_choice_probability_only_depends_on_differences(rng):
    true, false = rng.exponential(3, 50), rng.exponential(3, (50, 4))
    shifted = choice_probability(true + 5000, false + 5000)
    np.testing.assert_allclose(shifted, choice_probability(true, false), rtol=1e-9)


def test_choice_probability_of_extreme_losses_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = choice_probability([0.0, 5000.0], [[5000.0], [0.0]])
    np.testing.assert_array_equal(result, [1, 0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_choice_probability_of_a_missing_number_is_missing(bad):
    result = choice_probability([1.0, bad, 1.0], [[1.0, 1.0], [1.0, 1.0], [1.0, bad]])
    np.testing.assert_array_equal(np.isnan(result), [False, True, True])


@pytest.mark.parametrize(
    ("true", "false", "message"),
    [
        ([1.0, 2.0], [[1.0]], "nll_true has 2 rows and nll_false has 1"),
        ([1.0, 2.0], [[1.0], []], "nll_false row 1 has shape"),
        ([1.0], [[[1.0]]], "nll_false row 0 has shape"),
        ([1.0, 2.0], [1.0, 2.0], "nll_false row 0 has shape"),
        ([[1.0]], [[1.0]], "nll_true has shape"),
    ],
)
def test_choice_probability_rejects_shapes(true, false, message):
    with pytest.raises(ValueError, match=message) as error:
        choice_probability(true, false)
    assert "\n" not in str(error.value)
