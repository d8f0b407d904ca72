"""Changes of risk over runs, in all that is made of them."""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_up import name_cell

from geffect.names import CELL
from geffect.report import changes


def test_changes_are_summed_from_the_start_of_every_run_and_unknown_after_a_missing_one(rng):
    first, second = rng.normal(size=4), rng.normal(size=4)
    second[1] = np.nan
    runs = [
        pd.DataFrame({"step": [0, 5, 10, 12], "measured_change": values, "dataset": "unlearn"})
        for values in (first, second)
    ]
    frame = pd.concat([run.assign(**name_cell("ga", seed=s)) for s, run in enumerate(runs)])
    shuffled = frame.sample(frac=1, random_state=int(rng.integers(1 << 31)))
    found = changes.cumulated_change(shuffled)
    expected = [0, *first[:3].cumsum(), 0, second[0], np.nan, np.nan]
    np.testing.assert_allclose(found["change"], expected)
    assert found["step"].tolist() == [0, 5, 10, 12] * 2
    sums = changes.over_runs(shuffled, CELL, ["measured_change"])["measured_change"]
    by_seed = sums.droplevel(CELL[:-1])
    assert by_seed[0] == pytest.approx(first[:3].sum()) and np.isnan(by_seed[1])


def test_the_last_step_is_the_runs_and_not_that_of_a_term_which_ends_before_it(rng):
    """Of the last step there are rows of the objective alone."""
    rows = [
        name_cell("ga", "kl") | {"step": step, "term": term, "change": float(rng.normal())}
        for step, term in itertools.product([0, 5, 10], ["objective", "regularizer"])
        if step < 10 or term == "objective"
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=int(rng.integers(1 << 31)))
    assert sorted(changes.intervals(frame)["step"]) == [0, 0, 5, 5]
    each = frame.groupby(["term", "step"])["change"].sum()
    for column in ("objective", "regularizer"):
        sums = changes.cumulated_change(frame, "term", "change").query(f"term == '{column}'")
        expected = [0, each[column, 0], each[column, 0] + each[column, 5]]
        np.testing.assert_allclose(sums["change"], expected)
        whole = changes.over_runs(frame, ["term"], ["change"])["change"]
        assert whole[column] == pytest.approx(expected[-1])


def test_nothing_has_no_changes():
    assert changes.intervals(pd.DataFrame()).empty
    assert list(changes.cumulated_change(pd.DataFrame())) == [*CELL, "step", "dataset", "change"]
