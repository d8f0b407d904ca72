"""Sweeps are families of curves, ordered by their hyper-parameters."""

import numpy as np
import pytest
from made_up import PLAIN, SWEEPS, draw, lines, made_up_results

from geffect.report.families import family


@pytest.fixture
def results(rng):
    return made_up_results(rng, PLAIN | SWEEPS, seeds=(1, 2))


def test_members_are_ordered_by_value_and_coloured_by_the_first_hyper_parameter(results):
    found = family(results, "wga")
    assert [m.variant for m in found.members] == ["wga_a0.5", "wga", "wga_a7"]
    assert [m.label for m in found.members] == ["α = 0.5", "α = 5", "α = 7"]
    assert (found.axis, list(found.ticks)) == ("α", ["0.5", "5", "7"])
    assert len({m.look["color"] for m in found.members}) == 3
    both = family(results, "rmu")
    looks = {(m.look["color"], m.look["linestyle"]) for m in both.members}
    assert len(looks) == 6 and len({c for c, _ in looks}) == 3
    assert both.differs == "layer and c" and list(both.groups()) == ["c = 1", "c = 2"]
    assert both.members[0].label == "layer 5, c = 1" and list(both.ticks) == ["5", "9", "16"]


def test_variants_that_differ_in_their_training_only_keep_their_names(rng):
    variants = {name: {"name": "ga", "hyper": {}} for name in ("ga", "ga_slow")}
    found = family(made_up_results(rng, variants, seeds=(1,)), "ga")
    assert [m.label for m in found.members] == ["ga", "ga_slow"]


def test_the_sweep_draws_every_member_along_the_run_and_at_its_value(results):
    figure = draw(results, "sweep_wga")
    labels = ["α = 0.5", "α = 5", "α = 7"]
    names = ["wga_a0.5", "wga", "wga_a7"]
    by_row = np.array(figure.get_axes()).reshape(4, 2)
    effects = results.frame("geffect")
    effects = effects[effects["term"].eq("objective") & effects["component"].eq("total")]
    effects = effects[effects["regularizer"].eq("none")]
    for row, value in ((0, "geffect"), (1, "cosine")):
        for axes, dataset in zip(by_row[row], ("unlearn", "retain"), strict=True):
            drawn = lines(axes)
            assert list(drawn) == labels
            for label, name in zip(labels, names, strict=True):
                rows = effects[effects["objective"].eq(name) & effects["dataset"].eq(dataset)]
                expected = rows.groupby("step")[value].mean()
                np.testing.assert_allclose(drawn[label].get_ydata(), expected)
    main = results.frame("main").query("regularizer == 'none'").set_index("objective")
    left, right = (lines(axes) for axes in by_row[3])
    for line, column in (
        (left["ES on $D_u$ (wanted: low)"], "es_exact_unlearn"),
        (left["ES on $D_r$ (wanted: high)"], "es_exact_retain"),
        (right["Model Utility (wanted: high)"], "mu"),
    ):
        np.testing.assert_allclose(line.get_ydata(), main.loc[names, column])
    assert [t.get_text() for t in by_row[3, 0].get_xticklabels()] == ["0.5", "5", "7"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == labels


def test_components_have_a_panel_each(results):
    figure = draw(results, "sweep_components_rmu")
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert titles[:5] == ["embed", "shallow", "middle", "deep", "lm"]
    effects = results.frame("geffect")
    chosen = effects["term"].eq("objective") & effects["regularizer"].eq("none")
    chosen &= effects["component"].eq("deep") & effects["dataset"].eq("retain")
    rows = effects[chosen & effects["objective"].eq("rmu_l16_c2")]
    line = lines(figure.get_axes()[5 + 3])["layer 16, c = 2"]
    np.testing.assert_allclose(line.get_ydata(), rows.groupby("step")["cosine"].mean())
