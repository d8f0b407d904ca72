"""The bars and the line of what changed the risks."""

import itertools

import numpy as np
import pytest
from made_up import STEPS, draw, texts

from geffect.names import CELL, COMPONENTS
from geffect.report.results import Results


def drawn(risk):
    cells = risk[CELL].drop_duplicates().to_dict("records")
    return draw(Results(cells, frames={"risk": risk}), "change_npo")


def stacked(axes, x):
    """The sum of the bars that stand at a step."""
    return sum(
        b.get_height() for b in axes.patches if abs(b.get_x() + b.get_width() / 2 - x) < 1e-9
    )


def test_bars_add_up_to_the_measured_line_by_term_and_by_component(risk):
    figure = drawn(risk)
    panels = figure.get_axes()
    assert len(panels) == 2 * 4
    for (name, dataset), axes in zip(
        itertools.product(("kl", "none"), ("unlearn", "unlearn", "retain", "retain")),
        panels,
        strict=True,
    ):
        rows = risk[risk["regularizer"].eq(name) & risk["dataset"].eq(dataset)]
        rows = rows[rows["term"].eq("objective") & rows["component"].eq("total")]
        expected = rows.groupby("step")["measured_change"].mean().iloc[:-1].cumsum()
        line = next(drawn for drawn in axes.lines if drawn.get_label() == "measured")
        assert line.get_xdata().tolist() == STEPS
        np.testing.assert_allclose(line.get_ydata(), [0, *expected])
        for x, value in zip(STEPS[1:], expected, strict=True):
            assert stacked(axes, x) == pytest.approx(value)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert legend == {"objective", "regularizer", "unexplained", "measured", *COMPONENTS}
    assert panels[0].get_title(loc="left") == "regularizer kl: by term"
    assert panels[2].get_ylabel() == "retained (not up)\nchange (nats)"


def test_a_run_measured_once_shows_why_there_is_nothing(risk):
    figure = drawn(risk[risk["step"].eq(STEPS[-1])])
    assert sum("measured once" in text.replace("\n", " ") for text in texts(figure)) == 2 * 4


def test_a_step_that_could_not_be_measured_leaves_a_gap_up_to_the_end(gap):
    risk, of_run, step = gap
    known = [x for x in STEPS[1:] if x < step]
    alone = drawn(risk[risk["regularizer"].eq("none") & risk["seed"].eq(1)]).get_axes()
    for axes in alone[:2]:
        assert {round(b.get_x() + b.get_width() / 2, 9) for b in axes.patches} == set(known)
        line = next(drawn for drawn in axes.lines if drawn.get_label() == "measured")
        values = line.get_ydata()
        assert np.isfinite(values[: len(known) + 1]).all() and values[0] == 0
        assert len(values) == len(STEPS) and np.isnan(values[len(known) + 1 :]).all()
    for axes in alone[2:]:
        assert {round(b.get_x() + b.get_width() / 2, 9) for b in axes.patches} == set(STEPS[1:])
    # Beyond the gap both are those of the other seed.
    both = drawn(risk).get_axes()[4:6]
    rows = risk[~of_run & risk["regularizer"].eq("none") & risk["dataset"].eq("unlearn")]
    rows = rows[rows["term"].eq("objective") & rows["component"].eq("total")]
    other = rows.set_index("step")["measured_change"].iloc[:-1].cumsum().to_numpy()
    for axes in both:
        line = next(drawn for drawn in axes.lines if drawn.get_label() == "measured")
        np.testing.assert_allclose(line.get_ydata()[len(known) + 1 :], other[len(known) :])
        assert stacked(axes, STEPS[-1]) == pytest.approx(other[-1])
