"""Does it stay forgotten: what a few relearned rows bring back, and whether that was foreseen."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geffect.names import OTHER, RETAIN_MODEL
from geffect.report import correlation, curves, style
from geffect.report.results import Results
from geffect.report.robustness import predicted

TITLE = "Relearning"
CAPTION = (
    "A few forget rows are learnt again; shown is what that brings back of the others. What stays "
    "forgotten comes back no faster than for the retain model, which never knew it. A line that "
    "stays flat may also be a ruined model: see what it retains. The last panel holds the squared "
    "norm of the forget risk's gradient, at the last measured step, against what that risk really "
    "fell by; ρ is Spearman's rank correlation with its 95% bootstrap interval over cells."
)
CATEGORY = "Robustness"
READS = ["relearn", "geffect", "training", "records"]
PER = "split"

METRICS = {
    "es_exact": "extraction\nstrength",
    "em": "exact\nmemorization",
    "truth_ratio": "truth ratio\n(1: ignorance)",
    "risk": "risk (nats)",
}


def draw(results: Results) -> Figure:
    """A row per metric, a column per regularizer, lines are objectives; below, the prediction."""
    title = f"Do the other forget rows come back when a few are relearned? ({results.here})"
    regularizers = results.names("regularizer")
    heights = [*[1.05] * len(METRICS), 1.7]
    figure = style.new_figure(sum(heights) + 1.3, title)
    grid = figure.add_gridspec(len(heights), len(regularizers), height_ratios=heights)
    panels = np.array(
        [
            [figure.add_subplot(grid[row, column]) for column in range(len(regularizers))]
            for row in range(len(METRICS))
        ]
    )
    frame = results.frame("relearn")
    others = frame[frame["dataset"].eq(OTHER)] if len(frame) else frame
    for row, (metric, label) in zip(panels, METRICS.items(), strict=True):
        rows = others[others["metric"].eq(metric)] if len(others) else others
        for axes, regularizer in zip(row, regularizers, strict=True):
            _lines(axes, rows, results, regularizer)
            axes.label_outer(remove_inner_ticks=True)
        row[0].set_ylabel(label)
        _scale([axes for axes in row if axes.lines], metric)
    for axes, regularizer in zip(panels[0], regularizers, strict=True):
        axes.set_title(f"regularizer {regularizer}")
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    _prediction(figure.add_subplot(grid[-1, :]), predicted(results), results, regularizers)
    if any(axes.lines for axes in panels.flat):
        style.legend_below(figure, panels.flat, columns=4)
    shapes = ", ".join(
        f"{style.SHAPE_NAMES[style.SHAPES[n % len(style.SHAPES)]]}: {regularizer}"
        for n, regularizer in enumerate(regularizers)
    )
    more = [f"Below, regularizers are shapes; {shapes}."]
    style.note_gaps(figure, gaps(results), more)
    return style.laid_out(figure)


def gaps(results: Results) -> list[str]:
    """The cells without numbers, or without a retain model beside them."""
    frame = results.frame("relearn")
    found = results.gaps("relearn")
    seeds = dict.fromkeys(cell["seed"] for cell in results.cells)
    there = set(frame.loc[frame["objective"].eq(RETAIN_MODEL), "seed"]) if len(frame) else set()
    return found + [f"the retain model of seed {s} is missing" for s in seeds if s not in there]


def _lines(axes: Axes, rows: pd.DataFrame, results: Results, regularizer: str) -> None:
    rows = rows[np.isfinite(rows["value"].astype("float64"))] if len(rows) else rows
    here = rows[rows["regularizer"].eq(regularizer)] if len(rows) else rows
    names = dict.fromkeys(cell["objective"] for cell in results.having(regularizer=regularizer))
    if len(here):
        here = here[here["objective"].isin(names)]
    if here.empty:
        style.gap(axes, "nothing was measured")
        return
    beside = rows[rows["objective"].eq(RETAIN_MODEL)]
    look = {"color": style.GREY, "linestyle": "--", "linewidth": 1.4}
    _line(axes, beside, "retain model", look)
    every = list(results.names("objective"))
    for objective in names:
        mine = here[here["objective"].eq(objective)]
        _line(axes, mine, objective, style.series(every.index(objective)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _line(axes: Axes, rows: pd.DataFrame, label: str, look: dict) -> None:
    curves.line(axes, rows.rename(columns={"epoch": "step"}), "value", label, look)


def _scale(panels: list[Axes], metric: str) -> None:
    """The panels of a metric have one scale; by powers of ten where a risk spans decades."""
    values = [y for axes in panels for line in axes.lines for y in np.asarray(line.get_ydata())]
    if not values:
        return
    low, high = min(values), max(values)
    for axes in panels:
        if metric == "risk" and low > 0 and high > 30 * low:
            axes.set_yscale("log")
        elif metric == "risk":
            axes.set_ylim(bottom=0, top=1.05 * high)
        else:
            top = 1.04 if high > 0.5 else max(1.1 * high, 0.1)
            axes.set_ylim(-0.04 * top, top)


def _prediction(axes: Axes, rows: pd.DataFrame, results: Results, regularizers: list[str]) -> None:
    axes.set_xlabel(r"predicted: $\Vert\nabla R(D_u)\Vert^2$ (nats per unit of learning rate)")
    axes.set_ylabel("fall of their risk (nats)")
    if rows.empty:
        style.gap(axes, "no cell has both G-effects and relearning")
        return
    for position, objective in enumerate(results.names("objective")):
        for number, regularizer in enumerate(regularizers):
            mine = rows[rows["objective"].eq(objective) & rows["regularizer"].eq(regularizer)]
            look = style.series(position) | {"linestyle": "none", "markersize": 4, "alpha": 0.85}
            look["marker"] = style.SHAPES[number % len(style.SHAPES)]
            if len(mine):
                axes.plot(mine["speed"], mine["gain"], label=f"_{objective}+{regularizer}", **look)
    axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
    if rows["speed"].gt(0).all() and rows["speed"].max() > 30 * rows["speed"].min():
        axes.set_xscale("log")
    if rows["gain"].abs().max() > 30 * rows["gain"].abs().quantile(0.25):
        threshold = curves.decade(max(rows["gain"].abs().quantile(0.25), 1e-3))
        curves.symlog(axes, "y", rows["gain"], threshold)
    found = correlation.said(rows["speed"], rows["gain"], results.resamples, results.seed)
    axes.set_title(found, fontsize=style.SMALL)
