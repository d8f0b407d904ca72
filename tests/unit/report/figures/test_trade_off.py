"""Removal against utility: every measured row, named, and the others listed."""

import numpy as np
import pandas as pd
from made_up import PLAIN, SWEEPS, draw, made_up_results, main_frame, texts

from geffect.names import CELL, REFERENCES
from geffect.report.figures.trade_off import not_beaten
from geffect.report.results import Results


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


def test_names_do_not_overlap(rng):
    figure = drawn(main_frame(rng))
    (axes,) = figure.get_axes()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


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
    assert [text.get_text() for text in panels["wga: α"].texts] == ["0.5", "5", "7"]
    lines = {line.get_label(): line for line in panels["rmu: layer"].lines}
    second = main.loc[["rmu_l5_c2", "rmu_l9_c2", "rmu_l16_c2"]]
    assert list(lines["c = 2"].get_ydata()) == second["mu"].tolist()
    names = {text.get_text() for text in panels[""].texts}
    assert "wga_a7" not in names
