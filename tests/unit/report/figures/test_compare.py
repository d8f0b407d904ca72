"""Objectives side by side."""

import pandas as pd
from made_up import effects, lines, panels_by_label, texts, values_of

from geffect.report.figures import compare

PANELS = {
    "G-effect $e_u$": ("unlearn", "geffect"),
    "G-effect $e_r$": ("retain", "geffect"),
    "cosine of $e_u$": ("unlearn", "cosine"),
    "cosine of $e_r$": ("retain", "cosine"),
}


def test_compare_draws_one_line_per_objective(rng):
    names = [f"wga_a{i}" for i in range(9)]
    frames = {name: effects(rng, objective=name) for name in names}
    figure = compare.compare_objectives(pd.concat(frames.values()), "sweep over α")
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
