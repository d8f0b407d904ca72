"""Statement 8: retain objectives raise e_r and cost little removal; KL is the best of the three."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from geffect.names import (
    NO_REGULARIZER,
    OBJECTIVE,
    PROBE,
    REGULARIZER,
    RETAIN,
    UNLEARN,
)
from geffect.report.statements.comparisons import common_rise, median_over
from geffect.report.statements.runs import RISE, Runs
from geffect.report.statements.verdict import (
    CHANGE,
    COSINE,
    DIFFERENCE,
    GEFFECT,
    CannotTell,
    Claim,
    Value,
)

NAME = "Retain objectives raise e_r and cost little removal; KL is the best of the three"
ALL, BEST = ("nll", "kl", "rr"), "kl"
Quantity = Callable[[Runs], Mapping[int, Value]]
Families = dict[str, tuple[str, str]]
"""Family of a retain objective -> the regularizer and the term that stand for it."""
Item = TypeVar("Item")


def _read(
    runs: Runs,
    sources: Iterable[tuple[Sequence[tuple[str, str]], Callable[[int], Item]]],
    nothing: str,
) -> tuple[dict[int, list[Item]], list[str]]:
    """What can be read of some sources, by seed, and why others cannot be.

    Args:
        sources: the runs (objective, regularizer) that are read together, and what reads them.
        nothing: the reason where there is no source.

    Raises:
        CannotTell: none can be read.
    """
    found: dict[int, list[Item]] = {}
    why: dict[str, None] = {}
    for together, read in sources:
        try:
            seeds = runs.seeds(*together)
        except CannotTell as error:
            why[str(error)] = None
            continue
        for seed in seeds:
            try:
                value = read(seed)
            except CannotTell as error:
                why[str(error)] = None
                continue
            found.setdefault(seed, []).append(value)
    if not found:
        raise CannotTell("; ".join(why) or nothing)
    return found, list(why)


def _median(
    runs: Runs, quantity: Callable[[str, str, int, str], float], probes: bool
) -> Mapping[int, Value]:
    """The median of a quantity of (objective, regularizer, seed, term) over runs, by seed."""

    def of(objective: str, regularizer: str, term: str) -> Callable[[int], tuple[str, float]]:
        name = f"{objective}+{regularizer}" if regularizer != NO_REGULARIZER else term
        return lambda seed: (name, quantity(objective, regularizer, seed, term))

    sources = [
        ([(objective, regularizer)], of(objective, regularizer, term))
        for objective, regularizer, term in runs.regularized()
        if probes or regularizer != NO_REGULARIZER
    ]
    found, _ = _read(runs, sources, "no run with a regularizer")
    return {
        seed: Value(median_over(values, "").value, facts={"runs per seed": len(values)})
        for seed, values in found.items()
    }


def _cosine(dataset: str) -> Quantity:
    def quantity(runs: Runs) -> Mapping[int, Value]:
        return _median(
            runs,
            lambda o, r, seed, term: runs.mean_cosine(o, r, seed, dataset, term),
            probes=True,
        )

    return quantity


def _undone(dataset: str) -> Quantity:
    """The share of what the objective did to a risk that the regularizer undid."""

    def quantity(runs: Runs) -> Mapping[int, Value]:
        def share(objective: str, regularizer: str, seed: int, term: str) -> float:
            own = runs.change(objective, regularizer, seed, dataset, OBJECTIVE)
            if own < RISE:
                raise CannotTell(
                    f"the objective of {objective}+{regularizer} raised the risk of {dataset} by "
                    f"{own:+.2g} nats only"
                )
            return -runs.change(objective, regularizer, seed, dataset, REGULARIZER) / own

        return _median(runs, share, probes=False)

    return quantity


def _sources(runs: Runs) -> Iterator[tuple[str, Families]]:
    """Objectives that all three retain objectives are there for."""
    own: dict[str, Families] = {}
    probed: dict[str, Families] = {}
    for objective, regularizer, term in runs.regularized():
        variant = term.removeprefix(PROBE) if regularizer == NO_REGULARIZER else regularizer
        of = probed if regularizer == NO_REGULARIZER else own
        family = runs.family(REGULARIZER, variant)
        of.setdefault(objective, {}).setdefault(family, (regularizer, term))
    for source in (own, probed):
        for objective, families in source.items():
            if set(ALL) <= set(families):
                yield objective, {name: families[name] for name in ALL}


def _mean(
    runs: Runs, quantity: Callable[[str, Families, int], tuple[float, float]], probes: bool
) -> Mapping[int, Value]:
    """The mean of a quantity, and of its error, over objectives that have all three, by seed."""
    sources = [
        ([(objective, r) for r, _ in families.values()], partial(quantity, objective, families))
        for objective, families in _sources(runs)
        if probes or NO_REGULARIZER not in {r for r, _ in families.values()}
    ]
    nothing = "the grid has no objective with all three of NLL, KL and RR (or their probes)"
    found, why = _read(runs, sources, nothing)

    def value(numbers: Sequence[tuple[float, float]]) -> Value:
        mean, error = (float(np.mean(column)) for column in zip(*numbers, strict=True))
        facts = {"objectives": len(numbers)}
        if left_out := len(sources) - len(numbers):
            lacking = "; ".join(why) or "they lack a seed"
            facts[f"objectives not counted ({lacking})"] = left_out
        return Value(mean, facts=facts, error=error)

    return {seed: value(numbers) for seed, numbers in found.items()}


def _kl_by_geffect(runs: Runs) -> Mapping[int, Value]:
    def ahead(objective: str, families: Families, seed: int) -> tuple[float, float]:
        means = {
            name: runs.mean_cosine(objective, r, seed, RETAIN, term)
            for name, (r, term) in families.items()
        }
        return means[BEST] - max(mean for name, mean in means.items() if name != BEST), 0.0

    return _mean(runs, ahead, probes=True)


def _kl_by_change(runs: Runs) -> Mapping[int, Value]:
    def saved(objective: str, families: Families, seed: int) -> tuple[float, float]:
        curves = {name: runs.curve(objective, r, seed, None) for name, (r, _) in families.items()}
        rise = common_rise(curves)
        harms = {name: curve.harm_at(rise) for name, curve in curves.items()}
        best = min(harm for name, harm in harms.items() if name != BEST)
        return (best[0] - harms[BEST][0]) / rise, (best[1] + harms[BEST][1]) / rise

    return _mean(runs, saved, probes=False)


CLAIMS = (
    (
        Claim(
            8,
            "a",
            GEFFECT,
            "the retain objective's own e_r is positive",
            "mean over the run of the retain objective's cosine of e_r, the median over runs with "
            "one, and over probes (retain objectives measured along a run without a part in it)",
            threshold=0,
            margin=0.05,
            bounds=COSINE,
        ),
        _cosine(RETAIN),
    ),
    (
        Claim(
            8,
            "a",
            CHANGE,
            "the retain objective undoes harm",
            "share of the rise of R_r attributed to the objective that the change attributed to "
            "the retain objective took back, over the run; the median over runs with one",
            threshold=0.1,
            margin=0.05,
        ),
        _undone(RETAIN),
    ),
    (
        Claim(
            8,
            "b",
            GEFFECT,
            "the retain objective hardly works against removal",
            "mean over the run of the retain objective's cosine of e_u, the median over runs with "
            "one, and over probes",
            threshold=0.1,
            margin=0.05,
            above=False,
            bounds=COSINE,
        ),
        _cosine(UNLEARN),
    ),
    (
        Claim(
            8,
            "b",
            CHANGE,
            "the retain objective costs little removal",
            "share of the rise of R_u attributed to the objective that the change attributed to "
            "the retain objective took back, over the run; the median over runs with one",
            threshold=0.1,
            margin=0.05,
            above=False,
        ),
        _undone(UNLEARN),
    ),
    (
        Claim(
            8,
            "c",
            GEFFECT,
            "KL's e_r is greater than those of NLL and RR",
            "mean over the run of KL's cosine of e_r, less the greater of those of NLL and RR; the "
            "mean over objectives that all three are there for",
            threshold=0,
            margin=0.05,
            bounds=DIFFERENCE,
        ),
        _kl_by_geffect,
    ),
    (
        Claim(
            8,
            "c",
            CHANGE,
            "at an equal rise of R_u, R_r has risen less with KL than with NLL or RR",
            "lesser measured change of R_r with NLL or RR less that with KL, where R_u has risen "
            "by as much as all three runs reach, divided by that rise; the mean over objectives",
            threshold=0,
            margin=0.05,
        ),
        _kl_by_change,
    ),
)
