"""Which runs may be compared: those that have seeds in common, by these seeds alone."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

Run = TypeVar("Run", bound=Hashable)


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
    spread = float(np.std(differences, ddof=1)) / math.sqrt(count)
    return abs(float(differences.mean())) > float(stats.t.ppf(0.975, count - 1)) * spread


def said(seeds: Iterable[int]) -> str:
    """Seeds in words: `seed 42`, `seeds 42, 43 and 44`."""
    names = [str(seed) for seed in seeds]
    if len(names) == 1:
        return f"seed {names[0]}"
    return f"seeds {', '.join(names[:-1])} and {names[-1]}" if names else "no seed"
