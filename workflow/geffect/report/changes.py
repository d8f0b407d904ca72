"""The measured change of risk, and what made it: by term and by component."""

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import (
    CELL,
    COMPONENTS,
    DECAY,
    OBJECTIVE,
    REGULARIZER,
    RETAIN,
    TOTAL,
    UNEXPLAINED,
    UNLEARN,
)
from geffect.report import figures

TERM_STYLE = {
    OBJECTIVE: {"color": figures.BLUE},
    REGULARIZER: {"color": figures.ORANGE},
    DECAY: {"color": figures.PINK},
    UNEXPLAINED: {"color": "#bbbbbb"},
}
SIDES = {UNLEARN: "forget set (wanted: up)", RETAIN: "retained data (wanted: not up)"}


def attributed(risk: pd.DataFrame) -> pd.DataFrame:
    """The change of risk over whole runs, by term and component, in nats.

    Args:
        risk: rows of `risk.parquet` of any cells, with their keys.

    Returns:
        CELL, `dataset`, `term`, `component`, `predicted_change` (summed over the steps), and in
        rows of the component `total` the `measured_change`, which is the sum of `predicted_change`
        over all terms, `unexplained` among them.
    """
    keys = [*CELL, "dataset", "term", "component"]
    columns = ["predicted_change", "measured_change"]
    # The last step of a run has no interval.
    rows = risk[risk["predicted_change"].notna()]
    return rows.groupby(keys, sort=False)[columns].sum(min_count=1).reset_index()


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
    figures.one_of_each(risk, ["model", "split", "objective"])
    if not risk["predicted_change"].notna().any():
        raise ValueError("nothing to draw: no row has a change up to the next step")
    regularizers = list(dict.fromkeys(risk["regularizer"]))
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.new_figure(0.9 + 1.75 * len(regularizers), title)
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
                styles = {**figures.COMPONENT_STYLE, UNEXPLAINED: TERM_STYLE[UNEXPLAINED]}
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
        figures.legend_below(figure, figure.get_axes(), columns=5)
        return figures.laid_out(figure)


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
