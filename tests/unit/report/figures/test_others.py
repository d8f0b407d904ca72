"""What the other figures draw, by the data in their panels."""

import numpy as np
import pandas as pd
import pytest
from made_up import STEPS, draw, lines, made_up_results, texts

from geffect.names import CELL
from geffect.report import correlation
from geffect.report.figures import densities, outcome, predicted
from geffect.report.results import Results
from geffect.report.weighting import weighted_instances


@pytest.fixture
def results(rng):
    return made_up_results(rng)


def test_performance_has_a_line_per_regularizer_and_metric(results):
    panels = np.array(draw(results, "performance_npo").get_axes()).reshape(4, 2)
    along = results.frame("trajectory")
    for row, metric in enumerate(("es_exact", "probability", "nll"), start=1):
        for axes, dataset in zip(panels[row], ("unlearn", "retain"), strict=True):
            drawn = lines(axes)
            assert list(drawn) == ["regularizer none", "regularizer kl"]
            for regularizer in ("none", "kl"):
                chosen = along["objective"].eq("npo") & along["regularizer"].eq(regularizer)
                chosen &= along["metric"].eq(metric) & along["dataset"].eq(dataset)
                expected = along[chosen].groupby("step")["value"].mean()
                line = drawn[f"regularizer {regularizer}"]
                np.testing.assert_allclose(line.get_ydata(), expected)


def test_layers_are_mapped_from_the_embeddings_up_in_one_scale(results):
    figure = draw(results, "layers_ga")
    panels = [axes for axes in figure.get_axes() if axes.get_label() != "<colorbar>"]
    effects = results.frame("geffect")
    chosen = effects["objective"].eq("ga") & effects["regularizer"].eq("none")
    rows = effects[chosen & effects["term"].eq("objective") & effects["dataset"].eq("unlearn")]
    wide = rows.pivot_table(index="component", columns="step", values="geffect")
    wide = wide.loc[["embed", "layer.1", "layer.2", "layer.3", "lm"]]
    np.testing.assert_allclose(panels[0].collections[0].get_array(), wide)
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == ["embed", "layer 1", "layer 2", "layer 3", "lm"]
    assert len({axes.collections[0].norm for axes in panels}) == 1
    assert [int(t.get_text()) for t in panels[-1].get_xticklabels()] == STEPS


def test_weights_are_the_median_of_the_samples_with_a_band(results):
    figure = draw(results, "weights")
    panels = {axes.get_title(): axes for axes in figure.get_axes() if axes.get_visible()}
    assert list(panels) == ["ga", "npo", "po"]
    rows = weighted_instances(results)
    rows = rows[rows["objective"].eq("npo") & rows["regularizer"].eq("none")]
    by_step = rows.groupby("step")["npo_weight"]
    np.testing.assert_allclose(panels["npo"].lines[0].get_ydata(), by_step.median())
    band = panels["npo"].collections[0].get_paths()[0].vertices
    ends = by_step.quantile([0.1, 0.9]).unstack()
    for step, (low, high) in ends.iterrows():
        edge = band[np.isclose(band[:, 0], step), 1]
        assert (edge.min(), edge.max()) == pytest.approx((low, high))


def test_densities_show_every_sample_once_in_the_group_of_its_weight(rng):
    results = made_up_results(rng, steps=[0, 5, 10, 15], seeds=(1,))
    figure = draw(results, "densities")
    panels = np.array(figure.get_axes()).reshape(5, 3).T
    rows = weighted_instances(results)
    rows = rows[rows["objective"].eq("npo") & rows["regularizer"].eq("none")]
    for step, row in zip((5, 10, 15), panels, strict=True):
        here = rows[rows["step"].eq(step)]
        for axes, low, high in zip(row, densities.EDGES, densities.EDGES[1:], strict=False):
            group = here[here["npo_weight"].ge(low) & here["npo_weight"].lt(high)]
            assert f"n = {len(group)}" in axes.get_title()
            dots = [line for line in axes.lines if line.get_linestyle() == "None"]
            if len(group):
                assert sorted(dots[0].get_xdata()) == sorted(group["e_retain"])
                assert sorted(dots[0].get_ydata()) == sorted(group["e_unlearn"])
            else:
                assert not dots
    first = made_up_results(rng, steps=[0, 10, 20, 30, 40], seeds=(1,))
    titles = [axes.get_title() for axes in draw(first, "densities").get_axes()[:3]]
    assert [title.split("\n")[0] for title in titles] == ["step 10", "step 20", "step 30"]


def test_retain_objectives_along_their_own_runs_and_as_probes(results):
    figure = draw(results, "retain_objectives")
    panels = np.array(figure.get_axes()).reshape(2, 2)
    effects = results.frame("geffect")
    effects = effects[effects["objective"].eq("ga") & effects["component"].eq("total")]
    for row, term, name in ((0, "regularizer", "kl"), (1, "probe.nll", "nll")):
        for axes, dataset in zip(panels[row], ("unlearn", "retain"), strict=True):
            rows = effects[effects["term"].eq(term) & effects["dataset"].eq(dataset)]
            line = lines(axes)[name]
            np.testing.assert_allclose(line.get_ydata(), rows.groupby("step")["cosine"].mean())
    frame = results.frame("geffect")
    without = frame[~frame["term"].str.startswith("probe")]
    figure = draw(Results(results.cells, frames={"geffect": without}), "retain_objectives")
    assert any("no probes" in text for text in texts(figure))


