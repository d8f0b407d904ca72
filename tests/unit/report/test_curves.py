"""Lines over steps: sums of changes, and scales."""

import numpy as np
import pandas as pd
import pytest
from made_up import name_cell
from matplotlib.figure import Figure

from geffect.report import curves


def test_changes_are_summed_from_the_start_of_every_run_and_unknown_after_a_missing_one(rng):
    first, second = rng.normal(size=4), rng.normal(size=4)
    second[1] = np.nan
    runs = [
        pd.DataFrame({"step": [0, 5, 10, 12], "measured_change": values, "dataset": "unlearn"})
        for values in (first, second)
    ]
    frame = pd.concat([run.assign(**name_cell("ga", seed=s)) for s, run in enumerate(runs)])
    shuffled = frame.sample(frac=1, random_state=int(rng.integers(1 << 31)))
    found = curves.cumulated_change(shuffled).sort_values(["seed", "step"])
    expected = [0, *first[:3].cumsum(), 0, second[0], np.nan, np.nan]
    np.testing.assert_allclose(found["change"], expected)


@pytest.mark.parametrize("side", ["x", "y"])
def test_an_axis_by_powers_of_ten_holds_all_values_with_few_ticks(side, rng):
    axes = Figure().subplots()
    values = pd.Series(rng.choice([-1, 1], 30) * 10 ** rng.uniform(-6, 3, 30))
    curves.symlog(axes, side, values, curves.decade(values.abs().quantile(0.2)))
    low, high = axes.get_xlim() if side == "x" else axes.get_ylim()
    assert low < values.min() and high > values.max()
    ticks = axes.get_xticks() if side == "x" else axes.get_yticks()
    assert 0 in ticks and len(ticks) <= 7


def test_decades():
    assert [curves.decade(x) for x in (0.02, 1, 99)] == [0.01, 1, 10] and curves.decade(0) == 1
