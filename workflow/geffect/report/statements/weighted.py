"""Statement 6: WGA keeps e_r near zero while it forgets, and TNPO is better than NPO."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from geffect.names import NO_REGULARIZER, RETAIN, UNLEARN
from geffect.report.statements.comparisons import (
    harm_per_nat,
    mean_cosines,
    more_cosine,
    saved_per_nat,
)
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import (
    CHANGE,
    COSINE,
    DIFFERENCE,
    GEFFECT,
    Claim,
    Value,
)

NAME = "WGA keeps e_r near zero while it forgets; TNPO is better than NPO"
Quantity = Callable[[Runs], Mapping[int, Value]]


def _cosine_of_wga(dataset: str) -> Quantity:
    return lambda runs: mean_cosines(runs, runs.variant("wga"), dataset)


def _harm_of_wga(runs: Runs) -> Mapping[int, Value]:
    name = runs.variant("wga")
    return {seed: harm_per_nat(runs, name, seed) for seed in runs.seeds((name, NO_REGULARIZER))}


def _forgetting_of_wga(runs: Runs) -> Mapping[int, Value]:
    name = runs.variant("wga")
    return {
        seed: Value(float(runs.curve(name, NO_REGULARIZER, seed).unlearn[-1]))
        for seed in runs.seeds((name, NO_REGULARIZER))
    }


def _cosine_above(one: str, other: str) -> Quantity:
    return lambda runs: more_cosine(runs, runs.variant(one), runs.variant(other), RETAIN)


def _saved(one: str, other: str) -> Quantity:
    return lambda runs: saved_per_nat(runs, runs.variant(one), runs.variant(other))


def _better(part: str, one: str, other: str) -> tuple[tuple[Claim, Quantity], ...]:
    return (
        (
            Claim(
                6,
                part,
                GEFFECT,
                f"{one}'s e_r is greater than {other}'s",
                f"mean over the run of {one}'s cosine of e_r, less that of {other}; each along its "
                "own run",
                threshold=0,
                margin=0.05,
                bounds=DIFFERENCE,
            ),
            _cosine_above(one.lower(), other.lower()),
        ),
        (
            Claim(
                6,
                part,
                CHANGE,
                f"at an equal rise of R_u, {one} has raised R_r less than {other}",
                f"attributed change of R_r in {other} less that in {one}, where R_u has risen by "
                "as much as both runs reach (as measured, seed by seed), divided by that rise",
                threshold=0,
                margin=0.05,
            ),
            _saved(one.lower(), other.lower()),
        ),
    )


CLAIMS = (
    (
        Claim(
            6,
            "a",
            GEFFECT,
            "WGA's e_r stays near zero (or positive)",
            "mean over the run of WGA's cosine of e_r",
            threshold=-0.1,
            margin=0.05,
            bounds=COSINE,
        ),
        _cosine_of_wga(RETAIN),
    ),
    (
        Claim(
            6,
            "a",
            CHANGE,
            "WGA raises R_r little",
            "attributed change of R_r over WGA's run (term objective), for each nat by which R_u "
            "rose, as measured",
            threshold=0.1,
            margin=0.05,
            above=False,
        ),
        _harm_of_wga,
    ),
    (
        Claim(
            6,
            "b",
            GEFFECT,
            "WGA's e_u stays negative: removal goes on",
            "mean over the run of WGA's cosine of e_u",
            threshold=-0.1,
            margin=0.05,
            above=False,
            bounds=COSINE,
        ),
        _cosine_of_wga(UNLEARN),
    ),
    (
        Claim(
            6,
            "b",
            CHANGE,
            "WGA removes",
            "measured rise of R_u over WGA's run, in nats",
            threshold=0.5,
            margin=0.25,
        ),
        _forgetting_of_wga,
    ),
    *_better("c", "WGA", "GA"),
    *_better("d", "TNPO", "NPO"),
)
