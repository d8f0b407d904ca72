"""Sweeps are families of curves, ordered by their hyper-parameters."""

import numpy as np
import pytest
from made_up import PLAIN, SWEEPS, draw, lines, made_up_results, texts

from geffect.report.families import family
from geffect.report.results import Results


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
        (left["ES on $D_u$ (low)"], "es_exact_unlearn"),
        (left["ES on $D_r$ (high)"], "es_exact_retain"),
        (right["utility (high)"], "mu"),
    ):
        np.testing.assert_allclose(line.get_ydata(), main.loc[names, column])
    assert [t.get_text() for t in by_row[3, 0].get_xticklabels()] == ["0.5", "5", "7"]
    assert all("after the run" in axes.get_title() for axes in by_row[3])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == labels


def test_shapes_mean_the_other_hyper_parameters_in_every_panel_of_a_sweep(results):
    figure = draw(results, "sweep_rmu")
    by_row = np.array(figure.get_axes()).reshape(4, 2)
    shapes = {group: members[0].look["marker"] for group, members in _groups(results)}
    assert len(set(shapes.values())) == 2
    for axes in by_row[3]:
        assert [line.get_marker() for line in axes.lines] == list(shapes.values()) * (
            len(axes.lines) // 2
        )
    fillings = {line.get_fillstyle() for line in by_row[3, 0].lines}
    assert fillings == {"full", "none"}, "the two data sets, without their colours"


def _groups(results):
    return family(results, "rmu").groups().items()


def test_components_have_a_panel_each(results):
    figure = draw(results, "sweep_components_rmu")
    panels = np.array(figure.get_axes()).reshape(5, 2)
    names = [axes.get_ylabel() for axes in panels[:, 0]]
    assert names == ["embed", "shallow", "middle", "deep", "lm"]
    effects = results.frame("geffect")
    chosen = effects["term"].eq("objective") & effects["regularizer"].eq("none")
    chosen &= effects["component"].eq("deep") & effects["dataset"].eq("retain")
    rows = effects[chosen & effects["objective"].eq("rmu_l16_c2")]
    line = lines(panels[3, 1])["layer 16, c = 2"]
    np.testing.assert_allclose(line.get_ydata(), rows.groupby("step")["cosine"].mean())


def test_variants_are_compared_by_the_seeds_that_all_of_them_have(rng):
    """The variant that stands for the objective has three seeds; its sweep has one, a hard one."""
    whole = made_up_results(rng, {n: SWEEPS[n] for n in ("wga", "wga_a7")}, seeds=(1, 2, 3))
    cells = [c for c in whole.cells if c["objective"] == "wga" or c["seed"] == 2]
    names = ("geffect", "risk", "metrics", "main", "training")
    frames = {name: whole.frame(name) for name in names}
    results = Results(cells, variants=whole.variants, frames=frames)
    assert family(results, "wga").seeds == [2]
    figure = draw(results, "sweep_wga")
    assert any("Drawn: seed 2, which all variants have." in text for text in texts(figure))
    by_row = np.array(figure.get_axes()).reshape(4, 2)
    cell = {"objective": "wga", "regularizer": "none", "seed": 2}
    where = " and ".join(f"{key} == {value!r}" for key, value in cell.items())
    cosine = whole.frame("geffect").query(
        f"{where} and term == 'objective' and dataset == 'unlearn' and component == 'total'"
    )["cosine"]
    np.testing.assert_allclose(lines(by_row[1, 0])["α = 5"].get_ydata(), cosine)
    (utility,) = whole.frame("metrics").query(f"{where} and metric == 'mu'")["value"]
    assert lines(by_row[3, 1])["utility (high)"].get_ydata()[0] == utility
    panel = next(a for a in draw(results, "trade_off").get_axes() if a.get_title() == "wga: α")
    assert next(line for line in panel.lines if line.get_label() == "_wga").get_ydata() == utility
