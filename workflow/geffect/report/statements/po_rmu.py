"""Statement 7: PO forgets in its early steps only; RMU is sensitive to its layer and to c."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from geffect.names import EFFECT_DATASETS, NO_REGULARIZER, OBJECTIVE, RETAIN, UNLEARN
from geffect.report.statements.comparisons import mean_cosines
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

NAME = "PO forgets in its early steps only; RMU is sensitive to l and c"
EARLY, LATE = (0, 0.5), (0.5, 1)
Quantity = Callable[[Runs], Mapping[int, Value]]


def _cosine_of_po(part: tuple[float, float]) -> Quantity:
    return lambda runs: mean_cosines(runs, runs.variant("po"), UNLEARN, part)


def _rises_of_po(runs: Runs) -> dict[int, tuple[float, float]]:
    """Seed -> the rise of R_u in the first and in the second half of the run."""
    name = runs.variant("po")
    result = {}
    for seed in runs.seeds((name, NO_REGULARIZER)):
        curve = runs.curve(name, NO_REGULARIZER, seed)
        half = curve.at_half()
        result[seed] = half, float(curve.unlearn[-1]) - half
    return result


def _early_rise(runs: Runs) -> Mapping[int, Value]:
    return {seed: Value(early) for seed, (early, _) in _rises_of_po(runs).items()}


def _late_over_early(runs: Runs) -> Mapping[int, Value]:
    result = {}
    for seed, (early, late) in _rises_of_po(runs).items():
        if early < RISE:
            raise CannotTell(
                f"po did not forget in the first half: R_u changed by {early:+.2g} nats"
            )
        result[seed] = Value(late / early, facts={"early": early, "late": late})
    return result


def _spread(
    runs: Runs,
    parameter: str,
    of: Callable[[str, int], Mapping[str, float]],
    spread: Callable[[list[float]], float | None],
) -> Mapping[int, Value]:
    """The greatest spread of a quantity between variants of RMU that differ in one parameter."""
    variants = runs.of_family("rmu")
    if not variants:
        raise CannotTell("no run of rmu without a regularizer is in the grid")
    hyper = {name: runs.variants[OBJECTIVE][name]["hyper"] for name in variants}
    rest = {
        name: frozenset((key, value) for key, value in given.items() if key != parameter)
        for name, given in hyper.items()
    }
    families = [
        [name for name in variants if rest[name] == others]
        for others in dict.fromkeys(rest.values())
    ]
    families = [names for names in families if len({hyper[name][parameter] for name in names}) > 1]
    if not families:
        raise CannotTell(
            f"no sweep: the grid has no two variants of rmu that differ in {parameter} alone"
        )
    swept = list(dict.fromkeys(itertools.chain.from_iterable(families)))
    result = {}
    for seed in runs.seeds(*((name, NO_REGULARIZER) for name in swept)):
        values = {name: of(name, seed) for name in swept}
        spreads = [
            found
            for names in families
            for dataset in EFFECT_DATASETS
            if (found := spread([values[name][dataset] for name in names])) is not None
        ]
        if not spreads:
            raise CannotTell(f"no variant of rmu changed a risk by {RISE} nats")
        result[seed] = Value(max(spreads), facts={"variants": len(swept)})
    return result


def _cosines_over(parameter: str) -> Quantity:
    def quantity(runs: Runs) -> Mapping[int, Value]:
        def cosines(name: str, seed: int) -> Mapping[str, float]:
            return {
                dataset: runs.mean_cosine(name, NO_REGULARIZER, seed, dataset)
                for dataset in EFFECT_DATASETS
            }

        return _spread(runs, parameter, cosines, lambda values: max(values) - min(values))

    return quantity


def _changes_over(parameter: str) -> Quantity:
    def quantity(runs: Runs) -> Mapping[int, Value]:
        def ends(name: str, seed: int) -> Mapping[str, float]:
            curve = runs.curve(name, NO_REGULARIZER, seed)
            return {UNLEARN: float(curve.unlearn[-1]), RETAIN: float(curve.retain[-1])}

        def relative(values: list[float]) -> float | None:
            greatest = max(map(abs, values))
            return (max(values) - min(values)) / greatest if greatest >= RISE else None

        return _spread(runs, parameter, ends, relative)

    return quantity


def _sensitive(part: str, parameter: str) -> tuple[tuple[Claim, Quantity], ...]:
    symbol = {"layer": "l", "c": "c"}[parameter]
    among = f"between variants of RMU that differ in {symbol} alone, the greatest over the sweep"
    return (
        (
            Claim(
                7,
                part,
                GEFFECT,
                f"RMU's G-effect depends on {symbol}",
                f"greatest less least mean cosine of e_u or of e_r {among}",
                threshold=0.1,
                margin=0.05,
                bounds=DIFFERENCE,
            ),
            _cosines_over(parameter),
        ),
        (
            Claim(
                7,
                part,
                CHANGE,
                f"what RMU does to the risks depends on {symbol}",
                "greatest less least measured change of R_u, or attributed change of R_r, over the "
                f"run, relative to the greatest, {among}",
                threshold=0.5,
                margin=0.1,
            ),
            _changes_over(parameter),
        ),
    )


CLAIMS = (
    (
        Claim(
            7,
            "a",
            GEFFECT,
            "PO's e_u is negative early",
            "mean of PO's cosine of e_u over the first half of the run (by learning rate spent)",
            threshold=0,
            margin=0.05,
            above=False,
            bounds=COSINE,
        ),
        _cosine_of_po(EARLY),
    ),
    (
        Claim(
            7,
            "a",
            CHANGE,
            "PO raises R_u early",
            "measured rise of R_u in the first half of PO's run (by learning rate spent), in nats",
            threshold=RISE,
            margin=0.05,
        ),
        _early_rise,
    ),
    (
        Claim(
            7,
            "b",
            GEFFECT,
            "PO's e_u is near zero or positive later",
            "mean of PO's cosine of e_u over the second half of the run (by learning rate spent)",
            threshold=-0.1,
            margin=0.05,
            bounds=COSINE,
        ),
        _cosine_of_po(LATE),
    ),
    (
        Claim(
            7,
            "b",
            CHANGE,
            "PO raises R_u little later, or lowers it again",
            "measured rise of R_u in the second half of PO's run over that in the first (halves by "
            "learning rate spent); negative: it relearns",
            threshold=0.5,
            margin=0.1,
            above=False,
        ),
        _late_over_early,
    ),
    *_sensitive("c", "layer"),
    *_sensitive("d", "c"),
)
