"""Runs are compared by the seeds that they share."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from geffect.report import seeds


def test_the_runs_that_have_the_commonest_seed_are_compared_by_all_that_they_share(rng):
    names = [f"run{n}" for n in range(8)]
    for _ in range(50):
        runs = {name: rng.choice(6, rng.integers(0, 5), replace=False).tolist() for name in names}
        common, compared = seeds.comparable(runs)
        counts = [sum(seed in of for of in runs.values()) for seed in range(6)]
        assert len(compared) == max(counts)
        assert set(common) == set.intersection(*(set(runs[name]) for name in compared))
        assert bool(common) == bool(compared)


def test_one_seed_runs_take_the_others_down_to_that_seed():
    runs = {"ga": [42, 43, 44], "npo": [42, 43, 44], "swept": [42]}
    assert seeds.comparable(runs) == ([42], ["ga", "npo", "swept"])
    del runs["swept"]
    assert seeds.comparable(runs) == ([42, 43, 44], ["ga", "npo"])
    assert seeds.comparable({}) == ([], []) == seeds.comparable({"ga": []})


def test_seeds_in_words():
    found = [seeds.said(given) for given in ([], [1], [1, 2], [1, 2, 3])]
    assert found == ["no seed", "seed 1", "seeds 1 and 2", "seeds 1, 2 and 3"]


@pytest.mark.parametrize("shift", [0, 0.5, 2])
def test_runs_are_told_apart_as_by_a_paired_test(shift, rng):
    for count in (2, 3, 8):
        first, noise = rng.normal(size=count), rng.normal(size=count)
        second = first + shift + 0.3 * noise
        expected = stats.ttest_rel(first, second).pvalue < 0.05
        assert seeds.told_apart(first, second) == expected
        assert seeds.told_apart(second, first) == expected
    assert not seeds.told_apart([1], [9]) and not seeds.told_apart([1, 2], [1, 2])


def test_the_interval_over_seeds_is_students_and_stays_in_the_range(rng):
    values = rng.uniform(0, 1, 4)
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    half = seeds.half_width(values.std(ddof=1), 4)
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high))
    assert np.isnan(seeds.half_width(0.0, 1)), "one seed has no spread"
    table = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, np.nan]}, index=["x", "y"])
    counts = pd.DataFrame({"a": [3, 2], "b": [2, 1]}, index=["x", "y"])
    halves = seeds.half_width(table, counts)
    assert halves.loc["y", "a"] == pytest.approx(seeds.half_width(0.2, 2))
    assert np.isnan(halves.loc["y", "b"])
    ends = seeds.within(pd.Series([-0.2, 0.3, np.nan]), (0, 1))
    assert ends[:2].tolist() == [0, 0.3] and np.isnan(ends[2])


def test_cutting_an_interval_at_the_range_costs_no_coverage(rng):
    """Of the mean of a metric that is near its bound, over three seeds."""
    draws = rng.beta(0.3, 6, (20000, 3))
    truth = 0.3 / 6.3
    half = seeds.half_width(draws.std(axis=1, ddof=1), np.full(len(draws), 3))
    whole = np.stack([draws.mean(axis=1) - half, draws.mean(axis=1) + half])
    cut = seeds.within(whole, (0, 1))
    assert (whole[0] < 0).mean() > 0.3
    covered = [(ends[0] <= truth) & (truth <= ends[1]) for ends in (whole, cut)]
    assert (covered[0] == covered[1]).all()
