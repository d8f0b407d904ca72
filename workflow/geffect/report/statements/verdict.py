"""Claims, what a run says about them, and the rule that turns both into a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from geffect.report import seeds

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
VERDICTS = (HOLDS, FAILS, OPEN)
GEFFECT, CHANGE = "geffect", "change"
BY = (GEFFECT, CHANGE)
"""How a claim is judged: by G-effects (mostly cosines), or by what the runs did to the risks."""

SAME = "not counted"
"""In place of a verdict: the part is another part's finding."""
LEVEL = seeds.LEVEL
COSINE, DIFFERENCE = (-1.0, 1.0), (-2.0, 2.0)
"""The ranges of cosines and correlations, and of differences of two."""
ALL_SPLITS = "all"
"""In the column `split`: the rows on what is said of all splits."""


class CannotTell(Exception):
    """A claim cannot be judged; its text is the reason, for a reader."""


class SameFinding(Exception):
    """A part of a statement says in this run what another part says; its text names that one."""


@dataclass(frozen=True)
class Claim:
    """What a statement, or a part of it, says of a run.

    Attributes:
        statement: its number, 1 to 8.
        part: "" or a letter, for statements that say several things.
        by: one of `BY`.
        text: the claim, in words.
        quantity: what is computed, in words.
        threshold: the quantity that the claim is compared with.
        margin: without an interval, how far from `threshold` a value must lie to count.
        above: whether the claim is that the quantity is above the threshold, or below it.
        bounds: the least and the greatest value that the quantity can have.
    """

    statement: int
    part: str
    by: str
    text: str
    quantity: str
    threshold: float
    margin: float
    above: bool = True
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def rule(self) -> str:
        """The side of the threshold that the claim wants, such as `> 0.1`."""
        return f"{'>' if self.above else '<'} {number(self.threshold)}"


@dataclass(frozen=True)
class Value:
    """A claim's quantity in the runs of one seed.

    Attributes:
        value: the quantity.
        resampled: the same for resampled instances [resamples], where it is made of instances.
        facts: what a reader should know beside it, name -> number (averaged over seeds).
        error: how far off it may be, where a curve is read between measured steps.
    """

    value: float
    resampled: np.ndarray | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    error: float = 0.0


@dataclass(frozen=True)
class Judged:
    """A claim with its quantity, interval and verdict; a row of the table of statements.

    Attributes:
        value, low, high: the quantity (mean over seeds) and its 95% interval; NaN if there is none.
        interval: what the interval is over: "instances", "seeds", "seeds and instances", or "".
        seeds: how many seeds entered.
        verdict: one of `VERDICTS`, or SAME.
        reason: why, in words.
    """

    claim: Claim
    value: float
    low: float
    high: float
    interval: str
    seeds: int
    verdict: str
    reason: str


