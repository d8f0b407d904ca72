"""The G-effects of one variant over its run, whole and by component, for every regularizer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import COMPONENTS, NO_REGULARIZER, OBJECTIVE, TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "G-effects over the run, by component"
CAPTION = (
    "Down on D_u is removal; down on D_r is harm. Compare the components, and the regularizers, "
    "which share their axes. Do not compare the size of e between objectives: it depends on how a "
    "loss is scaled. e is what plain gradient descent would do next; for what AdamW did, see the "
    "change of risk."
)
CATEGORY = "G-effects"
READS = ["geffect", "training"]
PER = "variant"

# The dot shows a value whose neighbours are missing.
TOTAL_STYLE = {"color": "black", "linewidth": 1.9, "marker": ".", "zorder": 3}
# Term -> label and style of its total, drawn beside the objective's where there is a regularizer.
TERMS = {
    "combined": ("total, with λ · regularizer", {"linestyle": "--", "linewidth": 1.3}),
    "regularizer": ("total of λ · regularizer", {"linestyle": ":", "linewidth": 1.5}),
}


def draw(results: Results, variant: str) -> Figure:
    """A block per regularizer: e_u and e_r above, their cosines below.

    Lines are means over seeds, bands run from their least to their greatest value. The scales are
    the same in all blocks.
    """
    effects = results.frame("geffect")
    if len(effects):
        shown = effects["component"].isin([TOTAL, *COMPONENTS]) & effects["objective"].eq(variant)
        effects = effects[shown & effects["term"].isin([OBJECTIVE, *TERMS])]
    regularizers = results.names("regularizer", objective=variant)
    panel = min(1.05, (style.PAGE_HEIGHT - 2.2) / len(regularizers) / 2 - 0.15)
    heights = np.full(len(regularizers), 2 * panel + 0.3)
    # Only the first block has the panels' titles and only the last one the step label.
    heights[0] += 0.26
    heights[-1] += 0.14
    title = f"{variant}: down on the left is forgetting, down on the right is harm ({results.here})"
    figure = style.new_figure(heights.sum() + (0.65 if len(regularizers) < 2 else 1.0), title)
    blocks = figure.subfigures(len(regularizers), 1, squeeze=False, height_ratios=heights)
    diverged = results.diverged_steps()
    grids = []
    for block, regularizer in zip(blocks[:, 0], regularizers, strict=True):
        rows = effects[effects["regularizer"].eq(regularizer)] if len(effects) else effects
        stops = {
            seed: step
            for (*_, o, r, seed), step in diverged.items()
            if (o, r) == (variant, regularizer)
        }
        seeds = len(results.having(objective=variant, regularizer=regularizer))
        heading = _block_title(regularizer, stops, seeds)
        lines = style.wrapped(heading, style.WIDTH - 2 * style.MARGIN, style.SMALL, "bold")
        block.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=style.SMALL, fontweight="bold")
        grids.append(curves.effect_panels(block))
        for (dataset, value), axes in grids[-1].items():
            if rows.empty:
                style.gap(axes, "no G-effects: the cell is missing")
                continue
            side = rows[rows["dataset"].eq(dataset)]
            _component_lines(axes, side, value, with_terms=regularizer != NO_REGULARIZER)
            for step in stops.values():
                axes.axvline(step, color=style.GAP, linewidth=0.8, linestyle=(0, (4, 2)))
    curves.label_ends(grids[0], grids[-1])
    for regularizer, panels in zip(regularizers, grids, strict=True):
        if len(effects) and effects["regularizer"].eq(regularizer).any():
            curves.set_limits(panels, effects)
    style.legend_below(figure, figure.get_axes(), columns=4)
    style.note_gaps(figure, results.gaps("geffect", objective=variant))
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
    objective = rows[rows["term"].eq(OBJECTIVE)]
    curves.line(axes, objective[objective["component"].eq(TOTAL)], value, TOTAL, TOTAL_STYLE)
    for component in COMPONENTS:
        chosen = objective[objective["component"].eq(component)]
        curves.line(axes, chosen, value, component, style.COMPONENT_STYLE[component])
    if with_terms:
        totals = rows[rows["component"].eq(TOTAL)]
        for term, (label, look) in TERMS.items():
            curves.line(axes, totals[totals["term"].eq(term)], value, label, TOTAL_STYLE | look)
