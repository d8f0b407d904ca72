"""Does the G-effect predict the outcome? Effects over whole runs against final metrics."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geffect.names import CELL, COMBINED, EFFECT_DATASETS, TOTAL, UNEXPLAINED
from geffect.report import correlation, curves, style
from geffect.report.changes import over_runs
from geffect.report.results import Results
from geffect.report.tables.geffect import cumulated

TITLE = "Does the G-effect predict the outcome?"
CAPTION = (
    "Every dot is a cell that finished. The first row alone forecasts: the mean cosine of the "
    "measured steps in the first fifth of a run. The next two read the whole run: the mean cosine, "
    "and raw e summed up, which mixes objectives of different scales. The last row is a check and "
    "predicts nothing: that recitation falls where the risk has risen is nearly a tautology, so "
    "its ρ is a ceiling for the others. ρ is Spearman's rank correlation with its 95% bootstrap "
    "interval over cells. Cells of one model, split or objective are alike, so intervals are too "
    "narrow, and a correlation over objectives does not say what happens when one run forgets more."
)
CATEGORY = "Outcome"
READS = ["geffect", "risk", "metrics", "training"]
PER = "run"

EARLY = 0.2
"""The share of a run whose measured steps are early."""
READINGS = {
    "early": "early cosine of e",
    "cosine": "mean cosine of e",
    "e": "Σ e over the run",
    "change": "change of risk (nats)",
}
CHECKS = ("change",)
"""Readings that predict nothing."""
# Data set -> metric, its data set, its name.
METRICS = {
    "unlearn": ("es_exact", "unlearn", "ES on $D_u$ (low)"),
    "retain": ("es_exact", "retain", "ES on $D_r$ (high)"),
}


def draw(results: Results) -> Figure:
    """A row per reading, a column per data set; colours are objectives, shapes regularizers."""
    figure = style.new_figure(7.2, f"Does the G-effect predict the outcome? ({results.here})")
    panels = figure.subplots(len(READINGS), 2, sharey=True)
    effects = readings(results)
    metrics = results.frame("metrics")
    regularizers = results.names("regularizer")
    for column, dataset in enumerate(EFFECT_DATASETS):
        metric, of, label = METRICS[dataset]
        final = metrics
        if len(metrics):
            final = metrics[metrics["metric"].eq(metric) & metrics["dataset"].eq(of)]
        rows = pd.DataFrame()
        if len(effects) and len(final):
            rows = effects[effects["dataset"].eq(dataset)].merge(final[[*CELL, "value"]], on=CELL)
        for axes, (reading, name) in zip(panels[:, column], READINGS.items(), strict=True):
            symbol = "u" if dataset == "unlearn" else "r"
            axes.set_xlabel(
                name.replace("e over", f"$e_{symbol}$ over").replace(" e", f" $e_{symbol}$")
            )
            axes.set_ylabel(label)
            _panel(axes, rows, reading, results)
    panels[0, 0].set_ylim(-0.05, 1.05)
    if any(axes.lines for axes in panels.flat):
        style.legend_below(figure, panels.flat, columns=4)
    shapes = ", ".join(
        f"{style.SHAPE_NAMES[style.SHAPES[n % len(style.SHAPES)]]}: {r}"
        for n, r in enumerate(regularizers)
    )
    style.note_gaps(figure, results.gaps("geffect"), [f"Regularizers are shapes; {shapes}."])
    return style.laid_out(figure)


def readings(results: Results) -> pd.DataFrame:
    """What the G-effects of whole runs say, of every cell that did not diverge.

    Returns:
        CELL, `dataset`, and float64, missing where not measured: `early` (the mean cosine of the
        term combined over the measured steps in the first `EARLY` of the run), `cosine` (over all
        measured steps), `e` (Σ e of the same term), `change` (nats, attributed to all terms).
    """
    effects, risk = results.frame("geffect"), results.frame("risk")
    keys = [*CELL, "dataset"]
    if effects.empty:
        return pd.DataFrame(columns=[*keys, *READINGS])
    totals = effects[effects["term"].eq(COMBINED) & effects["component"].eq(TOTAL)]
    found = cumulated(totals).set_index(keys)["cumulated"].rename("e").to_frame()
    found["cosine"] = totals.groupby(keys)["cosine"].mean()
    last = totals.groupby(CELL)["step"].transform("max")
    found["early"] = totals[totals["step"].le(EARLY * last)].groupby(keys)["cosine"].mean()
    found["change"] = np.nan
    if len(risk):
        terms = risk[risk["component"].eq(TOTAL) & risk["term"].ne(UNEXPLAINED)]
        found["change"] = over_runs(terms, keys, ["predicted_change"])["predicted_change"]
    status = results.status()
    done = status[status["status"].ne("diverged")][CELL]
    return found.reset_index().merge(done, on=CELL)


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    reading: str,
    results: Results,
) -> None:
    if len(rows):
        rows = rows[np.isfinite(rows[[reading, "value"]].astype("float64")).all(axis=1)]
    if rows.empty:
        style.gap(axes, "not measured, or not evaluated")
        return
    named: set[str] = set()
    for position, (objective, variants) in enumerate(results.families().items()):
        for number, regularizer in enumerate(results.names("regularizer")):
            mine = rows[rows["objective"].isin(variants) & rows["regularizer"].eq(regularizer)]
            look = style.series(position) | {"linestyle": "none", "markersize": 3.2, "alpha": 0.8}
            look["marker"] = style.SHAPES[number % len(style.SHAPES)]
            if len(mine):
                label = objective if objective not in named else f"_{objective}{number}"
                named.add(objective)
                axes.plot(mine[reading], mine["value"], label=label, **look)
    if reading != "e":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    else:
        sizes = rows[reading].abs()
        if sizes.max() > 100 * sizes.quantile(0.25):
            threshold = curves.decade(max(sizes.quantile(0.25), sizes.max() / 1e4))
            curves.symlog(axes, "x", rows[reading], threshold)
    found = correlation.said(rows[reading], rows["value"], results.resamples, results.seed)
    axes.set_title(f"check: {found}" if reading in CHECKS else found, fontsize=style.SMALL)
