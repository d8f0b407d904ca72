"""The figures show the frames they were given, say what they show, and are reproducible."""

import secrets
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from geffect.report import figures, tables

STEPS = [0, 5, 10, 12]


@pytest.fixture
def rng():
    seed = secrets.randbits(32)
    print(f"random frames from seed {seed}")
    return np.random.default_rng(seed)


def effects(rng, objective="ga", regularizer="none", seed=42, steps=STEPS, size=1.0):
    terms = ["objective", "combined", *([] if regularizer == "none" else ["regularizer"])]
    names = ["model", "split", "objective", "regularizer", "seed", "term", "dataset"]
    cell = ("tiny", "forget05", objective, regularizer, seed)
    return pd.DataFrame(
        [
            dict(zip(names, (*cell, term, dataset), strict=True))
            | {"component": component, "step": step}
            | {"geffect": size * rng.normal(), "cosine": rng.uniform(-1, 1)}
            for term in [*terms, "probe.nll"]
            for dataset in ("unlearn", "retain")
            for component in ["total", *figures.COMPONENTS, "layer.1"]
            for step in steps
        ]
    )


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines() if line.get_label()[0] != "_"}


def panels_by_label(figure):
    """Y label -> the axes of that label, top to bottom."""
    found = {}
    for axes in figure.get_axes():
        found.setdefault(axes.get_ylabel(), []).append(axes)
    return found


def texts(figure):
    return [text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))]


def values_of(frame, dataset, value, term="objective", component="total"):
    chosen = frame["dataset"].eq(dataset) & frame["term"].eq(term)
    return frame.loc[chosen & frame["component"].eq(component), value].tolist()


PANELS = {
    "G-effect $e_u$": ("unlearn", "geffect"),
    "G-effect $e_r$": ("retain", "geffect"),
    "cosine of $e_u$": ("unlearn", "cosine"),
    "cosine of $e_r$": ("retain", "cosine"),
}


def test_steps_figure_draws_each_component(rng):
    plain, with_kl = effects(rng), effects(rng, regularizer="kl")
    figure = figures.geffect_over_steps(pd.concat([plain, with_kl]), "GA")
    panels = panels_by_label(figure)
    assert set(panels) == set(PANELS)
    for label, (dataset, value) in PANELS.items():
        for axes, frame, extra in zip(panels[label], (plain, with_kl), (0, 2), strict=True):
            drawn = lines(axes)
            assert len(drawn) == 6 + extra
            for component in ["total", *figures.COMPONENTS]:
                line = drawn[component]
                assert list(line.get_xdata()) == STEPS
                expected = values_of(frame, dataset, value, component=component)
                assert list(line.get_ydata()) == expected
            for term, (name, _) in figures.TERMS.items() if extra else []:
                expected = values_of(frame, dataset, value, term=term)
                assert list(drawn[name].get_ydata()) == expected


def test_steps_figure_says_what_it_shows(rng):
    frame = pd.concat([effects(rng), effects(rng, regularizer="kl")])
    figure = figures.geffect_over_steps(frame, "GA on forget05")
    shown = texts(figure)
    for text in (
        "GA on forget05",
        "regularizer: none",
        "regularizer: kl",
        "unlearning (wanted: negative)",
        "retaining (wanted: ≥ 0)",
        *figures.COMPONENTS,
    ):
        assert text in shown
    assert shown.count("step (optimiser updates)") == 2


def test_seeds_become_a_mean_and_a_band(rng):
    seeds = [effects(rng, seed=seed) for seed in range(3)]
    figure = figures.geffect_over_steps(pd.concat(seeds), "GA")
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
    figure = figures.geffect_over_steps(frame, "GA", {("none", 42): 7})
    top, bottom = panels_by_label(figure)["G-effect $e_u$"]
    assert list(lines(top)["total"].get_xdata()) == [0, 5]
    assert top.get_xlim() == bottom.get_xlim() and top.get_xlim()[1] > 12
    assert top.get_ylim() == bottom.get_ylim()
    assert any("diverged at step 7" in text for text in texts(figure))


def test_missing_numbers_are_gaps(rng):
    frame = effects(rng)
    frame.loc[frame["step"].eq(5), ["geffect", "cosine"]] = np.nan
    figure = figures.geffect_over_steps(frame, "GA")
    for axes in figure.get_axes():
        drawn = np.isnan(lines(axes)["total"].get_ydata())
        assert drawn.tolist() == [False, True, False, False]
    frame[["geffect", "cosine"]] = np.nan
    figures.geffect_over_steps(frame, "nothing but missing numbers")


