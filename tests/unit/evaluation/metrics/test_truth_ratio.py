import secrets
import warnings

import numpy as np
import pytest

from geffect.evaluation.metrics.truth_ratio import forget_score, retain_score, truth_ratio

FORMS = ["geometric", "arithmetic"]


@pytest.fixture
def rng():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def test_by_hand():
    right, wrong = -np.log([0.5, 0.1]), -np.log([[0.4, 0.1], [0.1, 0.1]])
    geometric = truth_ratio(right, wrong)
    assert geometric.dtype == np.float64
    np.testing.assert_allclose(geometric, [0.4, 1], rtol=1e-14)
    np.testing.assert_allclose(truth_ratio(right, wrong, "arithmetic"), [0.5, 1], rtol=1e-14)


def test_agrees_with_its_definition(rng):
    right, wrong = rng.exponential(3, 50), rng.exponential(3, (50, 5))
    geometric = np.exp(-wrong.mean(axis=1)) / np.exp(-right)
    arithmetic = np.exp(-wrong).mean(axis=1) / np.exp(-right)
    np.testing.assert_allclose(truth_ratio(right, wrong, "geometric"), geometric, rtol=1e-11)
    np.testing.assert_allclose(truth_ratio(right, wrong, "arithmetic"), arithmetic, rtol=1e-11)


def test_arithmetic_is_never_below_geometric(rng):
    right, wrong = rng.exponential(3, 50), rng.exponential(3, (50, 5))
    geometric, arithmetic = (truth_ratio(right, wrong, form) for form in FORMS)
    assert (arithmetic >= geometric * (1 - 1e-12)).all()


def test_forms_agree_on_one_option(rng):
    right, wrong = rng.exponential(3, 20), rng.exponential(3, (20, 1))
    np.testing.assert_allclose(*(truth_ratio(right, wrong, form) for form in FORMS), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_different_length(form):
    result = truth_ratio([1.0, 2.0], [[1.0], [1.0, 1.0, 1.0]], form)
    np.testing.assert_allclose(result, [1, np.e], rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_finite_losses_give_finite_ratios_quietly(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = truth_ratio([5000.0, 0.0, 5000.0], [[0.0], [5000.0], [5000.0]], form)
        scores = forget_score(result), retain_score(result)
    assert np.isfinite(result).all() and (result > 0).all()
    np.testing.assert_allclose(scores, [1 / 3, 1 / 3], rtol=1e-15)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_numbers_reach_the_scores(form, bad):
    result = truth_ratio([1.0, bad, 1.0], [[1.0, 1.0], [1.0, 1.0], [1.0, bad]], form)
    np.testing.assert_array_equal(np.isnan(result), [False, True, True])
    assert np.isnan(forget_score(result)) and np.isnan(retain_score(result))


def test_scores_by_hand():
    ratios = [0.5, 1.0, 4.0, 0.0]
    assert forget_score(ratios) == (0.5 + 1 + 0.25 + 0) / 4
    assert retain_score(ratios) == (0.5 + 0 + 0 + 1) / 4


def test_scores_agree_with_their_definitions(rng):
    ratios = rng.lognormal(size=50)
    forget = np.mean([min(r, 1 / r) for r in ratios])
    retain = np.mean([max(0, 1 - r) for r in ratios])
    np.testing.assert_allclose(forget_score(ratios), forget, rtol=1e-13)
    np.testing.assert_allclose(retain_score(ratios), retain, rtol=1e-13)


def test_forget_score_does_not_tell_a_ratio_from_its_inverse(rng):
    ratios = rng.lognormal(size=50)
    np.testing.assert_allclose(forget_score(ratios), forget_score(1 / ratios), rtol=1e-13)


@pytest.mark.parametrize("score", [forget_score, retain_score])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_score_of_a_missing_ratio_is_missing(score, bad):
    assert np.isnan(score([0.5, bad, 0.5]))


@pytest.mark.parametrize("score", [forget_score, retain_score])
@pytest.mark.parametrize(
    ("ratios", "message"),
    [([], "at least one row"), ([[0.5]], "shape"), ([0.5, -0.1], "row 1 is negative")],
)
def test_scores_reject(score, ratios, message):
    with pytest.raises(ValueError, match=message):
        score(ratios)


@pytest.mark.parametrize(
    ("right", "wrong", "form", "message"),
    [
        ([1.0], [[1.0]], "harmonic", "form 'harmonic' is unknown"),
        ([1.0, 2.0], [[1.0]], "geometric", "nll_paraphrased has 2 rows and nll_perturbed has 1"),
        ([1.0], [[]], "geometric", "nll_perturbed row 0"),
    ],
)
def test_truth_ratio_rejects(right, wrong, form, message):
    with pytest.raises(ValueError, match=message) as error:
        truth_ratio(right, wrong, form)
    assert "\n" not in str(error.value)