def test_predicted_and_measured_changes_of_every_interval(results):
    changes = predicted.intervals(results.frame("risk"))
    assert len(changes) == len(results.cells) * 2 * (len(STEPS) - 1)
    figure = draw(results, "predicted")
    for axes, dataset in zip(figure.get_axes(), ("unlearn", "retain"), strict=True):
        rows = changes[changes["dataset"].eq(dataset)]
        drawn = lines(axes)
        assert list(drawn["predicted = measured"].get_xdata()) == list(
            drawn["predicted = measured"].get_ydata()
        )
        for objective in ("ga", "npo", "po"):
            mine = rows[rows["objective"].eq(objective)]
            assert list(drawn[objective].get_xdata()) == mine["measured"].tolist()
            assert list(drawn[objective].get_ydata()) == mine["predicted"].tolist()
        share, error = predicted.agreement(rows)
        said = " ".join(text.get_text() for text in axes.texts)
        assert f"{share:.0%}" in said and f"{error:.1%}" in said


def test_the_prediction_is_what_all_terms_add_up_to_without_the_rest(results):
    risk = results.frame("risk")
    both = pd.concat([risk, risk[risk["term"].eq("objective")].assign(term="regularizer")])
    changes = predicted.intervals(both).set_index([*CELL, "step", "dataset"])
    rows = risk[risk["term"].eq("objective") & risk["component"].eq("total")]
    rows = rows.set_index([*CELL, "step", "dataset"]).loc[changes.index]
    np.testing.assert_allclose(changes["predicted"], 2 * rows["predicted_change"])
    np.testing.assert_allclose(changes["measured"], rows["measured_change"])


def test_a_run_with_a_step_that_could_not_be_measured_has_no_change_to_show(results):
    risk, whole = results.frame("risk"), outcome.readings(results)
    cell = results.cells[0]
    lost = risk[CELL].eq(pd.Series(cell)).all(axis=1) & risk["dataset"].eq("retain")
    lost &= risk["step"].isin(STEPS[1:3])
    columns = ["predicted_change", "measured_change"]
    risk = risk.assign(**{c: risk[c].mask(lost) for c in columns})
    frames = {name: results.frame(name) for name in ("geffect", "training")}
    found = outcome.readings(Results(results.cells, frames={**frames, "risk": risk}))
    there = found[CELL].eq(pd.Series(cell)).all(axis=1) & found["dataset"].eq("retain")
    assert there.sum() == 1 and found.loc[there, "change"].isna().all()
    pd.testing.assert_frame_equal(found[~there], whole[~there])
    assert len(predicted.intervals(risk)) == len(predicted.intervals(results.frame("risk"))) - 2


def test_agreement_of_known_changes():
    frame = pd.DataFrame({"predicted": [1.0, -1.0, 3.0, 0.5], "measured": [2.0, 1.0, 3.0, 0.4]})
    share, error = predicted.agreement(frame)
    assert share == 0.75 and error == pytest.approx((0.25 + 0.5) / 2)


def test_the_outcome_has_a_dot_per_finished_cell_and_the_correlation(rng):
    results = made_up_results(rng, diverged=[("po", "kl", 1)])
    figure = draw(results, "outcome")
    panels = figure.get_axes()
    assert len(panels) == 8
    dots = {
        tuple(p)
        for axes in panels[4:5]
        for line in axes.lines
        for p in zip(*line.get_data(), strict=True)
    }
    effects = outcome.readings(results)
    final = results.frame("metrics").query("metric == 'es_exact' and dataset == 'unlearn'")
    mine = effects[effects["dataset"].eq("unlearn")].merge(final[[*CELL, "value"]], on=CELL)
    assert dots == set(zip(mine["e"], mine["value"], strict=True)) and len(dots) == 11
    rho, low, high = correlation.spearman(mine["e"], mine["value"], 1000, 0)
    expected = mine[["e", "value"]].corr(method="spearman").iloc[0, 1]
    assert rho == pytest.approx(expected) and low <= rho <= high
    assert f"n = {len(mine)}" in panels[4].get_title()
    assert f"{rho:.2f}".replace("-", "−") in panels[4].get_title()


def test_the_outcome_is_foretold_from_the_first_fifth_of_a_run_alone(rng):
    results = made_up_results(rng, steps=[0, 4, 10, 20], seeds=(1,))
    found = outcome.readings(results).set_index([*CELL, "dataset"])["early"]
    effects = results.frame("geffect").query("term == 'combined' and component == 'total'")
    early = effects[effects["step"].isin([0, 4])].groupby([*CELL, "dataset"])["cosine"].mean()
    np.testing.assert_allclose(found, early.loc[found.index])


def test_the_change_of_risk_is_a_check_and_no_prediction(results):
    for axes in draw(results, "outcome").get_axes():
        assert axes.get_title().startswith("check: ") == ("change" in axes.get_xlabel())


def test_a_correlation_of_a_constant_is_no_number(rng):
    found = correlation.spearman(pd.Series([1.0] * 6), pd.Series(rng.normal(size=6)), 1000, 0)
    assert np.isnan(found).all()


def test_too_few_cells_have_no_correlation(rng):
    results = made_up_results(rng, seeds=(1,), regularizers=("none",))
    assert "n = 3: too few for ρ" in [a.get_title() for a in draw(results, "outcome").get_axes()]
