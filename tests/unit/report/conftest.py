"""Made-up results."""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_up import STEPS

from geffect.names import COMPONENTS

TERMS = ("objective", "regularizer")


@pytest.fixture
def risk(rng):
    """A run with KL and one without, whose shares add up to the measured changes."""
    rows = []
    for regularizer, seed in itertools.product(("kl", "none"), (1, 2)):
        cell = {"model": "m", "split": "forget10", "objective": "npo", "regularizer": regularizer}
        terms = TERMS if regularizer == "kl" else TERMS[:1]
        for step, dataset in itertools.product(STEPS, ("unlearn", "retain")):
            place = {**cell, "seed": seed, "step": step, "dataset": dataset, "risk": 1.0}
            last = step == STEPS[-1]
            shares = {(t, c): np.nan if last else rng.normal() for t in terms for c in COMPONENTS}
            rest = np.nan if last else 0.1 * rng.normal()
            measured = sum(shares.values()) + rest
            for term in terms:
                for c in COMPONENTS:
                    rows.append({**place, "term": term, "component": c})
                    rows[-1] |= {"predicted_change": shares[term, c], "measured_change": np.nan}
                total = sum(shares[term, c] for c in COMPONENTS)
                rows.append({**place, "term": term, "component": "total"})
                rows[-1] |= {"predicted_change": total, "measured_change": measured}
            if not last:
                rows.append({**place, "term": "unexplained", "component": "total"})
                rows[-1] |= {"predicted_change": rest, "measured_change": measured}
    return pd.DataFrame(rows)


@pytest.fixture
def gap(risk, rng):
    """(risk, of_run, step): `risk`, in which one run of npo+none has no gradient on D_u at a step
    in its middle, so that both intervals at it are without numbers; and the run's rows on D_u.
    """
    of_run = risk["regularizer"].eq("none") & risk["seed"].eq(1) & risk["dataset"].eq("unlearn")
    at = int(rng.integers(1, len(STEPS) - 1))
    lost = of_run & risk["step"].isin(STEPS[at - 1 : at + 1])
    columns = ["predicted_change", "measured_change"]
    return risk.assign(**{c: risk[c].mask(lost) for c in columns}), of_run, STEPS[at]
