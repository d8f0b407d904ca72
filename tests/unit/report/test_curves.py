"""The scales of lines over steps."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from geffect.report import curves


@pytest.mark.parametrize("side", ["x", "y"])
def test_an_axis_by_powers_of_ten_holds_all_values_with_few_ticks(side, rng):
    axes = Figure().subplots()
    values = pd.Series(rng.choice([-1, 1], 30) * 10 ** rng.uniform(-6, 3, 30))
    curves.symlog(axes, side, values, curves.decade(values.abs().quantile(0.2)))
    low, high = axes.get_xlim() if side == "x" else axes.get_ylim()
    assert low < values.min() and high > values.max()
    ticks = axes.get_xticks() if side == "x" else axes.get_yticks()
    assert 0 in ticks and len(ticks) <= 7


def test_numbers_at_a_logarithmic_axis_are_written_in_full_and_its_name_says_so():
    figure = Figure()
    axes = figure.subplots()
    axes.set_ylabel("e")
    curves.symlog(axes, "y", pd.Series([-200.0, 1e-5, 3.0]), 1e-5)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert not any("$" in label for label in labels) and "0" in labels
    assert {"−1", "−0.001"} <= set(labels)
    assert axes.get_ylabel() == "e (log)"
    assert [curves.plain(x) for x in (1e-5, -0.01, 100, 1e6)] == ["1e−5", "−0.01", "100", "1e6"]


@pytest.mark.parametrize("low, high", [(-1, 0.01), (-0.4, -0.1), (-0.03, 0.9), (0.2, 0.6), (0, 0)])
def test_a_panel_of_cosines_holds_all_and_has_no_empty_half(low, high):
    axes = Figure().subplots()
    curves.scale_values(axes, pd.Series([low, high, np.nan]), "cosine")
    bottom, top = axes.get_ylim()
    assert bottom <= min(low, 0) and top >= max(high, 0)
    assert not (high <= 0.05 and low < -0.1 and top > 0.1), "nothing is up there"
    assert not (low >= -0.05 and high > 0.1 and bottom < -0.1), "nothing is down there"
    assert 0 in axes.get_yticks()


@pytest.mark.parametrize("steps", [[0, 5, 10, 15, 20, 25], [0, 10, 20, 30, 40, 50], [0, 7], [3]])
def test_steps_have_their_numbers_where_they_were_measured(steps):
    axes = Figure().subplots()
    curves.scale_steps(axes, pd.Series(steps))
    assert 0 < len(axes.get_xticks()) <= 4 and set(axes.get_xticks()) <= set(steps)


def test_decades():
    assert [curves.decade(x) for x in (0.02, 1, 99)] == [0.01, 1, 10] and curves.decade(0) == 1
