"""The measured change of risk over the runs of one variant, split by term and by component."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geffect.names import (
    COMPONENTS,
    DECAY,
    OBJECTIVE,
    REGULARIZER,
    RETAIN,
    TOTAL,
    UNEXPLAINED,
    UNLEARN,
)
from geffect.report import curves, style
from geffect.report.changes import cumulated_change
from geffect.report.results import Results

TITLE = "What changed the risks"
CAPTION = (
    "Bars add up to the black line, the measured change of each risk. They attribute it to terms "
    "and components; they do not say what would have happened without one of them."
)
CATEGORY = "Change of risk"
READS = ["risk", "training"]
PER = "variant"

TERM_STYLE = {
    OBJECTIVE: {"color": "#5b5b5b"},
    REGULARIZER: {"color": style.AMBER},
    DECAY: {"color": style.PURPLE},
    UNEXPLAINED: {"color": "#d0d0d0"},
}
SIDES = {UNLEARN: "forget set (up)", RETAIN: "retained (not up)"}


def draw(results: Results, variant: str) -> Figure:
    """Two rows of panels per regularizer: either data set, split by term and by component.

    Bars stand at the measured steps and are summed from the start of the run; those above zero
    raise the risk. The black line is the measured change, which the bars add up to (with the light
    rest, which the prediction leaves unexplained). Means over seeds.
    """
    risk = results.frame("risk")
    if len(risk):
        risk = risk[risk["objective"].eq(variant)]
    regularizers = results.names("regularizer", objective=variant)
    height = min(1.1, (style.PAGE_HEIGHT - 1.5) / len(regularizers) / 2)
    title = f"{variant}: which terms and layers moved the risks? ({results.here})"
    figure = style.new_figure(0.9 + 2 * height * len(regularizers), title)
    grid = figure.subplots(2 * len(regularizers), 2, squeeze=False, sharex=True)
    for position, regularizer in enumerate(regularizers):
        rows = risk[risk["regularizer"].eq(regularizer)] if len(risk) else risk
        for side, (dataset, wanted) in enumerate(SIDES.items()):
            panels = tuple(grid[2 * position + side])
            panels[0].set_ylabel(f"{wanted}\nchange (nats)")
            if side == 0:
                panels[0].set_title(f"regularizer {regularizer}: by term", loc="left")
                panels[1].set_title("by component", loc="left")
            if rows.empty or not rows["predicted_change"].notna().any():
                for axes in panels:
                    style.gap(axes, "no change: the cell is missing, or was measured once")
                continue
            _panels(panels, rows[rows["dataset"].eq(dataset)])
    for axes in grid[-1]:
        axes.set_xlabel(curves.STEP_LABEL)
    if any(axes.patches for axes in grid.flat):
        style.legend_below(figure, figure.get_axes(), columns=5)
    style.note_gaps(figure, results.gaps("risk", objective=variant))
    return style.laid_out(figure)


def _panels(panels: tuple[Axes, ...], rows: pd.DataFrame) -> None:
    by_term = rows[rows["component"].eq(TOTAL)]
    rest = rows["term"].eq(UNEXPLAINED)
    by_part = rows[rows["component"].isin(COMPONENTS) | rest]
    parts = by_part["component"].where(by_part["term"].ne(UNEXPLAINED), UNEXPLAINED)
    _bars(panels[0], by_term, by_term["term"], TERM_STYLE)
    styles = {**style.COMPONENT_STYLE, UNEXPLAINED: TERM_STYLE[UNEXPLAINED]}
    _bars(panels[1], by_part, parts, styles)
    for axes in panels:
        _measured(axes, by_term)
    panels[1].sharey(panels[0])
    panels[0].yaxis.set_major_locator(MaxNLocator(nbins=5))


def _bars(axes: Axes, rows: pd.DataFrame, groups: pd.Series, styles: Mapping) -> None:
    """Stacked bars of the sums from the start of the run, up and down from zero."""
    sums = cumulated_change(rows.assign(group=groups), "group", "predicted_change")
    means = sums.groupby(["step", "group"])["change"].mean().unstack("group")
    steps = means.index.to_numpy()
    if len(steps) < 2:
        return
    width = 0.8 * np.diff(steps).min()
    # Nothing has changed at the first step; a stack that lacks a part would end at a wrong height.
    means = means.iloc[1:].dropna()
    ends = means.index.to_numpy()
    high, low = np.zeros(len(ends)), np.zeros(len(ends))
    for name in [name for name in styles if name in means]:
        heights = means[name].to_numpy()
        bottom = np.where(heights >= 0, high, low)
        axes.bar(ends, heights, width, bottom, label=name, color=styles[name]["color"])
        high, low = high + np.maximum(heights, 0), low + np.minimum(heights, 0)
    axes.axhline(0, color="#777777", linewidth=0.7)


def _measured(axes: Axes, totals: pd.DataFrame) -> None:
    sums = cumulated_change(totals[totals["term"].eq(OBJECTIVE)])
    mean = sums.groupby("step")["change"].mean()
    axes.plot(mean.index, mean, label="measured", color="black", linewidth=1.2, marker=".")
