"""Objectives side by side, for every regularizer: where they point, and what they did."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import EFFECT_DATASETS, OBJECTIVE, TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "Objectives side by side"
CAPTION = (
    "Above: the cosine of each objective's gradient with that of the risk, which is free of "
    "scale. Below: how far each run has raised either risk by its steps, in nats. Look for "
    "objectives that raise the risk on D_u and leave the one on D_r. Objectives forget at "
    "different speeds and stop at different depths, so compare the right panel at equal heights "
    "of the left one, not at the last step. Objectives with several variants are drawn with one "
    "of them; the others are in the figures of their sweeps."
)
CATEGORY = "G-effects"
READS = ["geffect", "risk", "training"]
PER = "regularizer"

MOST = len(style.PALETTE)
WANTED = {"unlearn": "forget set (wanted: down)", "retain": "retained data (wanted: ≥ 0)"}
RISES = {"unlearn": "forget set (wanted: up)", "retain": "retained data (wanted: not up)"}


def draw(results: Results, regularizer: str) -> Figure:
    """A line per objective: the mean over seeds, with a band from the least to the greatest."""
    here = results.names("objective", regularizer=regularizer)
    variants, left_out = here, []
    if len(here) > MOST:
        families = results.families()
        base = {next((v for v in names if v in here), None) for names in families.values()}
        variants = [name for name in here if name in base][:MOST]
        left_out = [name for name in here if name not in variants]
    title = f"Which objective forgets, and which harms? Regularizer {regularizer} ({results.here})"
    figure = style.new_figure(4.6, title)
    panels = figure.subplots(2, 2, sharex=True)
    cosines = _rows(results.frame("geffect"), regularizer)
    changes = curves.cumulated_change(_rows(results.frame("risk"), regularizer))
    for column, dataset in enumerate(EFFECT_DATASETS):
        above, below = panels[:, column]
        for axes in (above, below):
            axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
        for frame, value, axes in ((cosines, "cosine", above), (changes, "change", below)):
            side = frame[frame["dataset"].eq(dataset)] if len(frame) else frame
            _lines(axes, side, frame, value, variants)
        above.set_title(WANTED[dataset])
        below.set_title(RISES[dataset])
        below.set_xlabel(curves.STEP_LABEL)
    panels[0, 0].set_ylabel("cosine of ∇R and ∇L")
    panels[1, 0].set_ylabel("measured change\nof risk (nats)")
    figure.align_ylabels()
    if figure.get_axes()[0].lines:
        style.legend_below(figure, figure.get_axes(), columns=4)
    more = [f"In the figures of their sweeps: {', '.join(left_out)}."] if left_out else []
    more.append("At step 0 all models are the original one, so lines start in common points.")
    style.note_gaps(figure, results.gaps("geffect", regularizer=regularizer), more)
    return style.laid_out(figure)


def _rows(frame: pd.DataFrame, regularizer: str) -> pd.DataFrame:
    if frame.empty:
        return frame
    chosen = frame["term"].eq(OBJECTIVE) & frame["component"].eq(TOTAL)
    return frame[chosen & frame["regularizer"].eq(regularizer)]


def _lines(
    axes: Axes, rows: pd.DataFrame, drawn: pd.DataFrame, value: str, variants: list[str]
) -> None:
    if rows.empty:
        style.gap(axes, "no cell has been measured")
        return
    for position, variant in enumerate(variants):
        look = style.series(position)
        curves.line(axes, rows[rows["objective"].eq(variant)], value, variant, look)
    # The same scale on both sides, where equal heights are compared.
    curves.scale_steps(axes, drawn["step"])
    curves.scale_values(axes, drawn[value], "cosine" if value == "cosine" else "")
