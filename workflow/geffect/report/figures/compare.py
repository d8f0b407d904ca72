"""Objectives side by side, for every regularizer: where they point, and what they did."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import EFFECT_DATASETS, OBJECTIVE, TOTAL
from geffect.report import curves, seeds, style
from geffect.report.changes import cumulated_change
from geffect.report.results import Results

TITLE = "Objectives side by side"
CAPTION = (
    "Above: the cosine of each objective's gradient with that of the risk, which is free of "
    "scale; a regularizer's own gradient is not in it. Below: how far each run has raised either "
    "risk by its steps, in nats. Look for objectives that raise the risk on D_u and leave the one "
    "on D_r. Objectives forget at different speeds and stop at different depths: read off at which "
    "step two of them have reached the same height on the left, and compare the right panel at "
    "these steps, not at the last one. The two panels have scales of their own."
)
CATEGORY = "G-effects"
READS = ["geffect", "risk", "training"]
PER = "regularizer"

MOST = len(style.PALETTE)
WANTED = {"unlearn": "forget set\n(wanted: down)", "retain": "retained data\n(wanted: ≥ 0)"}
RISES = {"unlearn": "forget set\n(wanted: up)", "retain": "retained data\n(wanted: not up)"}


def draw(results: Results, regularizer: str) -> Figure:
    """A line per objective: the mean over seeds, with a band from the least to the greatest."""
    here = results.names("objective", regularizer=regularizer)
    families = results.families()
    base = {next((v for v in names if v in here), None) for names in families.values()}
    standing = [name for name in here if name in base]
    variants, too_many = standing[:MOST], standing[MOST:]
    swept = [name for name in here if name not in base]
    common, compared = seeds.comparable(
        {name: _finished(results, name, regularizer) for name in variants}
    )
    title = f"Which objective forgets, and which harms? Regularizer {regularizer} ({results.here})"
    figure = style.new_figure(4.6, title)
    panels = figure.subplots(2, 2, sharex=True)
    drawn = [name for name in variants if name in compared]
    cosines = _rows(results.frame("geffect"), regularizer, drawn, common)
    changes = cumulated_change(_rows(results.frame("risk"), regularizer, drawn, common))
    for column, dataset in enumerate(EFFECT_DATASETS):
        above, below = panels[:, column]
        for axes in (above, below):
            axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
        for frame, value, axes in ((cosines, "cosine", above), (changes, "change", below)):
            side = frame[frame["dataset"].eq(dataset)] if len(frame) else frame
            _lines(axes, side, value, variants)
        above.set_title(WANTED[dataset])
        below.set_title(RISES[dataset])
        below.set_xlabel(curves.STEP_LABEL)
    panels[0, 0].set_ylabel("cosine of ∇R and ∇L")
    panels[1, 0].set_ylabel("measured change\nof risk (nats)")
    figure.align_ylabels()
    if figure.get_axes()[0].lines:
        style.legend_below(figure, figure.get_axes(), columns=4)
    more = [f"In the figures of their sweeps: {', '.join(swept)}."] if swept else []
    if too_many:
        more.append(f"Beyond {MOST} lines, in figures of their own: {', '.join(too_many)}.")
    more += [f"Drawn: {seeds.said(common)}, which all of them have."] if common else []
    more.append("At step 0 all models are the original one.")
    style.note_gaps(figure, results.gaps("geffect", regularizer=regularizer), more)
    return style.laid_out(figure)


def _finished(results: Results, variant: str, regularizer: str) -> list[int]:
    """The seeds of a variant that have been measured, to whatever step."""
    frame = results.frame("geffect")
    if frame.empty:
        return []
    mine = frame["objective"].eq(variant) & frame["regularizer"].eq(regularizer)
    return frame.loc[mine, "seed"].unique().tolist()


def _rows(
    frame: pd.DataFrame, regularizer: str, variants: list[str], common: list[int]
) -> pd.DataFrame:
    if frame.empty:
        return frame
    chosen = frame["term"].eq(OBJECTIVE) & frame["component"].eq(TOTAL)
    chosen &= frame["objective"].isin(variants) & frame["seed"].isin(common)
    return frame[chosen & frame["regularizer"].eq(regularizer)]


def _lines(axes: Axes, rows: pd.DataFrame, value: str, variants: list[str]) -> None:
    if rows.empty:
        style.gap(axes, "no cell has been measured")
        return
    for position, variant in enumerate(variants):
        look = style.series(position)
        curves.line(axes, rows[rows["objective"].eq(variant)], value, variant, look)
    curves.scale_steps(axes, rows["step"])
    curves.scale_values(axes, rows[value], "cosine" if value == "cosine" else "")