def test_values_over_several_orders_get_a_symlog_axis(rng):
    frame = effects(rng)
    figure = figures.geffect_over_steps(frame.assign(geffect=-1.0 - frame["step"]), "linear")
    assert {axes.get_yscale() for axes in figure.get_axes()} == {"linear"}
    frame["geffect"] = -(10.0 ** (frame["step"] / 2 - 2))
    figure = figures.geffect_over_steps(frame, "wide")
    for label, panels in panels_by_label(figure).items():
        assert panels[0].get_yscale() == ("symlog" if "G-effect" in label else "linear")
        low, high = panels[0].get_ylim()
        assert low <= min(lines(panels[0])["total"].get_ydata()) and high > 0
        assert len(panels[0].get_yticks()) <= 7


@pytest.mark.parametrize(
    ("largest", "reach"), [(0.04, 0.1), (0.1, 0.2), (0.15, 0.2), (0.3, 0.5), (0.6, 1), (1, 1)]
)
def test_the_axis_of_the_cosine_is_symmetric_and_as_narrow_as_it_can_be(largest, reach, rng):
    frame = effects(rng)
    figure = figures.geffect_over_steps(frame.assign(cosine=-largest), "narrow")
    cosines = [panels[0] for label, panels in panels_by_label(figure).items() if "cos" in label]
    assert len(cosines) == 2
    for axes in cosines:
        assert axes.get_ylim() == pytest.approx((-1.08 * reach, 1.08 * reach))
        assert axes.get_yticks() == pytest.approx(np.linspace(-reach, reach, 5))


def test_compare_draws_one_line_per_objective(rng):
    names = [f"wga_a{i}" for i in range(9)]
    frames = {name: effects(rng, objective=name) for name in names}
    figure = figures.compare_objectives(pd.concat(frames.values()), "sweep over α")
    panels = panels_by_label(figure)
    assert set(panels) == set(PANELS)
    for label, (dataset, value) in PANELS.items():
        drawn = lines(panels[label][0])
        assert list(drawn) == names
        looks = {(line.get_color(), line.get_linestyle()) for line in drawn.values()}
        assert len(looks) == len(names)
        for name, line in drawn.items():
            assert list(line.get_ydata()) == values_of(frames[name], dataset, value)
    assert texts(figure).count("step (optimiser updates)") == 2


def main_frame(rng):
    names = [("original", "none"), ("retain_model", "none")]
    names += [(o, r) for o in ("ga", "wga_a1", "npo") for r in ("none", "kl")]
    frame = pd.DataFrame(names, columns=["objective", "regularizer"])
    frame = frame.assign(model="tiny", split="forget05", status="ok")
    for column in ("es_exact_unlearn", "mu"):
        frame[column] = rng.uniform(size=len(frame))
        frame[f"{column}_sd"] = rng.uniform(0, 0.02, size=len(frame))
    return frame


def test_trade_off_draws_every_measured_row(rng):
    main = main_frame(rng)
    dead = main["objective"].eq("ga") & main["regularizer"].eq("none")
    main.loc[dead, ["es_exact_unlearn", "mu"]] = np.nan
    main.loc[dead, "status"] = "diverged"
    main.loc[3:, ["es_exact_unlearn_sd", "mu_sd"]] = np.nan
    figure = figures.trade_off(main, "forget05")
    (axes,) = figure.get_axes()
    assert "lower is better" in axes.get_xlabel() and "higher is better" in axes.get_ylabel()
    points = {box.get_label(): box.lines[0] for box in axes.containers}
    for row in main[~dead].to_dict("records"):
        reference = row["objective"] in figures.REFERENCES
        plain = reference or row["regularizer"] == "none"
        name = row["objective"] if plain else f"{row['objective']}+{row['regularizer']}"
        point = points.pop(name)
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (row["es_exact_unlearn"], row["mu"])
        assert (point.get_marker() == "*") == reference
    assert not points
    assert any("ga (diverged)" in text for text in texts(figure))


