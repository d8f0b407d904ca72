"""One objective with several settings, by component of the model."""

from matplotlib.figure import Figure

from geffect.names import COMPONENTS, EFFECT_DATASETS, OBJECTIVE
from geffect.report import curves, style
from geffect.report.families import family
from geffect.report.results import Results

TITLE = "Sweeps by component"
CAPTION = (
    "In which part of the model does a hyper-parameter act? All panels have the same axes. A "
    "cosine near −1 means little in a component whose e is tiny; for sizes, see the figure of the "
    "variant."
)
CATEGORY = "Sweeps"
READS = ["geffect", "training"]
PER = "sweep"

HEADINGS = {"unlearn": "cosine of $e_u$", "retain": "cosine of $e_r$"}


def draw(results: Results, objective: str) -> Figure:
    """A row per component, a column per data set."""
    members = family(results, objective)
    title = (
        f"{objective}: cosines in each part of the model, by {members.differs}. Regularizer "
        f"{members.regularizer} ({results.here})"
    )
    figure = style.new_figure(5.6, title)
    panels = figure.subplots(len(COMPONENTS), 2, sharex=True, sharey=True)
    effects = members.rows(results.frame("geffect"))
    if len(effects):
        shown = effects["term"].eq(OBJECTIVE) & effects["component"].isin(COMPONENTS)
        effects = effects[shown]
    for column, dataset in enumerate(EFFECT_DATASETS):
        for axes, component in zip(panels[:, column], COMPONENTS, strict=True):
            rows = effects
            if len(effects):
                rows = effects[effects["dataset"].eq(dataset) & effects["component"].eq(component)]
            if rows.empty:
                style.gap(axes, "not measured")
            for member in members.members if len(rows) else ():
                chosen = rows[rows["objective"].eq(member.variant)]
                curves.line(axes, chosen, "cosine", member.label, member.look)
            if len(rows):
                axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
                curves.scale_steps(axes, rows["step"])
                curves.scale_values(axes, effects["cosine"], "cosine")
            if column == 0:
                axes.set_ylabel(component)
        panels[0, column].set_title(HEADINGS[dataset])
        panels[-1, column].set_xlabel(curves.STEP_LABEL)
    if any(axes.lines for axes in panels.flat):
        style.legend_below(figure, panels.flat, columns=5)
    drawn = {"regularizer": members.regularizer}
    gaps = [
        g for m in members.members for g in results.gaps("geffect", objective=m.variant, **drawn)
    ]
    style.note_gaps(figure, gaps, members.note())
    return style.laid_out(figure)
