"""The figure of relearning by the data that it draws."""

import numpy as np
import pytest
from made_up import draw, lines, made_up_results, relearned, texts

from geffect.names import CELL, RETAIN_MODEL
from geffect.report.figures.relearn import METRICS
from geffect.report.results import Results


def test_lines_are_means_over_seeds_beside_the_retain_model(rng):
    results = relearned(made_up_results(rng), rng)
    figure = draw(results, "relearn")
    *panels, _ = figure.get_axes()
    frame = results.frame("relearn").query("dataset == 'other'")
    assert len(panels) == 2 * len(METRICS)
    for axes, (regularizer, metric) in zip(
        panels, [(r, m) for m in METRICS for r in ("none", "kl")], strict=True
    ):
        shown = lines(axes)
        assert set(shown) == {"retain model", "ga", "npo", "po"}
        for name, line in shown.items():
            beside = name == "retain model"
            rows = frame[frame["objective"].eq(RETAIN_MODEL if beside else name)]
            rows = rows[rows["regularizer"].eq("none" if beside else regularizer)]
            means = rows[rows["metric"].eq(metric)].groupby("epoch")["value"].mean()
            assert list(line.get_xdata()) == [0, 1, 2, 3]
            np.testing.assert_allclose(line.get_ydata(), means)
    assert panels[0].get_title() == "regularizer none"
    assert panels[0].get_ylabel() == "extraction\nstrength"
    assert panels[-1].get_xlabel() == "epoch"
    assert not any("Gaps" in text for text in texts(figure))


def test_every_finished_cell_is_a_dot_of_its_prediction(rng):
    results = relearned(made_up_results(rng, diverged=[("ga", "kl", 2)]), rng)
    figure = draw(results, "relearn")
    scatter = figure.get_axes()[-1]
    drawn = [
        point
        for line in scatter.lines
        if line.get_linestyle() == "None"
        for point in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    effects, relearn = results.frame("geffect"), results.frame("relearn")
    place = "term == 'objective' and dataset == 'unlearn' and component == 'total' and step == 12"
    norms = effects.query(place).set_index(CELL)["norm_risk"]
    risk = relearn.query("metric == 'risk' and dataset == 'other'").set_index([*CELL, "epoch"])
    expected = []
    for cell in results.cells:
        if (cell["objective"], cell["regularizer"], cell["seed"]) == ("ga", "kl", 2):
            continue
        key = tuple(cell[name] for name in CELL)
        gain = risk.loc[(*key, 0), "value"] - risk.loc[(*key, 3), "value"]
        expected.append((norms[key] ** 2, gain))
    np.testing.assert_allclose(sorted(drawn), sorted(expected))
    assert len(drawn) == 11 and "n = 11" in scatter.get_title()
    assert any("ga+kl seed 2 diverged at step" in text for text in texts(figure))


def test_gaps_are_visible(rng):
    lost = [("npo", "none", 1), ("npo", "none", 2), (RETAIN_MODEL, "none", 2)]
    results = relearned(made_up_results(rng), rng, without=lost)
    figure = draw(results, "relearn")
    said = " ".join(texts(figure)).replace("\n", " ")
    assert "npo+none seed 1 is missing" in said and "the retain model of seed 2 is missing" in said
    assert set(lines(figure.get_axes()[0])) == {"retain model", "ga", "po"}


@pytest.mark.parametrize("without", ["relearn", "geffect"])
def test_without_a_frame_a_panel_says_so(rng, without):
    whole = relearned(made_up_results(rng), rng)
    frames = {n: whole.frame(n) for n in ("relearn", "geffect", "training") if n != without}
    figure = draw(Results(whole.cells, variants=whole.variants, frames=frames), "relearn")
    said = [text.replace("\n", " ") for text in texts(figure)]
    assert any("no cell has both" in text for text in said)
    assert any("nothing was measured" in text for text in said) == (without == "relearn")
