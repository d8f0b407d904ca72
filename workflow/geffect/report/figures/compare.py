"""Objectives side by side, for every regularizer."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from geffect.names import TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "Objectives side by side"
CAPTION = (
    "Which objective pushes D_u away, and which one D_r with it? The raw e of NPO is not "
    "comparable with that of the other objectives."
)
CATEGORY = "G-effects"
READS = ["geffect"]
PER = "regularizer"


def draw(results: Results, regularizer: str) -> Figure:
    """`compare_objectives` of all cells with one regularizer."""
    rows = results.frame("geffect")
    title = f"regularizer {regularizer} ({results.here})"
    return compare_objectives(rows[rows["regularizer"].eq(regularizer)], title)


def compare_objectives(geffect: pd.DataFrame, title: str) -> Figure:
    """Draw the total e_u and e_r of several objectives over their runs, and the cosines.

    One line per objective (or variant of one, in a sweep), in order of first appearance; the
    mean over seeds, with a band from the least to the greatest value.

    Args:
        geffect: rows of one model, split and regularizer, columns as for `geffect_over_steps`;
            the total of the term `objective` is drawn.
        title: of the whole figure.

    Raises:
        ValueError: the frame is empty, holds more than one model, split or regularizer, or has
            no total of the term `objective`.
    """
    style.one_of_each(geffect, ["model", "split", "regularizer"])
    totals = geffect[geffect["term"].eq("objective") & geffect["component"].eq(TOTAL)]
    if totals.empty:
        raise ValueError("nothing to draw: no row is the total of the term 'objective'")
    objectives = list(dict.fromkeys(totals["objective"]))
    with matplotlib.rc_context(style.STYLE):
        at_most = max(1, int(style.WIDTH / (0.5 + 0.065 * max(map(len, objectives)))))
        lines = -(-len(objectives) // at_most)
        figure = style.new_figure(3.8 + 0.16 * lines, title)
        panels = curves.effect_panels(figure)
        curves.label_ends(panels, panels)
        for (dataset, value), axes in panels.items():
            side = totals[totals["dataset"].eq(dataset)]
            for position, objective in enumerate(objectives):
                look = {
                    "color": style.PALETTE[position % len(style.PALETTE)],
                    "linestyle": style.LINE_STYLES[
                        position // len(style.PALETTE) % len(style.LINE_STYLES)
                    ],
                    "marker": style.SHAPES[position % len(style.SHAPES)],
                    "linewidth": 1.2,
                }
                curves.line(axes, side[side["objective"].eq(objective)], value, objective, look)
        curves.set_limits(panels, totals)
        style.legend_below(figure, figure.get_axes(), columns=-(-len(objectives) // lines))
        return style.laid_out(figure)
