"""The G-effects of one variant over its run, whole and by component, for every regularizer."""

import textwrap
from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import COMPONENTS, NO_REGULARIZER, TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "G-effects over the run"
CAPTION = (
    "Down on D_u is removal; down on D_r is harm. Compare the components, and the "
    "regularizers on equal axes; compare objectives by the cosine only, since the size of e "
    "depends on how a loss is scaled."
)
CATEGORY = "G-effects"
READS = ["geffect", "training"]
PER = "variant"

# The dot shows a value whose neighbours are missing.
TOTAL_STYLE = {"color": "black", "linewidth": 1.9, "marker": ".", "zorder": 3}
# Term -> label and style of its total, drawn beside the objective's where there is a regularizer.
TERMS = {
    "combined": ("total of objective + λ · regularizer", {"linestyle": "--", "linewidth": 1.3}),
    "regularizer": ("total of λ · regularizer", {"linestyle": ":", "linewidth": 1.5}),
}


def draw(results: Results, variant: str) -> Figure:
    """`geffect_over_steps` of one variant."""
    rows = results.frame("geffect")
    diverged = {
        (r, seed): step for (o, r, seed), step in results.diverged_steps().items() if o == variant
    }
    title = f"{variant} ({results.here})"
    return geffect_over_steps(rows[rows["objective"].eq(variant)], title, diverged)


def geffect_over_steps(
    geffect: pd.DataFrame,
    title: str,
    diverged: Mapping[tuple[str, int], int] | None = None,
) -> Figure:
    """Draw the G-effects of one objective over its run, whole and by component.

    One block per regularizer, in order of first appearance: e_u and e_r above, their cosines
    below. Lines are means over seeds, bands run from their least to their greatest value. The
    scales are the same in all blocks, so that regularizers can be compared.

    Args:
        geffect: rows of one model, split and objective: `regularizer`, `seed`, `step` (optimiser
            updates), `term`, `dataset`, `component`, `geffect`, `cosine`.
        title: of the whole figure.
        diverged: (regularizer, seed) -> step at which that run diverged.

    Raises:
        ValueError: the frame has nothing to draw or more than one model, split or objective.
    """
    style.one_of_each(geffect, ["model", "split", "objective"])
    shown = geffect["component"].isin([TOTAL, *COMPONENTS])
    geffect = geffect[shown & geffect["term"].isin(["objective", *TERMS])]
    if geffect.empty:
        raise ValueError("nothing to draw: no row has one of the terms and components drawn")
    regularizers = list(dict.fromkeys(geffect["regularizer"]))
    with matplotlib.rc_context(style.STYLE):
        panel = min(1.25, (style.PAGE_HEIGHT - 1.3) / len(regularizers) / 2 - 0.2)
        heights = np.full(len(regularizers), 2 * panel + 0.4)
        # Only the first block has the panels' titles and only the last one the step label.
        heights[0] += 0.17
        heights[-1] += 0.17
        figure = style.new_figure(heights.sum() + 0.65, title)
        blocks = figure.subfigures(len(regularizers), 1, squeeze=False, height_ratios=heights)
        grids = []
        for block, regularizer in zip(blocks[:, 0], regularizers, strict=True):
            rows = geffect[geffect["regularizer"].eq(regularizer)]
            stops = {
                seed: step for (name, seed), step in (diverged or {}).items() if name == regularizer
            }
            block.suptitle(
                "\n".join(
                    textwrap.wrap(_block_title(regularizer, stops, rows["seed"].nunique()), 95)
                ),
                x=0.01,
                ha="left",
                fontsize=8,
                fontweight="bold",
            )
            grids.append(curves.effect_panels(block))
            for (dataset, value), axes in grids[-1].items():
                side = rows[rows["dataset"].eq(dataset)]
                _component_lines(axes, side, value, with_terms=regularizer != NO_REGULARIZER)
                for step in stops.values():
                    axes.axvline(step, color="#B22222", linewidth=0.8, linestyle=(0, (4, 2)))
        curves.label_ends(grids[0], grids[-1])
        for panels in grids:
            curves.set_limits(panels, geffect)
        style.legend_below(figure, figure.get_axes(), columns=4)
        return style.laid_out(figure)


def _block_title(regularizer: str, stops: Mapping[int, int], n_seeds: int) -> str:
    title = f"regularizer: {regularizer}"
    if not stops:
        return title
    if n_seeds == 1:
        return f"{title} — diverged at step {next(iter(stops.values()))}"
    steps = ", ".join(f"step {step} (seed {seed})" for seed, step in stops.items())
    return f"{title} — diverged at {steps}"


def _component_lines(axes: Axes, rows: pd.DataFrame, value: str, with_terms: bool) -> None:
    objective = rows[rows["term"].eq("objective")]
    curves.line(axes, objective[objective["component"].eq(TOTAL)], value, "total", TOTAL_STYLE)
    for component in COMPONENTS:
        chosen = objective[objective["component"].eq(component)]
        curves.line(axes, chosen, value, component, style.COMPONENT_STYLE[component])
    if with_terms:
        totals = rows[rows["component"].eq(TOTAL)]
        for term, (label, look) in TERMS.items():
            curves.line(axes, totals[totals["term"].eq(term)], value, label, TOTAL_STYLE | look)
