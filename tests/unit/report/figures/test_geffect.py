"""The G-effects of a variant are drawn as they are."""

import numpy as np
import pandas as pd
import pytest
from made_up import STEPS, draw_frame, effects, lines, name_cell, panels_by_label, texts, values_of

from geffect.names import COMPONENTS
from geffect.report.figures import geffect

PANELS = {
    "G-effect $e_u$": ("unlearn", "geffect"),
    "G-effect $e_r$": ("retain", "geffect"),
    "cosine of $e_u$": ("unlearn", "cosine"),
    "cosine of $e_r$": ("retain", "cosine"),
}


def test_steps_figure_draws_each_component(rng):
    plain, with_kl = effects(rng), effects(rng, regularizer="kl")
    figure = draw_frame("geffect_ga", pd.concat([plain, with_kl]))
    panels = panels_by_label(figure)
    assert set(panels) == set(PANELS)
    for label, (dataset, value) in PANELS.items():
        for axes, frame, extra in zip(panels[label], (plain, with_kl), (0, 2), strict=True):
            drawn = lines(axes)
            assert len(drawn) == 6 + extra
            for component in ["total", *COMPONENTS]:
                line = drawn[component]
                assert list(line.get_xdata()) == STEPS
                expected = values_of(frame, dataset, value, component=component)
                assert list(line.get_ydata()) == expected
            for term, (name, _) in geffect.TERMS.items() if extra else []:
                expected = values_of(frame, dataset, value, term=term)
                assert list(drawn[name].get_ydata()) == expected


def test_steps_figure_says_what_it_shows(rng):
    frame = pd.concat([effects(rng), effects(rng, regularizer="kl")])
    figure = draw_frame("geffect_ga", frame)
    shown = [text.replace("\n", " ") for text in texts(figure)]
    for text in (
        "ga: down on the left is forgetting, down on the right is harm (tiny,\xa0forget05)",
        "regularizer: none",
        "regularizer: kl",
        "unlearning (wanted: negative)",
        "retaining (wanted: ≥ 0)",
        *COMPONENTS,
    ):
        assert text in shown
    assert shown.count("step (updates)") == 2


def test_seeds_become_a_mean_and_a_band(rng):
    seeds = [effects(rng, seed=seed) for seed in range(3)]
    figure = draw_frame("geffect_ga", pd.concat(seeds))
    axes = panels_by_label(figure)["G-effect $e_u$"][0]
    stacked = np.array([values_of(frame, "unlearn", "geffect") for frame in seeds])
    np.testing.assert_allclose(lines(axes)["total"].get_ydata(), stacked.mean(axis=0))
    assert len(axes.collections) == 6
    band = axes.collections[0].get_paths()[0].vertices
    for step, column in zip(STEPS, stacked.T, strict=True):
        edge = band[band[:, 0] == step, 1]
        assert (edge.min(), edge.max()) == pytest.approx((column.min(), column.max()))


def test_a_diverged_run_ends_and_says_so(rng):
    stopped = effects(rng, steps=[0, 5])
    frame = pd.concat([stopped, effects(rng, regularizer="kl")])
    log = pd.DataFrame({"step": [6, 7], "diverged": [False, True]}).assign(**name_cell("ga"))
    figure = draw_frame("geffect_ga", frame, [log])
    top, bottom = panels_by_label(figure)["G-effect $e_u$"]
    assert list(lines(top)["total"].get_xdata()) == [0, 5]
    assert top.get_xlim() == bottom.get_xlim() and top.get_xlim()[1] > 12
    assert top.get_ylim() == bottom.get_ylim()
    assert any("diverged at step 7" in text for text in texts(figure))


def test_missing_numbers_are_gaps(rng):
    frame = effects(rng)
    frame.loc[frame["step"].eq(5), ["geffect", "cosine"]] = np.nan
    figure = draw_frame("geffect_ga", frame)
    for axes in figure.get_axes():
        drawn = np.isnan(lines(axes)["total"].get_ydata())
        assert drawn.tolist() == [False, True, False, False]
    frame[["geffect", "cosine"]] = np.nan
    draw_frame("geffect_ga", frame)


def test_values_over_several_orders_get_a_symlog_axis(rng):
    frame = effects(rng)
    figure = draw_frame("geffect_ga", frame.assign(geffect=-1.0 - frame["step"]))
    assert {axes.get_yscale() for axes in figure.get_axes()} == {"linear"}
    frame["geffect"] = -(10.0 ** (frame["step"] / 2 - 2))
    figure = draw_frame("geffect_ga", frame)
    for label, panels in panels_by_label(figure).items():
        assert panels[0].get_yscale() == ("symlog" if "G-effect" in label else "linear")
        low, high = panels[0].get_ylim()
        assert low <= min(lines(panels[0])["total"].get_ydata()) and high > 0
        assert len(panels[0].get_yticks()) <= 7


@pytest.mark.parametrize(
    ("largest", "reach"), [(0.04, 0.1), (0.1, 0.2), (0.15, 0.2), (0.3, 0.5), (0.6, 1), (1, 1)]
)
def test_the_axis_of_cosines_of_both_signs_is_symmetric_and_as_narrow_as_can_be(
    largest, reach, rng
):
    frame = effects(rng)
    signs = np.where(frame["step"].eq(0), 1, -1)
    figure = draw_frame("geffect_ga", frame.assign(cosine=signs * largest))
    cosines = [panels[0] for label, panels in panels_by_label(figure).items() if "cos" in label]
    assert len(cosines) == 2
    for axes in cosines:
        low, high = axes.get_ylim()
        assert low == -high and low < -largest and high <= 1.08 * reach + 1e-9
        assert np.diff(axes.get_yticks()) == pytest.approx(reach / 2)


def test_a_single_step_is_visible(rng):
    for axes in draw_frame("geffect_ga", effects(rng, steps=[0])).get_axes():
        assert all(line.get_marker() != "None" for line in lines(axes).values())
