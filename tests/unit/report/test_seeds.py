"""Runs are compared by the seeds that they share."""

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
