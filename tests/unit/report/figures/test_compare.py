"""Objectives side by side: cosines, and what the runs did to the risks."""

import numpy as np
import pytest
from made_up import PLAIN, SWEEPS, draw, lines, made_up_results, texts

from geffect.report import registry
from geffect.report.figures.compare import MOST
from geffect.report.results import Results

STARTS = {"unlearn": "forget set", "retain": "retained data"}


def panels(figure):
    """(value, data set) -> axes."""
    found = {}
    for axes in figure.get_axes():
        value = "change" if "up)" in axes.get_title() else "cosine"
        dataset = next(d for d, start in STARTS.items() if axes.get_title().startswith(start))
        found[value, dataset] = axes
    return found


def test_a_line_per_objective_of_cosines_and_of_measured_changes_and_no_raw_effect(rng):
    results = made_up_results(rng)
    figure = draw(results, "compare_none")
    assert len(figure.get_axes()) == 4
    assert not any("G-effect" in axes.get_ylabel() for axes in figure.get_axes())
    for (value, dataset), axes in panels(figure).items():
        drawn = lines(axes)
        assert list(drawn) == ["ga", "npo", "po"]
        for name, line in drawn.items():
            frame = results.frame("risk" if value == "change" else "geffect")
            chosen = frame["objective"].eq(name) & frame["regularizer"].eq("none")
            chosen &= frame["term"].eq("objective") & frame["component"].eq("total")
            rows = frame[chosen & frame["dataset"].eq(dataset)]
            column = "measured_change" if value == "change" else "cosine"
            wide = rows.pivot(index="step", columns="seed", values=column)
            if value == "change":
                wide = wide.shift(fill_value=0).cumsum()
            np.testing.assert_allclose(line.get_ydata(), wide.mean(axis=1))


@pytest.mark.parametrize("ratio", [1e-3, 1, 1e3])
def test_neither_side_is_flat_where_the_other_one_is_large(ratio, rng):
    results = made_up_results(rng)
    risk = results.frame("risk").copy()
    rows = risk["dataset"].eq("retain")
    risk.loc[rows, ["predicted_change", "measured_change"]] *= ratio
    frames = {"geffect": results.frame("geffect"), "risk": risk}
    found = panels(draw(Results(results.cells, variants=PLAIN, frames=frames), "compare_kl"))
    for place, axes in found.items():
        bands = [path.vertices[:, 1] for band in axes.collections for path in band.get_paths()]
        drawn = np.concatenate([*(line.get_ydata() for line in lines(axes).values()), *bands])
        low, high = axes.get_ylim()
        assert low <= drawn.min() and drawn.max() <= high
        assert np.ptp(drawn) > 0.4 * (high - low), place


def test_objectives_are_compared_by_the_seeds_that_all_of_them_have(rng):
    whole = made_up_results(rng, seeds=(1, 2))
    cells = [c for c in whole.cells if c["objective"] != "po" or c["seed"] == 2]
    effects = whole.frame("geffect")
    effects = effects[effects["objective"].ne("po") | effects["seed"].eq(2)]
    figure = draw(Results(cells, variants=PLAIN, frames={"geffect": effects}), "compare_none")
    assert any("Drawn: seed 2" in text for text in texts(figure))
    rows = effects.query(
        "objective == 'ga' and regularizer == 'none' and seed == 2 and term == 'objective'"
        " and component == 'total' and dataset == 'retain'"
    )
    line = lines(panels(figure)["cosine", "retain"])["ga"]
    np.testing.assert_allclose(line.get_ydata(), rows["cosine"])


def test_sweeps_are_spoken_of_only_where_there_are_any(rng):
    plain = {name: {"name": name, "hyper": {}} for name in [f"o{n}" for n in range(MOST + 1)]}
    said = " ".join(texts(draw(made_up_results(rng, plain, seeds=(1,)), "compare_none")))
    assert "sweep" not in said + registry.catalogue("figure")["compare"].caption
    assert f"Beyond {MOST} lines, in figures of their own: o{MOST}." in said.replace("\n", " ")


def test_of_many_variants_one_stands_for_its_objective_and_the_others_are_named(rng):
    variants = {name: {"name": name, "hyper": {}} for name in ("ga", "npo")} | SWEEPS
    assert len(variants) > MOST
    figure = draw(made_up_results(rng, variants, seeds=(1,)), "compare_none")
    for axes in figure.get_axes():
        assert list(lines(axes)) == ["ga", "npo", "wga", "rmu_l9_c1"]
    (note,) = [text for text in texts(figure) if "figures of their sweeps" in text]
    for name in ("wga_a7", "wga_a0.5", "rmu_l16_c2"):
        assert name in note.replace("\n", " ")
