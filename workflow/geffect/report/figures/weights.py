"""NPO's weight of the samples over the run: its middle and its spread, under every objective."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import NO_REGULARIZER
from geffect.report import curves, style
from geffect.report.families import family
from geffect.report.results import Results
from geffect.report.weighting import beta, weighted_instances

TITLE = "NPO's weights over the run"
CAPTION = (
    "The weight that NPO gives, or would give, to each sample of D_u: the median, and a band from "
    "the 10% to the 90% quantile of the samples. In NPO's own panel, a fall towards 0 is its "
    "early stopping. In the other panels the weight takes no part in the run: it says how far the "
    "samples have been forgotten, in NPO's terms. A wide band means that NPO treats samples "
    "differently."
)
CATEGORY = "Weights"
READS = ["instances", "training"]
PER = "split"

COLUMNS = 2
LEAST, GREATEST = 0.1, 0.9


def draw(results: Results) -> Figure:
    """A panel per objective; all variants of NPO, of the others the one that stands for them."""
    objectives = list(results.families())
    number = -(-len(objectives) // COLUMNS)
    title = (
        f"NPO's weight of each sample (β = {beta(results):g}) falls as it is forgotten "
        f"({results.here})"
    )
    figure = style.new_figure(0.6 + 1.05 * number, title)
    grid = figure.subplots(number, COLUMNS, sharex=True, sharey=True, squeeze=False)
    rows = weighted_instances(results)
    for axes, objective in zip(grid.flat, objectives, strict=False):
        _panel(axes, results, objective, rows)
    for axes in list(grid.flat)[len(objectives) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("weight $w_s$")
    for axes in list(grid.flat)[max(0, len(objectives) - COLUMNS) : len(objectives)]:
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    grid[0, 0].set_ylim(-0.05, 2.05)
    labelled = [axes for axes in grid.flat if len(axes.lines) > 1]
    if labelled:
        style.legend_below(figure, labelled, columns=4)
    bands = f"Bands: {LEAST:.0%} to {GREATEST:.0%} of the samples, of the seeds together."
    style.note_gaps(figure, [] if rows.empty else results.gaps("instances"), [bands])
    return style.laid_out(figure)


def _panel(axes: Axes, results: Results, objective: str, rows: pd.DataFrame) -> None:
    axes.set_title(objective)
    members = family(results, objective)
    if objective == "npo":
        chosen, rows = list(members.members), members.rows(rows)
    else:
        variant = results.families()[objective][0]
        chosen = [member for member in members.members if member.variant == variant]
        rows = members.alone(rows, variant)
    if rows.empty:
        style.gap(axes, "no instances: not measured, or geffect.instances is off")
        return
    several = len(chosen) > 1
    for member in chosen:
        mine = rows[rows["objective"].eq(member.variant)]
        look = member.look if several else {"color": style.BLUE, "marker": ".", "linewidth": 1.4}
        by_step = mine.groupby("step")["npo_weight"]
        middle = by_step.median()
        axes.plot(
            middle.index, middle, label=f"npo, {member.label}" if several else "median", **look
        )
        low, high = by_step.quantile(LEAST), by_step.quantile(GREATEST)
        # Bands of several variants would hide one another.
        if not several:
            axes.fill_between(
                low.index, low.to_numpy(), high.to_numpy(), color=look["color"], alpha=0.2, lw=0
            )
    if members.regularizer != NO_REGULARIZER:
        axes.set_title(f"{objective}+{members.regularizer}")
    curves.scale_steps(axes, rows["step"])
