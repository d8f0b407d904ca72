"""Statement 1: unlearning harms retention."""

from __future__ import annotations

from collections.abc import Mapping

from geffect.names import NO_REGULARIZER, RETAIN
from geffect.report.statements.comparisons import harm_per_nat, mean_cosines
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import CHANGE, COSINE, GEFFECT, Claim, Value

NAME = "Unlearning harms retention"


def by_geffect(runs: Runs) -> Mapping[int, Value]:
    """GA's mean cosine on D_r."""
    return mean_cosines(runs, runs.variant("ga"), RETAIN)


def by_change(runs: Runs) -> Mapping[int, Value]:
    """Nats of attributed change of R_r in GA for each nat by which R_u rose."""
    name = runs.variant("ga")
    return {seed: harm_per_nat(runs, name, seed) for seed in runs.seeds((name, NO_REGULARIZER))}


CLAIMS = (
    (
        Claim(
            1,
            "",
            GEFFECT,
            "GA's e_r is strongly negative",
            "mean over the run of GA's cosine of e_r",
            threshold=-0.1,
            margin=0.05,
            above=False,
            bounds=COSINE,
        ),
        by_geffect,
    ),
    (
        Claim(
            1,
            "",
            CHANGE,
            "GA raises R_r along with R_u",
            "attributed change of R_r over GA's run (term objective), for each nat by which R_u "
            "rose, as measured",
            threshold=0.1,
            margin=0.05,
        ),
        by_change,
    ),
)
