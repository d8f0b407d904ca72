"""Quantities that several statements share: of one objective, and of two, by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from geffect.names import NO_REGULARIZER
from geffect.report.statements.runs import RISE, Curve, Runs
from geffect.report.statements.verdict import CannotTell, Value


def mean_cosines(
    runs: Runs, objective: str, dataset: str, part: tuple[float, float] = (0, 1)
) -> Mapping[int, Value]:
    """An objective's mean cosine over a part of its run without a regularizer, by seed."""
    whole = part == (0, 1)
    return {
        seed: Value(
            runs.mean_cosine(objective, NO_REGULARIZER, seed, dataset, part=part),
            runs.resampled_cosine(objective, seed, dataset) if whole else None,
        )
        for seed in runs.seeds((objective, NO_REGULARIZER))
    }


def more_cosine(runs: Runs, one: str, other: str, dataset: str) -> Mapping[int, Value]:
    """How much greater one objective's mean cosine is than another's, by seed."""
    result = {}
    for seed in runs.seeds((one, NO_REGULARIZER), (other, NO_REGULARIZER)):
        means = [runs.mean_cosine(o, NO_REGULARIZER, seed, dataset) for o in (one, other)]
        drawn = [runs.resampled_cosine(o, seed, dataset) for o in (one, other)]
        both = None if drawn[0] is None or drawn[1] is None else drawn[0] - drawn[1]
        result[seed] = Value(means[0] - means[1], both, dict(zip((one, other), means, strict=True)))
    return result


def harm_per_nat(runs: Runs, objective: str, seed: int) -> Value:
    """An objective's attributed rise of R_r, for each nat by which R_u rose, over its whole run.

    Raises:
        CannotTell: R_u did not rise.
    """
    curve = runs.curve(objective, NO_REGULARIZER, seed)
    forgotten, harm = float(curve.unlearn[-1]), float(curve.retain[-1])
    if forgotten < RISE:
        raise CannotTell(
            f"{objective} did not forget: R_u changed by {forgotten:+.2g} nats (less than {RISE})"
        )
    measured = float(runs.curve(objective, NO_REGULARIZER, seed, None).retain[-1])
    return Value(
        harm / forgotten,
        facts={
            "measured change of R_u": forgotten,
            "attributed change of R_r": harm,
            "measured change of R_r": measured,
            "residual (measured less attributed: what bends between measured steps)": measured
            - harm,
        },
    )


def common_rise(curves: Mapping[str, Curve]) -> float:
    """The greatest rise of R_u that all runs reach.

    Raises:
        CannotTell: it is next to nothing.
    """
    rise = min(curve.rise for curve in curves.values())
    if rise < RISE:
        reached = ", ".join(f"{name} {curve.rise:.2g}" for name, curve in curves.items())
        raise CannotTell(
            f"the runs reach no common rise of R_u of at least {RISE} nats (greatest rise: "
            f"{reached})"
        )
    return rise


def saved_per_nat(runs: Runs, one: str, other: str) -> Mapping[int, Value]:
    """How much less one objective harms than another at an equal rise of R_u, by seed.

    The difference of both attributed changes of R_r, where R_u has risen by as much as both runs
    of a seed reach, divided by that rise.
    """
    result = {}
    for seed in runs.seeds((one, NO_REGULARIZER), (other, NO_REGULARIZER)):
        curves = {name: runs.curve(name, NO_REGULARIZER, seed) for name in (one, other)}
        rise = common_rise(curves)
        harms = {name: curve.harm_at(rise) for name, curve in curves.items()}
        saved = (harms[other][0] - harms[one][0]) / rise
        error = (harms[other][1] + harms[one][1]) / rise
        shown = {f"attributed change of R_r in {name}": harm for name, (harm, _) in harms.items()}
        shown["uncertain between measured steps by"] = error
        result[seed] = Value(saved, None, {"where R_u has risen by": rise, **shown}, error)
    return result


def median_over(
    values: Sequence[tuple[str, float]], what: str, facts: Mapping[str, float] | None = None
) -> Value:
    """The median over runs of one seed, with every run's number beside it.

    Raises:
        CannotTell: there is no run.
    """
    if not values:
        raise CannotTell(what)
    numbers = sorted(number for _, number in values)
    middle = len(numbers) // 2
    median = (numbers[middle] + numbers[~middle]) / 2
    return Value(median, facts={**(facts or {}), **dict(values)})
