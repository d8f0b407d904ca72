"""The predicted against the measured change of risk, of every interval of every run."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geffect.names import CELL, EFFECT_DATASETS, TOTAL, UNEXPLAINED
from geffect.report import curves, style
from geffect.report.results import Results

TITLE = "Predicted and measured change of risk"
CAPTION = (
    "Every dot is an interval between two measured steps of a run. One on the line was predicted "
    "exactly from the gradients at both ends of the interval. A panel says in which share of the "
    "intervals the sign is right, and by how much of the measured change the prediction is off in "
    "the median. Where dots leave the line, do not trust attributed changes of risk: measure more "
    "often. This checks the attribution and forecasts nothing: the prediction knows where the run "
    "went."
)
CATEGORY = "Change of risk"
READS = ["risk", "training"]
PER = "split"

HEADINGS = {"unlearn": "forget set $D_u$", "retain": "retained data $D_r$"}


def draw(results: Results) -> Figure:
    """A panel per data set; colours are objectives."""
    title = f"Do the gradients account for what the runs did to the risks? ({results.here})"
    figure = style.new_figure(4.4, title)
    panels = figure.subplots(2, 1)
    changes = intervals(results.frame("risk"))
    families = results.families()
    for axes, dataset in zip(panels, EFFECT_DATASETS, strict=True):
        axes.set_title(HEADINGS[dataset])
        axes.set_ylabel("predicted change (nats)")
        rows = changes[changes["dataset"].eq(dataset)] if len(changes) else changes
        _panel(axes, rows, families)
    panels[-1].set_xlabel("measured change (nats)")
    if any(axes.lines for axes in panels):
        style.legend_below(figure, panels, columns=4)
    style.note_gaps(figure, results.gaps("risk"))
    return style.laid_out(figure)


def intervals(risk: pd.DataFrame) -> pd.DataFrame:
    """`predicted` (all terms together) and `measured` change of every interval, data set and cell.

    Args:
        risk: rows of `risk.parquet`, with their keys.
    """
    if risk.empty:
        return risk
    rows = risk[risk["component"].eq(TOTAL) & risk["measured_change"].notna()]
    keys = [*CELL, "step", "dataset"]
    terms = rows[rows["term"].ne(UNEXPLAINED)].groupby(keys, sort=False)
    predicted = terms["predicted_change"].sum(skipna=False)
    measured = terms["measured_change"].first()
    both = pd.DataFrame({"predicted": predicted, "measured": measured}).reset_index()
    return both[np.isfinite(both[["predicted", "measured"]]).all(axis=1)]


def agreement(changes: pd.DataFrame) -> tuple[float, float]:
    """The share of intervals with the right sign, and the median relative error."""
    right = np.sign(changes["predicted"]).eq(np.sign(changes["measured"]))
    error = (changes["predicted"] - changes["measured"]).abs() / changes["measured"].abs()
    return float(right.mean()), float(error[np.isfinite(error)].median())


def _panel(axes: Axes, rows: pd.DataFrame, families: dict[str, list[str]]) -> None:
    if rows.empty:
        style.gap(axes, "no interval: fewer than two steps were measured")
        return
    values = pd.concat([rows["predicted"], rows["measured"]])
    threshold = curves.decade(max(rows["measured"].abs().quantile(0.25), values.abs().max() / 1e4))
    for side in "xy":
        curves.symlog(axes, side, values, threshold)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, color=style.GREY, linewidth=0.8, label="predicted = measured")
    for position, (objective, variants) in enumerate(families.items()):
        mine = rows[rows["objective"].isin(variants)]
        look = style.series(position) | {"linestyle": "none", "markersize": 3, "alpha": 0.7}
        if len(mine):
            axes.plot(mine["measured"], mine["predicted"], label=objective, **look)
    share, error = agreement(rows)
    said = f"{len(rows)} intervals\nsign right: {share:.0%}\nmedian error: {error:.1%}"
    axes.text(0.04, 0.96, said, va="top", fontsize=style.SMALL, transform=axes.transAxes)