def number(value: float) -> str:
    """A number for readers: three digits, a minus sign, a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.3g}".replace("-", "−")


def interval(
    values: Sequence[Value], bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float, str]:
    """The 95% interval of the mean over seeds within its bounds, and what it is over.

    The error of reading a curve between measured steps is added to either, in squares.
    Over seeds by Student's t (a bootstrap of three numbers covers about 75%, not 95%), over
    instances by the percentiles of the resampled quantity, every seed with the same draws. Where
    there are both, their distances from the mean are added as independent errors are, in squares.
    """
    mean = math.fsum(v.value for v in values) / len(values)
    below = above = 0.0
    over = []
    if len(values) > 1:
        spread = float(np.std([v.value for v in values], ddof=1))
        below = above = float(seeds.half_width(spread, len(values)))
        over.append("seeds")
    resampled = [v.resampled for v in values if v.resampled is not None]
    if len(resampled) == len(values):
        means = np.mean(resampled, axis=0)
        low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        below = math.hypot(below, max(mean - float(low), 0))
        above = math.hypot(above, max(float(high) - mean, 0))
        over.append("instances")
    if not over:
        return math.nan, math.nan, ""
    error = _error(values)
    ends = mean - math.hypot(below, error), mean + math.hypot(above, error)
    low, high = (float(seeds.within(end, bounds)) for end in ends)
    return low, high, " and ".join(over)


def _error(values: Sequence[Value]) -> float:
    # Alike in all seeds, which are measured at the same steps: more of them do not lessen it.
    return math.fsum(value.error for value in values) / len(values)


def judge(claim: Claim, values: Callable[[], Mapping[int, Value]]) -> Judged:
    """The verdict on a claim.

    With an interval: it holds where the whole interval lies on the claimed side of the threshold,
    does not hold where it lies on the other side, and cannot be told in between. Without one (a
    single seed, and a quantity that is not made of instances) the value itself must be farther
    from the threshold than the claim's margin.

    Args:
        values: computes the quantity, seed -> value; may raise CannotTell or SameFinding.
    """
    try:
        found = values()
        if not found:
            raise CannotTell("no seed has all the runs that this needs")
    except CannotTell as error:
        return Judged(claim, math.nan, math.nan, math.nan, "", 0, OPEN, str(error))
    except SameFinding as error:
        return Judged(claim, math.nan, math.nan, math.nan, "", 0, SAME, str(error))
    given = list(found.values())
    mean = math.fsum(v.value for v in given) / len(given)
    low, high, over = interval(given, claim.bounds)
    verdict, why = _verdict(claim, mean, low, high, _error(given))
    if len(given) == 1 and verdict != OPEN:
        why += " (one seed: others may differ)"
    return Judged(
        claim, mean, low, high, over, len(given), verdict, "; ".join([why, *_facts(given)])
    )


def _verdict(claim: Claim, mean: float, low: float, high: float, error: float) -> tuple[str, str]:
    side = 1 if claim.above else -1
    if math.isnan(low):
        distance = side * (mean - claim.threshold)
        margin = claim.margin + error
        if abs(distance) <= margin:
            return OPEN, (
                f"one seed, so no interval, and {number(mean)} is within {number(margin)} of "
                f"{number(claim.threshold)}"
            )
        return (HOLDS if distance > 0 else FAILS), (
            f"{number(mean)} is {'above' if mean > claim.threshold else 'below'} "
            f"{number(claim.threshold)} by more than {number(margin)}"
        )
    nearest, farthest = (low, high) if claim.above else (high, low)
    shown = f"the interval {number(low)} to {number(high)}"
    if side * (nearest - claim.threshold) > 0:
        return (
            HOLDS,
            f"{shown} lies {'above' if claim.above else 'below'} {number(claim.threshold)}",
        )
    if side * (farthest - claim.threshold) < 0:
        return (
            FAILS,
            f"{shown} lies {'below' if claim.above else 'above'} {number(claim.threshold)}",
        )
    return OPEN, f"{shown} includes {number(claim.threshold)}"


def _facts(values: Sequence[Value]) -> list[str]:
    names = dict.fromkeys(name for value in values for name in value.facts)
    lines = []
    for name in names:
        known = [value.facts[name] for value in values if name in value.facts]
        lines.append(f"{name} {number(math.fsum(known) / len(known))}")
    return lines


def together(verdicts: Sequence[str]) -> str:
    """The verdict on a statement from those on its parts: it holds where all of them do.

    Parts that are another part's finding do not count.
    """
    verdicts = [verdict for verdict in verdicts if verdict != SAME]
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else OPEN


def counted(verdicts: Sequence[str]) -> str:
    """The verdict on a statement, for readers: of several parts, how many of them hold."""
    verdicts = [verdict for verdict in verdicts if verdict != SAME]
    if len(verdicts) < 2 or set(verdicts) == {OPEN}:
        return together(verdicts)
    said = f"{list(verdicts).count(HOLDS)} of {len(verdicts)} hold"
    undecided = list(verdicts).count(OPEN)
    return f"{said}, {undecided} cannot be told" if undecided else said
