"""Removal against utility: every measured row, named, and the others listed."""

import numpy as np
import pandas as pd
from made_up import PLAIN, SWEEPS, draw, made_up_results, main_frame, texts
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from geffect.names import CELL, REFERENCES
from geffect.report import labels, style
from geffect.report.figures.trade_off import not_beaten
from geffect.report.results import Results
from geffect.report.tables.main import main_table


def drawn(main):
    """The figure of a main table."""
    cells = main[~main["objective"].isin(REFERENCES)].assign(seed=1)[CELL].to_dict("records")
    return draw(Results(cells, frames={"main": main}), "trade_off")


def name_of(row):
    plain = row["objective"] in REFERENCES or row["regularizer"] == "none"
    return row["objective"] if plain else f"{row['objective']}+{row['regularizer']}"


def test_every_measured_row_is_a_point_and_the_others_are_listed(rng):
    main = main_frame(rng)
    dead = main["objective"].eq("ga") & main["regularizer"].eq("none")
    main.loc[dead, ["es_exact_unlearn", "mu"]] = np.nan
    main.loc[dead, "status"] = "diverged"
    main.loc[3:, ["es_exact_unlearn_sd", "mu_sd"]] = np.nan
    figure = drawn(main)
    (axes,) = figure.get_axes()
    assert "lower is better" in axes.get_xlabel() and "higher is better" in axes.get_ylabel()
    points = {box.get_label(): box.lines[0] for box in axes.containers}
    for row in main[~dead].to_dict("records"):
        point = points.pop(name_of(row))
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (row["es_exact_unlearn"], row["mu"])
        assert (point.get_marker() == "*") == (row["objective"] in REFERENCES)
    assert not points
    assert any("ga (diverged)" in text for text in texts(figure))


def test_rings_are_around_the_points_that_no_other_beats(rng):
    main = main_frame(rng)
    (axes,) = drawn(main).get_axes()
    rings = {line.get_label() for line in axes.lines if line.get_label().startswith("_best ")}
    cells = main[~main["objective"].isin(REFERENCES)].to_dict("records")
    expected = set()
    for row in cells:
        better = [
            other
            for other in cells
            if other is not row
            and other["es_exact_unlearn"] <= row["es_exact_unlearn"]
            and other["mu"] >= row["mu"]
        ]
        if not better:
            expected.add(f"_best {name_of(row)}")
    assert rings == expected and expected


def test_equal_points_do_not_beat_one_another():
    frame = pd.DataFrame({"es_exact_unlearn": [0.1, 0.1, 0.2], "mu": [0.5, 0.5, 0.5]})
    assert not_beaten(frame).tolist() == [True, True, False]


def crowded(rng):
    """Seven objectives with two regularizers, all in a corner, and two sweeps."""
    names = ("ga", "npo", "po", "tnpo", "wtnpo")
    variants = {name: {"name": name, "hyper": {}} for name in names} | SWEEPS
    results = made_up_results(rng, variants, seeds=(1, 2))
    metrics = results.frame("metrics")
    metrics = metrics.assign(value=0.1 + 0.15 * metrics["value"])
    status = results.status()
    main = main_table(metrics, results.frame("geffect"), status)
    frames = {"main": main, "metrics": metrics}
    return draw(Results(results.cells, variants=variants, frames=frames), "trade_off")


def test_names_overlap_neither_one_another_nor_a_marker_nor_a_legend(rng):
    figure = crowded(rng)
    renderer = figure.canvas.get_renderer()
    legends = [legend.get_window_extent(renderer) for legend in figure.legends]
    panels = figure.get_axes()
    legends += [a.get_legend().get_window_extent(renderer) for a in panels if a.get_legend()]
    assert len(legends) >= 2
    for axes in panels:
        boxes = []
        for text in axes.texts:
            text.update_positions(renderer)
            boxes.append(Text.get_window_extent(text, renderer))  # without the line to its point
        markers = [
            Bbox([place, place]).padded(line.get_markersize() / 2 * figure.dpi / 72 - 1)
            for line in axes.lines
            if line.get_marker() not in ("None", "", None) and len(line.get_xdata()) == 1
            for place in axes.transData.transform(line.get_xydata())
        ]
        assert len(markers) >= len(boxes) > 0
        for number, box in enumerate(boxes):
            others = [*boxes[:number], *legends, *markers]
            assert not any(box.overlaps(other) for other in others), axes.texts[number].get_text()
        for marker in markers:
            assert not any(marker.overlaps(legend) for legend in legends)


