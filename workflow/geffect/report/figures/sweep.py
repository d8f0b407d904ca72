"""One objective with several settings: its curves as a family, and what they ended in."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import EFFECT_DATASETS, OBJECTIVE, TOTAL
from geffect.report import curves, style
from geffect.report.changes import cumulated_change
from geffect.report.families import Family, family
from geffect.report.results import Results

TITLE = "Sweeps over hyper-parameters"
CAPTION = (
    "How a hyper-parameter moves an objective between forgetting and retention. Colours run from "
    "the least to the greatest value. Raw e stands here because an objective is compared with "
    "itself, but a hyper-parameter may scale its loss: trust the cosine and the change of risk. "
    "The last row has the hyper-parameter on its axis: look for a value that keeps utility while "
    "extraction strength on D_u is low. One seed cannot tell neighbouring values apart."
)
CATEGORY = "Sweeps"
READS = ["geffect", "risk", "training", "metrics"]
PER = "sweep"

ROWS = {
    "geffect": "G-effect e",
    "cosine": "cosine of e",
    "change": "measured change\nof risk (nats)",
}
HEADINGS = {"unlearn": "forget set $D_u$", "retain": "retained data $D_r$"}
# Panel -> (metric, its data set) -> its name, colour and filling; shapes and lines are the other
# hyper-parameters', as everywhere in the figure.
OUTCOMES: tuple[dict[tuple[str, str], tuple[str, str, str]], ...] = (
    {
        ("es_exact", "unlearn"): ("ES on $D_u$ (low)", style.BLUE, "full"),
        ("es_exact", "retain"): ("ES on $D_r$ (high)", style.VERMILION, "none"),
    },
    {("mu", "all"): ("utility (high)", style.GREEN, "full")},
)
OUTCOME_HEADINGS = ("recitation\nafter the run", "Model Utility\nafter the run")


def draw(results: Results, objective: str) -> Figure:
    """e, cosine and change of both risks over the steps, and the metrics over the values."""
    members = family(results, objective)
    title = (
        f"{objective}: forgetting against harm, by {members.differs}. Regularizer "
        f"{members.regularizer} ({results.here})"
    )
    figure = style.new_figure(6.9, title)
    panels = figure.subplots(4, 2)
    for row, (value, label) in enumerate(ROWS.items()):
        rows = _rows(members.rows(results.frame("risk" if value == "change" else "geffect")))
        rows = cumulated_change(rows) if value == "change" else rows
        panels[row, 0].set_ylabel(label)
        for axes, dataset in zip(panels[row], EFFECT_DATASETS, strict=True):
            _lines(axes, rows[rows["dataset"].eq(dataset)] if len(rows) else rows, value, members)
    for column, dataset in enumerate(EFFECT_DATASETS):
        panels[0, column].set_title(HEADINGS[dataset])
        panels[2, column].set_xlabel(curves.STEP_LABEL)
        _outcomes(
            panels[3, column], members.rows(results.frame("metrics")), OUTCOMES[column], members
        )
        panels[3, column].set_title(OUTCOME_HEADINGS[column])
    panels[3, 0].set_ylabel("share, 0 to 1")
    figure.align_ylabels()
    if any(axes.lines for axes in panels[:3].flat):
        style.legend_below(figure, panels[:3].flat, columns=5)
    drawn = {"regularizer": members.regularizer}
    gaps = [
        g for m in members.members for g in results.gaps("geffect", objective=m.variant, **drawn)
    ]
    style.note_gaps(figure, gaps, members.note())
    return style.laid_out(figure)


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame[frame["term"].eq(OBJECTIVE) & frame["component"].eq(TOTAL)]


def _lines(axes: Axes, rows: pd.DataFrame, value: str, members: Family) -> None:
    if rows.empty:
        style.gap(axes, "no cell has been measured")
        return
    for member in members.members:
        chosen = rows[rows["objective"].eq(member.variant)]
        curves.line(axes, chosen, value, member.label, member.look)
    axes.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
    curves.scale_steps(axes, rows["step"])
    curves.scale_values(axes, rows[value], "cosine" if value == "cosine" else "")


def _outcomes(
    axes: Axes,
    metrics: pd.DataFrame,
    wanted: dict[tuple[str, str], tuple[str, str, str]],
    members: Family,
) -> None:
    of = {key: members.final(metrics, *key) for key in wanted}
    if not any(values.notna().any() for values in of.values()):
        style.gap(axes, "no cell has been evaluated")
        return
    for key, (label, colour, filling) in wanted.items():
        values = of[key]
        for number, group in enumerate(members.groups().values()):
            axes.plot(
                [member.place for member in group],
                [values.get(member.variant, float("nan")) for member in group],
                # The others have the lines that the legend below explains.
                label=label if number == 0 else f"_{label}{number}",
                color=colour,
                marker=group[0].look["marker"],
                fillstyle=filling,
                markersize=3.5,
                linestyle=group[0].look["linestyle"],
            )
    axes.set_xticks(range(len(members.ticks)), members.ticks)
    axes.set_xlim(-0.3, len(members.ticks) - 0.7)
    axes.set_xlabel(members.axis)
    axes.set_ylim(-0.04, 1.04)
    # Below: inside it would hide points.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.4), handlelength=1.5)
