"""The change of risk by term and component: the table and what the figure draws."""

import itertools

import numpy as np
import pandas as pd
import pytest

from geffect.names import COMPONENTS
from geffect.report import changes

TERMS = ("objective", "regularizer")
STEPS = [0, 5, 10, 12]


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


def test_the_shares_of_a_run_add_up_to_its_measured_change(risk):
    table = changes.attributed(risk)
    keys = ["regularizer", "seed", "dataset"]
    totals = table[table["component"].eq("total")]
    for _, rows in totals.groupby(keys):
        measured = rows["measured_change"].unique()
        np.testing.assert_allclose(measured, measured[0], rtol=1e-12)
        assert rows["predicted_change"].sum() == pytest.approx(measured[0])
    parts = table[table["component"].isin(COMPONENTS)]
    summed = parts.groupby([*keys, "term"])["predicted_change"].sum()
    expected = totals[totals["term"].ne("unexplained")].set_index([*keys, "term"])
    np.testing.assert_allclose(summed, expected["predicted_change"].reindex(summed.index))


def stacked(axes, x):
    """The sum of the bars that stand at a step."""
    return sum(
        b.get_height() for b in axes.patches if abs(b.get_x() + b.get_width() / 2 - x) < 1e-9
    )


def test_bars_add_up_to_the_measured_line_by_term_and_by_component(risk):
    figure = changes.change_over_steps(risk, "what changed the risks")
    panels = figure.get_axes()
    assert len(panels) == 2 * 4
    for (name, dataset), axes in zip(
        itertools.product(("kl", "none"), ("unlearn", "unlearn", "retain", "retain")),
        panels,
        strict=True,
    ):
        rows = risk.query(
            "regularizer == @name and dataset == @dataset and term == 'objective' "
            "and component == 'total'"
        )
        expected = rows.groupby("step")["measured_change"].mean().iloc[:-1].cumsum()
        line = next(drawn for drawn in axes.lines if drawn.get_label() == "measured")
        assert line.get_xdata().tolist() == STEPS
        np.testing.assert_allclose(line.get_ydata(), [0, *expected])
        for x, value in zip(STEPS[1:], expected, strict=True):
            assert stacked(axes, x) == pytest.approx(value)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert legend == {"objective", "regularizer", "unexplained", "measured", *COMPONENTS}
    assert panels[0].get_ylabel() == "regularizer kl\nchange of risk (nats)"


def test_a_run_measured_once_has_nothing_to_draw(risk):
    with pytest.raises(ValueError, match="nothing to draw"):
        changes.change_over_steps(risk[risk["step"].eq(STEPS[-1])], "x")
    other = pd.concat([risk, risk.assign(objective="ga")])
    with pytest.raises(ValueError, match="one objective"):
        changes.change_over_steps(other, "x")
