"""Statements 3 to 5: NPO harms less than GA, and what its weight does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from geffect.names import NO_REGULARIZER, RETAIN
from geffect.report.statements.comparisons import common_rise, more_cosine, saved_per_nat
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import (
    CHANGE,
    COSINE,
    DIFFERENCE,
    GEFFECT,
    CannotTell,
    Claim,
    Value,
)

NAMES = {
    3: "NPO harms retention less than GA",
    4: "The NPO weight works as early stopping",
    5: "The NPO weight prioritises instances that damage retention less",
}


def gentler_by_geffect(runs: Runs) -> Mapping[int, Value]:
    """Difference of the mean cosines on D_r."""
    return more_cosine(runs, runs.variant("npo"), runs.variant("ga"), RETAIN)


def gentler_by_change(runs: Runs) -> Mapping[int, Value]:
    """Harm saved for each nat of forgetting, at an equal rise of R_u."""
    return saved_per_nat(runs, runs.variant("npo"), runs.variant("ga"))


def weight_falls(runs: Runs) -> Mapping[int, Value]:
    """The mean weight over D_u at the last measured step less that at the first."""
    name = runs.variant("npo")
    result = {}
    for seed in runs.seeds((name, NO_REGULARIZER)):
        weights = runs.instances(name, seed, "weight")
        ends = weights.iloc[[0, -1]].to_numpy()
        if len(weights) < 2 or not np.isfinite(ends).all():
            raise CannotTell(f"{name} has no finite weights at two steps")
        falls = ends[1] - ends[0]
        drawn = runs.draws(len(falls)) @ falls / len(falls)
        first, last = ends.mean(axis=1)
        result[seed] = Value(
            float(falls.mean()), drawn, {"first": float(first), "last": float(last)}
        )
    return result


def forgets_early(runs: Runs) -> Mapping[int, Value]:
    """NPO's share of forgetting in the second half of the run, less GA's."""
    npo, ga = runs.variant("npo"), runs.variant("ga")
    result = {}
    for seed in runs.seeds((npo, NO_REGULARIZER), (ga, NO_REGULARIZER)):
        curves = {name: runs.curve(name, NO_REGULARIZER, seed) for name in (npo, ga)}
        common_rise(curves)
        if any(curve.unlearn[-1] <= 0 for curve in curves.values()):
            raise CannotTell("a run ends with R_u below its start")
        shares = {name: curve.late_share() for name, curve in curves.items()}
        result[seed] = Value(shares[npo] - shares[ga], facts=shares)
    return result


def weight_follows_damage(runs: Runs) -> Mapping[int, Value]:
    """Mean over measured steps of the rank correlation of w_s with the PG-effect on D_r."""
    name = runs.variant("npo")
    result = {}
    for seed in runs.seeds((name, NO_REGULARIZER)):
        weights = runs.instances(name, seed, "weight")
        effects = runs.instances(name, seed, f"e_{RETAIN}")
        pairs = [
            (w, e)
            for w, e in zip(weights.to_numpy(), effects.to_numpy(), strict=True)
            if np.isfinite(w).all() and np.isfinite(e).all() and np.ptp(w) > 0 and np.ptp(e) > 0
        ]
        if not pairs or weights.shape[1] < 3:
            raise CannotTell(f"the weights of {name} do not differ between instances at any step")
        rows = _drawn_rows(runs.draws(weights.shape[1]))
        drawn = [np.mean([_rank_correlation(w[r], e[r]) for w, e in pairs]) for r in rows]
        value = float(np.mean([_rank_correlation(w, e) for w, e in pairs]))
        result[seed] = Value(value, np.array(drawn), {"steps": len(pairs)})
    return result


def _drawn_rows(counts: np.ndarray) -> list[np.ndarray]:
    return [np.repeat(np.arange(len(count)), count) for count in counts]


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    ranks = stats.rankdata(a), stats.rankdata(b)
    centred = [rank - rank.mean() for rank in ranks]
    size = float(np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
    return float(centred[0] @ centred[1]) / size if size > 0 else float("nan")


def not_by_instance(runs: Runs) -> Mapping[int, Value]:
    """There is no such quantity."""
    raise CannotTell(
        "the change of risk is attributed to terms and components, not to single instances"
    )


CLAIMS = (
    (
        Claim(
            3,
            "",
            GEFFECT,
            "NPO's e_r is less negative than GA's",
            "mean over the run of NPO's cosine of e_r, less that of GA; each along its own run",
            threshold=0,
            margin=0.05,
            bounds=DIFFERENCE,
        ),
        gentler_by_geffect,
    ),
    (
        Claim(
            3,
            "",
            CHANGE,
            "at an equal rise of R_u, NPO has raised R_r less than GA",
            "attributed change of R_r in GA less that in NPO, where R_u has risen by as much as "
            "both runs reach (as measured, seed by seed), divided by that rise",
            threshold=0,
            margin=0.05,
        ),
        gentler_by_change,
    ),
    (
        Claim(
            4,
            "",
            GEFFECT,
            "the mean of w_s over D_u falls during the run",
            "mean over D_u of NPO's weight at the last measured step, less that at the first",
            threshold=0,
            margin=0.05,
            above=False,
            bounds=(-1.0, 1.0),  # w_s is 1 at the original model, and never below 0 or above 2
        ),
        weight_falls,
    ),
    (
        Claim(
            4,
            "",
            CHANGE,
            "NPO does more of its forgetting early than GA does",
            "share of the measured rise of R_u in the second half of the run (halves by learning "
            "rate spent), NPO's less GA's",
            threshold=0,
            margin=0.1,
            above=False,
        ),
        forgets_early,
    ),
    (
        Claim(
            5,
            "",
            GEFFECT,
            "larger w_s go to instances with a larger (less negative) PG-effect on D_r, which "
            "harm retention less when they alone are unlearned",
            "Spearman's rank correlation of w_s with ∇R(D_r)·∇log p(s) over D_u, the mean over the "
            "measured steps at which weights differ",
            threshold=0,
            margin=0.1,
            bounds=COSINE,
        ),
        weight_follows_damage,
    ),
    (
        Claim(
            5,
            "",
            CHANGE,
            "larger w_s go to instances that raised R_r less",
            "none: no table attributes the change of risk to single instances",
            threshold=0,
            margin=0.1,
        ),
        not_by_instance,
    ),
)