def test_most_points_are_named_even_in_a_crowd_and_the_best_ones_always(rng):
    axes, *_ = crowded(rng).get_axes()
    named = {text.get_text() for text in axes.texts}
    best = {line.get_label() for line in axes.lines if line.get_label().startswith("_best ")}
    assert {label.removeprefix("_best ") for label in best} <= named
    assert len(named) >= 0.6 * len(axes.containers)


def test_a_name_without_room_is_given_back(rng):
    figure = style.new_figure(1, "t")
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    style.laid_out(figure)
    long = labels.Point(0.5, 0.5, "much wider than any panel could be " * 3)
    short = labels.Point(0.5, 0.5, "a")
    assert labels.name_points(axes, [long, short]) == [long.name]
    assert [text.get_text() for text in axes.texts] == ["a"]


def test_rows_with_fewer_seeds_are_not_ranked(rng):
    main = main_frame(rng).assign(n_seeds=3)
    few = main["objective"].eq("ga") & main["regularizer"].eq("none")
    main.loc[few, ["es_exact_unlearn", "mu", "n_seeds"]] = [0, 1, 1]
    figure = drawn(main.astype({"n_seeds": int}))
    rings = {line.get_label() for line in figure.get_axes()[0].lines}
    assert "_best ga" not in rings and any(ring.startswith("_best") for ring in rings)
    assert any("ga has fewer seeds (1)" in text for text in texts(figure))


def test_sweeps_have_panels_of_their_own_in_the_order_of_their_values(rng):
    results = made_up_results(rng, PLAIN | SWEEPS, seeds=(1,))
    figure = draw(results, "trade_off")
    panels = {axes.get_title(): axes for axes in figure.get_axes()}
    assert set(panels) == {"", "wga: α", "rmu: layer"}
    main = results.frame("main").query("regularizer == 'none'").set_index("objective")
    order = main.loc[["wga_a0.5", "wga", "wga_a7"]]
    line = next(line for line in panels["wga: α"].lines if line.get_label() == "_sweep")
    assert list(line.get_xdata()) == order["es_exact_unlearn"].tolist()
    assert list(line.get_ydata()) == order["mu"].tolist()
    assert {text.get_text() for text in panels["wga: α"].texts} == {"0.5", "5", "7"}
    lines = {line.get_label(): line for line in panels["rmu: layer"].lines}
    second = main.loc[["rmu_l5_c2", "rmu_l9_c2", "rmu_l16_c2"]]
    assert list(lines["c = 2"].get_ydata()) == second["mu"].tolist()
    names = {text.get_text() for text in panels[""].texts}
    assert "wga_a7" not in names


def test_colours_and_shapes_mean_the_same_in_all_panels(rng):
    variants = PLAIN | SWEEPS | {"rmu_l9_c3": {"name": "rmu", "hyper": {"layer": 9, "c": 3}}}
    figure = draw(made_up_results(rng, variants, seeds=(1,)), "trade_off")
    panels = {axes.get_title(): axes for axes in figure.get_axes()}
    base = {box.get_label(): box.lines[0] for box in panels[""].containers}
    for title, standing in (("wga: α", "wga"), ("rmu: layer", "rmu_l9_c1")):
        expected = (base[standing].get_color(), base[standing].get_marker())
        dots = [line for line in panels[title].lines if line.get_linestyle() == "None"]
        assert len(dots) == len([n for n in variants if n.startswith(title[:3])])
        assert {(dot.get_color(), dot.get_marker()) for dot in dots} == {expected}
    named = {text.get_text() for text in panels["rmu: layer"].texts}
    assert "9 (c = 3)" in named, "no line says to which others it belongs"
    legend = [text.get_text() for text in panels["rmu: layer"].get_legend().get_texts()]
    assert legend == ["c = 1", "c = 2"]
