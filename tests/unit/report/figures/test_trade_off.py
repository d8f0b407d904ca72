"""Removal against utility: every measured row, named, and the others listed."""

import numpy as np
import pandas as pd
from made_up import main_frame, texts

from geffect.names import CELL, REFERENCES
from geffect.report.figures.trade_off import trade_off
from geffect.report.tables.main import MAIN_COLUMNS, main_table


def test_trade_off_draws_every_measured_row(rng):
    main = main_frame(rng)
    dead = main["objective"].eq("ga") & main["regularizer"].eq("none")
    main.loc[dead, ["es_exact_unlearn", "mu"]] = np.nan
    main.loc[dead, "status"] = "diverged"
    main.loc[3:, ["es_exact_unlearn_sd", "mu_sd"]] = np.nan
    figure = trade_off(main, "forget05")
    (axes,) = figure.get_axes()
    assert "lower is better" in axes.get_xlabel() and "higher is better" in axes.get_ylabel()
    points = {box.get_label(): box.lines[0] for box in axes.containers}
    for row in main[~dead].to_dict("records"):
        reference = row["objective"] in REFERENCES
        plain = reference or row["regularizer"] == "none"
        name = row["objective"] if plain else f"{row['objective']}+{row['regularizer']}"
        point = points.pop(name)
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (row["es_exact_unlearn"], row["mu"])
        assert (point.get_marker() == "*") == reference
    assert not points
    assert any("ga (diverged)" in text for text in texts(figure))


def test_names_in_the_trade_off_do_not_overlap(rng):
    figure = trade_off(main_frame(rng), "forget05")
    (axes,) = figure.get_axes()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_trade_off_takes_the_main_table(rng):
    cells = [dict(zip(CELL, ("tiny", "s", name, "none", 0), strict=True)) for name in "ab"]
    metrics = [
        cell | {"metric": metric, "dataset": dataset, "value": rng.uniform()}
        for cell in cells[:1]
        for metric, dataset in MAIN_COLUMNS.values()
    ]
    status = pd.DataFrame([cell | {"status": "ok"} for cell in cells])
    main = main_table(pd.DataFrame(metrics), pd.DataFrame(), status)
    assert any("b (missing)" in text for text in texts(trade_off(main, "s")))
    figure = trade_off(main[main["objective"].eq("b")], "nothing measured")
    assert not figure.get_axes()[0].containers
