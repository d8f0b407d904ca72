"""The G-effects of the retain objectives: along their own runs, and as probes along another's."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import EFFECT_DATASETS, NO_REGULARIZER, PROBE, REGULARIZER, TOTAL
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "Retain objectives"
CAPTION = (
    "A retain objective is there to point up on D_r. Where it points down on D_u it helps removal, "
    "and where it points up it resists. Above, every regularizer along the run that it took part "
    "in; below, all of them along one run that had none. At step 0 KL and RR have no gradient, so "
    "no cosine. A cosine says nothing about λ: for how much a regularizer did, see the change of "
    "risk."
)
CATEGORY = "G-effects"
READS = ["geffect", "training"]
PER = "split"

HEADINGS = {
    "unlearn": "forget set $D_u$\n(down: removal)",
    "retain": "retained data $D_r$\n(wanted: up)",
}


def draw(results: Results) -> Figure:
    """Own runs above, probes below; a line per regularizer."""
    objective = _objective(results)
    title = f"Do retain objectives retain, and do they resist removal? ({results.here})"
    figure = style.new_figure(3.4, title)
    panels = figure.subplots(2, 2, sharex=True)
    effects = results.frame("geffect")
    if len(effects):
        effects = effects[effects["component"].eq(TOTAL)]
    mine = effects[effects["objective"].eq(objective)] if len(effects) else effects
    own = mine[mine["term"].eq(REGULARIZER)] if len(mine) else mine
    own = own.assign(name=own["regularizer"]) if len(own) else own
    probed = effects[effects["term"].str.startswith(PROBE)] if len(effects) else effects
    along = next(iter(probed["objective"]), "") if len(probed) else ""
    probed = probed[probed["objective"].eq(along)] if len(probed) else probed
    if len(probed):
        probed = probed.assign(name=probed["term"].str.removeprefix(PROBE))
    names = list(dict.fromkeys([*own.get("name", ()), *probed.get("name", ())]))
    why = "no cell of the grid has a regularizer"
    for column, dataset in enumerate(EFFECT_DATASETS):
        _lines(panels[0, column], own, dataset, names, why)
        _lines(panels[1, column], probed, dataset, names, "no probes: geffect.probes names none")
        panels[0, column].set_title(HEADINGS[dataset])
        panels[1, column].set_xlabel(curves.STEP_LABEL)
    panels[0, 0].set_ylabel(f"cosine, along\n{objective} + itself")
    panels[1, 0].set_ylabel(f"cosine, along\n{along or 'another'} alone")
    figure.align_ylabels()
    if any(axes.lines for axes in panels.flat):
        style.legend_below(figure, panels.flat, columns=6)
    regularizers = [
        r for r in results.names("regularizer", objective=objective) if r != NO_REGULARIZER
    ]
    gaps = [
        g for r in regularizers for g in results.gaps("geffect", objective=objective, regularizer=r)
    ]
    style.note_gaps(figure, gaps)
    return style.laid_out(figure)


def _objective(results: Results) -> str:
    """The variant with the most regularizers, the first of them."""
    variants = results.names("objective")
    return max(variants, key=lambda name: len(results.names("regularizer", objective=name)))


def _lines(axes: Axes, rows: pd.DataFrame, dataset: str, names: list[str], lacking: str) -> None:
    side = rows[rows["dataset"].eq(dataset)] if len(rows) else rows
    if side.empty:
        style.gap(axes, lacking)
        return
    axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
    for position, name in enumerate(names):
        curves.line(axes, side[side["name"].eq(name)], "cosine", name, style.series(position))
    curves.scale_steps(axes, side["step"])
    # The same scale on both sides.
    curves.scale_values(axes, rows["cosine"], "cosine")