def test_costs_are_drawn_in_their_order_with_what_they_varied_by(rng):
    names = ["plain", "ours", "theirs"]
    ratio = rng.uniform(1, 5, size=6)
    frame = pd.DataFrame({"candidate": names * 2, "rows": [16] * 3 + [8] * 3, "ratio": ratio})
    frame = frame.assign(least=ratio * 0.9, greatest=ratio * 1.3)
    figure = figures.cost_ratios(frame, "costs")
    (axes,) = figure.get_axes()
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert axes.yaxis_inverted() and axes.get_xscale() == "log"
    assert "plain" in axes.get_xlabel()
    groups = {box.get_label(): box for box in axes.containers}
    for rows, part in frame.groupby("rows"):
        points, _, (bars,) = groups.pop(f"{rows} rows")
        assert list(points.get_xdata()) == part["ratio"].tolist()
        assert [round(y) for y in points.get_ydata()] == [0, 1, 2]
        ends = np.array([segment[:, 0] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, part[["least", "greatest"]])
    assert not groups
    with pytest.raises(ValueError, match="empty"):
        figures.cost_ratios(frame.iloc[:0], "nothing")


def test_names_in_the_trade_off_do_not_overlap(rng):
    figure = figures.trade_off(main_frame(rng), "forget05")
    (axes,) = figure.get_axes()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_trade_off_takes_the_main_table(rng):
    cells = [dict(zip(tables.CELL, ("tiny", "s", name, "none", 0), strict=True)) for name in "ab"]
    metrics = [
        cell | {"metric": metric, "dataset": dataset, "value": rng.uniform()}
        for cell in cells[:1]
        for metric, dataset in tables.MAIN_COLUMNS.values()
    ]
    status = pd.DataFrame([cell | {"status": "ok"} for cell in cells])
    main = tables.main_table(pd.DataFrame(metrics), pd.DataFrame(), status)
    assert any("b (missing)" in text for text in texts(figures.trade_off(main, "s")))
    figure = figures.trade_off(main[main["objective"].eq("b")], "nothing measured")
    assert not figure.get_axes()[0].containers


FIGURES = {
    "steps": lambda rng: figures.geffect_over_steps(effects(rng, size=1e4), "GA"),
    "compare": lambda rng: figures.compare_objectives(effects(rng), "all"),
    "trade_off": lambda rng: figures.trade_off(main_frame(rng), "forget05"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_saving_twice_gives_equal_bytes(name, rng, tmp_path):
    seed = int(rng.integers(1 << 31))
    files = []
    for attempt in ("first", "second"):
        paths = [tmp_path / f"{attempt}.{suffix}" for suffix in ("pdf", "png")]
        figures.save(FIGURES[name](np.random.default_rng(seed)), paths)
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]
    pdf = files[0][0]
    assert b"CreationDate" not in pdf and b"/Type3" not in pdf


def test_an_unknown_file_type_is_refused_before_anything_is_written(rng, tmp_path):
    with pytest.raises(ValueError, match=r"expected one of \.pdf, \.png, \.svg"):
        figures.save(FIGURES["compare"](rng), [tmp_path / "a.png", tmp_path / "a.gif"])
    assert not list(tmp_path.iterdir())


DRAW = [figures.geffect_over_steps, figures.compare_objectives, figures.trade_off]


@pytest.mark.parametrize("draw", DRAW)
def test_an_empty_frame_is_a_one_line_error(draw):
    with pytest.raises(ValueError, match="the frame is empty") as error:
        draw(pd.DataFrame(), "nothing")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("draw", DRAW)
def test_two_models_do_not_go_into_one_figure(draw, rng):
    frame = main_frame(rng) if draw is figures.trade_off else effects(rng)
    both = pd.concat([frame, frame.assign(model="other")])
    with pytest.raises(ValueError, match="rows of one model, got tiny, other"):
        draw(both, "two models")


@pytest.mark.parametrize("draw", DRAW[:2])
def test_rows_that_are_not_drawn_are_an_error(draw, rng):
    frame = effects(rng)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(frame[frame["term"].eq("probe.nll")], "probes only")


def test_a_single_step_is_visible(rng):
    for axes in figures.geffect_over_steps(effects(rng, steps=[0]), "GA").get_axes():
        assert all(line.get_marker() != "None" for line in lines(axes).values())


def test_plotting_needs_no_torch():
    modules = "geffect.report.figures, geffect.report.tables"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
