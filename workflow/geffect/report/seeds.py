"""Which runs may be compared: those that have seeds in common, by these seeds alone."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy import stats

Run = TypeVar("Run", bound=Hashable)
LEVEL = 0.95
"""Of all intervals."""
UNBOUNDED = (-math.inf, math.inf)


def comparable(runs: Mapping[Run, Iterable[int]]) -> tuple[list[int], list[Run]]:
    """The seeds by which runs are compared, and the runs that have them all.

    A seed may be harder than another, so that the mean over one seed says nothing beside the mean
    over three. Runs that lack the seed that most runs have cannot be compared with these, and are
    left out; the others are compared by all seeds that they share.

    Args:
        runs: run -> the seeds with which it finished.
    """
    seeds = {run: set(of) for run, of in runs.items()}
    counts = Counter(seed for of in seeds.values() for seed in of)
    if not counts:
        return [], []
    most = max(counts.values())
    first = min(seed for seed, number in counts.items() if number == most)
    chosen = [run for run, of in seeds.items() if first in of]
    return sorted(set.intersection(*(seeds[run] for run in chosen))), chosen


def half_width(spread: Any, number: Any) -> Any:
    """Half of Student's t interval of a mean over seeds, of numbers or of whole tables of them.

    Args:
        spread: sample standard deviation over seeds.
        number: of seeds; where it is less than two, the result is missing.
    """
    degrees = np.where(np.greater(number, 1), np.subtract(number, 1), np.nan)
    return spread / np.sqrt(number) * stats.t.ppf((1 + LEVEL) / 2, degrees)


def within(end: Any, bounds: tuple[float, float]) -> Any:
    """An end of an interval, cut at the range of its quantity.

    A mean of numbers in a range lies in it, so what is cut off cannot hold it: the interval covers
    the mean as often as before.
    """
    return np.clip(end, *bounds)


def told_apart(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the same seeds tell two runs apart: the 95% interval of the mean difference, by
    Student's t, lies on one side of zero. A single seed tells nothing apart.

    Args:
        first, second: a quantity of the two runs, seed by seed.
    """
    differences = np.asarray(first, dtype="float64") - np.asarray(second, dtype="float64")
    count = len(differences)
    if count < 2:
        return False
    spread = float(np.std(differences, ddof=1))
    return abs(float(differences.mean())) > float(half_width(spread, count))


def said(seeds: Iterable[int]) -> str:
    """Seeds in words: `seed 42`, `seeds 42, 43 and 44`."""
    names = [str(seed) for seed in seeds]
    if len(names) == 1:
        return f"seed {names[0]}"
    return f"seeds {', '.join(names[:-1])} and {names[-1]}" if names else "no seed"
