"""The measured change of risk over the runs of one variant, split by term and by component."""

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from geffect.report import style
from geffect.report.results import Results

TITLE = "What changed the risks"
CAPTION = (
    "Bars add up to the black line, the measured change of each risk. They attribute it to "
    "terms and components; they do not say what would have happened without one of them."
)
CATEGORY = "Change of risk"
READS = ["risk"]
PER = "variant"

TERM_STYLE = {
    OBJECTIVE: {"color": style.BLUE},
    REGULARIZER: {"color": style.ORANGE},
    DECAY: {"color": style.PINK},
    UNEXPLAINED: {"color": "#bbbbbb"},
}
SIDES = {UNLEARN: "forget set (wanted: up)", RETAIN: "retained data (wanted: not up)"}


def draw(results: Results, variant: str) -> Figure:
    """`change_over_steps` of one variant."""
    rows = results.frame("risk")
    title = f"{variant}: what changed the risks ({results.here})"
    return change_over_steps(rows[rows["objective"].eq(variant)], title)


def change_over_steps(risk: pd.DataFrame, title: str) -> Figure:
    """Draw how the risks of one objective's runs changed, and which term and part did it.

    One row of panels per regularizer: the forget set and the retained data, each split by term and
    by component. Bars stand at the measured steps and are summed from the start of the run; those
    above zero raise the risk. The black line is the measured change, which the bars add up to (by
    term with the grey rest, which the prediction leaves unexplained). Means over seeds.

    Args:
        risk: rows of one model, split and objective: `regularizer`, `seed`, `step`, `term`,
            `dataset`, `component`, `predicted_change`, `measured_change`.
        title: of the whole figure.

    Raises:
        ValueError: the frame has no interval between two steps, or more than one objective.
    """
    style.one_of_each(risk, ["model", "split", "objective"])
    if not risk["predicted_change"].notna().any():
        raise ValueError("nothing to draw: no row has a change up to the next step")
    regularizers = list(dict.fromkeys(risk["regularizer"]))
    with matplotlib.rc_context(style.STYLE):
        figure = style.new_figure(0.9 + 1.75 * len(regularizers), title)
        grid = figure.subplots(len(regularizers), 4, squeeze=False, sharex=True)
        for row, regularizer in enumerate(regularizers):
            rows = risk[risk["regularizer"].eq(regularizer)]
            for side, (dataset, wanted) in enumerate(SIDES.items()):
                chosen = rows[rows["dataset"].eq(dataset)]
                by_term = chosen[chosen["component"].eq(TOTAL)]
                by_part = chosen[
                    ~chosen["component"].isin([TOTAL]) | chosen["term"].eq(UNEXPLAINED)
                ]
                by_part = by_part[by_part["component"].isin([*COMPONENTS, TOTAL])]
                parts = by_part["component"].where(by_part["term"].ne(UNEXPLAINED), UNEXPLAINED)
                panels = grid[row, 2 * side], grid[row, 2 * side + 1]
                _bars(panels[0], by_term, by_term["term"], TERM_STYLE)
                styles = {**style.COMPONENT_STYLE, UNEXPLAINED: TERM_STYLE[UNEXPLAINED]}
                _bars(panels[1], by_part, parts, styles)
                for axes in panels:
                    _measured(axes, by_term)
                panels[1].sharey(panels[0])
                if row == 0:
                    panels[0].set_title(f"{wanted}\nby term", loc="left")
                    panels[1].set_title("\nby component", loc="left")
            grid[row, 0].set_ylabel(f"regularizer {regularizer}\nchange of risk (nats)")
        for axes in grid[-1]:
            axes.set_xlabel("step")
        style.legend_below(figure, figure.get_axes(), columns=5)
        return style.laid_out(figure)


def _bars(axes: Axes, rows: pd.DataFrame, groups: pd.Series, styles: Mapping) -> None:
    """Stacked bars of the sums from the start of the run, up and down from zero."""
    per_step = rows.assign(group=groups).groupby(["seed", "step", "group"])["predicted_change"]
    wide = per_step.sum(min_count=1).groupby(["step", "group"]).mean().unstack("group")
    steps = wide.index.to_numpy()
    if len(steps) < 2:
        return
    # What is up to the next step stands at that step.
    sums, ends = wide.iloc[:-1].cumsum(), steps[1:]
    width = 0.8 * np.diff(steps).min()
    high, low = np.zeros(len(ends)), np.zeros(len(ends))
    for name in [name for name in styles if name in sums]:
        heights = sums[name].fillna(0).to_numpy()
        bottom = np.where(heights >= 0, high, low)
        axes.bar(ends, heights, width, bottom, label=name, color=styles[name]["color"])
        high, low = high + np.maximum(heights, 0), low + np.minimum(heights, 0)
    axes.axhline(0, color="#777777", linewidth=0.7)


def _measured(axes: Axes, totals: pd.DataFrame) -> None:
    rows = totals[totals["term"].eq(OBJECTIVE)]
    mean = rows.groupby("step")["measured_change"].mean()
    steps = mean.index.to_numpy()
    changes = np.concatenate([[0], mean.iloc[:-1].cumsum().to_numpy()])
    axes.plot(steps, changes, label="measured", color="black", linewidth=1.2, marker=".")
