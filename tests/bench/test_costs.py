"""The figure of the benches."""

import numpy as np
import pandas as pd
import pytest
from costs import cost_ratios


def test_costs_are_drawn_in_their_order_with_what_they_varied_by(rng):
    names = ["plain", "ours", "theirs"]
    ratio = rng.uniform(1, 5, size=6)
    frame = pd.DataFrame({"candidate": names * 2, "rows": [16] * 3 + [8] * 3, "ratio": ratio})
    frame = frame.assign(least=ratio * 0.9, greatest=ratio * 1.3)
    figure = cost_ratios(frame, "costs")
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
        cost_ratios(frame.iloc[:0], "nothing")
