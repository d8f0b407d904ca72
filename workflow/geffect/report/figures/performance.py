"""The G-effect and the performance of one variant over its run."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import COMBINED, EFFECT_DATASETS, TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "G-effect and performance over the run"
CAPTION = (
    "Does the run do what its G-effects announce? After a cosine well below 0 on D_u, extraction "
    "strength should fall there; after one below 0 on D_r, it falls on D_r as well. The cosine "
    "says nothing about the size of a step: late steps are small, since the learning rate decays."
)
CATEGORY = "Along the run"
READS = ["geffect", "trajectory", "training"]
PER = "variant"

METRICS = {
    "es_exact": "extraction\nstrength",
    "probability": "answer\nprobability",
    "nll": "NLL (nats)",
}
HEADINGS = {"unlearn": "forget set $D_u$", "retain": "held-out rows $D_r$"}


def draw(results: Results, variant: str) -> Figure:
    """A row for the cosine and one for every metric; a line for every regularizer."""
    title = f"{variant}: does the run do what its G-effects announce? ({results.here})"
    figure = style.new_figure(0.9 + 0.95 * (1 + len(METRICS)), title)
    panels = figure.subplots(1 + len(METRICS), 2, sharex=True)
    effects, along = results.frame("geffect"), results.frame("trajectory")
    if len(effects):
        chosen = effects["term"].eq(COMBINED) & effects["component"].eq(TOTAL)
        effects = effects[chosen & effects["objective"].eq(variant)]
    if len(along):
        along = along[along["objective"].eq(variant)]
    regularizers = results.names("regularizer", objective=variant)
    for column, dataset in enumerate(EFFECT_DATASETS):
        top, *below = panels[:, column]
        top.set_title(HEADINGS[dataset])
        top.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
        lacking = "no G-effects: the cell is missing"
        _lines(top, effects, {"dataset": dataset}, "cosine", regularizers, lacking)
        for axes, metric in zip(below, METRICS, strict=True):
            lacking = "no trajectory: performance was not measured along the run"
            where = {"dataset": dataset, "metric": metric}
            _lines(axes, along, where, "value", regularizers, lacking)
            if metric != "nll" and axes.lines:
                axes.set_ylim(-0.04, 1.04)
        panels[-1, column].set_xlabel(curves.STEP_LABEL)
    panels[0, 0].set_ylabel("cosine of e\n(objective + λ·reg.)")
    for row, label in enumerate(METRICS.values(), start=1):
        panels[row, 0].set_ylabel(label)
    figure.align_ylabels()
    if any(axes.lines for axes in panels.flat):
        style.legend_below(figure, panels.flat, columns=4)
    style.note_gaps(figure, results.gaps("geffect", objective=variant))
    return style.laid_out(figure)


def _lines(
    axes: Axes,
    frame: pd.DataFrame,
    where: dict[str, str],
    value: str,
    regularizers: list[str],
    lacking: str,
) -> None:
    for column, wanted in where.items():
        frame = frame[frame[column].eq(wanted)] if len(frame) else frame
    if frame.empty:
        style.gap(axes, lacking)
        return
    for position, regularizer in enumerate(regularizers):
        rows = frame[frame["regularizer"].eq(regularizer)]
        curves.line(axes, rows, value, f"regularizer {regularizer}", style.series(position))
    curves.scale_steps(axes, frame["step"])
    if value == "cosine":
        curves.scale_values(axes, frame[value], "cosine")
