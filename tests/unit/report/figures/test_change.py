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
