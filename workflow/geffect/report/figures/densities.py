"""PG-effects of the forget samples on both data sets, by the weight that NPO gives them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from geffect.report import curves, style
from geffect.report.families import family
from geffect.report.results import Results
from geffect.report.weighting import beta, weighted_instances

TITLE = "PG-effects by NPO weight"
CAPTION = (
    "Each dot is a sample of D_u: what unlearning it alone would do to retention (across) and to "
    "removal (up), early in the run. If NPO's weights favour samples that harm less, dots with "
    "large weights lie further right than those with small ones. Contours of the density stand "
    "where a panel has at least 20 samples. Scales are linear about zero and logarithmic beyond, "
    "and the same in all panels; compare panels within a column, since weights and effects both "
    "move with the step."
)
CATEGORY = "Weights"
READS = ["instances", "training"]
PER = "split"

STEPS = (5, 10, 15)
EDGES = (0, 0.2, 0.4, 0.6, 0.8, np.inf)
NAMES = ("0 – 0.2", "0.2 – 0.4", "0.4 – 0.6", "0.6 – 0.8", "0.8 – 2")
ENOUGH = 20
KEYS = ["e_retain", "e_unlearn"]


def draw(results: Results) -> Figure:
    """A column per early checkpoint, a row per group of weights, of NPO (else the first cell)."""
    families = results.families()
    objective = "npo" if "npo" in families else next(iter(families))
    members = family(results, objective)
    variant = families[objective][0]
    rows = members.alone(weighted_instances(results), variant)
    steps = _steps(rows)
    title = (
        f"Do large NPO weights (β = {beta(results, variant):g}) go to samples that harm retention "
        f"less? {variant}+{members.regularizer} ({results.here})"
    )
    figure = style.new_figure(0.5 + 1.1 * len(NAMES), title)
    panels = figure.subplots(len(NAMES), len(steps), sharex=True, sharey=True, squeeze=False)
    drawn = rows[rows["step"].isin(steps)] if len(rows) else rows
    drawn = drawn[np.isfinite(drawn[KEYS]).all(axis=1)] if len(drawn) else drawn
    scale = _scale(drawn)
    for column, step in enumerate(steps):
        here = rows[rows["step"].eq(step)] if len(rows) else rows
        here = here[np.isfinite(here[KEYS]).all(axis=1)] if len(here) else here
        for row in range(len(NAMES)):
            axes = panels[row, column]
            heading = f"step {step}\n" if row == 0 and len(rows) else ""
            if here.empty:
                style.gap(axes, "no instances")
            else:
                weights = here["npo_weight"]
                group = here[weights.ge(EDGES[row]) & weights.lt(EDGES[row + 1])]
                heading += f"n = {len(group)}"
                _panel(axes, group, drawn, scale)
            axes.set_title(heading)
    for row, name in enumerate(NAMES):
        panels[row, 0].set_ylabel(f"$w_s$ {name}")
    figure.supylabel("PG-effect on $D_u$, ∇R · ∇log p(s)", fontsize=style.SMALL)
    panels[-1, len(steps) // 2].set_xlabel("PG-effect on $D_r$ (right of 0: no harm)")
    lacking = ["No instances.parquet: not measured, or geffect.instances is off."]
    style.note_gaps(
        figure,
        [] if rows.empty else results.gaps("instances", objective=variant),
        lacking if rows.empty else (),
    )
    return style.laid_out(figure)


def _steps(rows: pd.DataFrame) -> list[int]:
    """The steps of the paper where they were measured, else the first ones after the start."""
    if rows.empty:
        return [0]
    measured = sorted(step for step in rows["step"].unique() if step > 0) or [0]
    return list(STEPS) if set(STEPS) <= set(measured) else measured[: len(STEPS)]


def _scale(rows: pd.DataFrame) -> dict[str, float]:
    """Half-width of the linear part of each axis."""
    sizes = rows[KEYS].abs() if len(rows) else pd.DataFrame(columns=KEYS, dtype=float)
    return {key: curves.decade(float(sizes[key].quantile(0.3))) for key in KEYS}


def _panel(axes: Axes, rows: pd.DataFrame, drawn: pd.DataFrame, scale: dict[str, float]) -> None:
    for side, key in zip("xy", KEYS, strict=True):
        curves.symlog(axes, side, drawn[key], scale[key], ticks=3)
    x, y = KEYS
    axes.axvline(0, color=style.GREY, linewidth=0.7)
    axes.axhline(0, color=style.GREY, linewidth=0.7)
    if rows.empty:
        return
    axes.plot(
        rows[x],
        rows[y],
        linestyle="none",
        marker="o",
        markersize=2,
        alpha=0.5,
        color=style.BLUE,
        markeredgewidth=0,
    )
    if len(rows) >= ENOUGH:
        _contours(axes, rows, scale)


def _contours(axes: Axes, rows: pd.DataFrame, scale: dict[str, float]) -> None:
    """Lines that hold 50% and 90% of the density, on the axes' own scales."""
    places = np.arcsinh(np.array([rows[key] / scale[key] for key in KEYS]))
    try:
        density = gaussian_kde(places)
    except np.linalg.LinAlgError:  # all samples on one line
        return
    lines = [np.linspace(p.min() - 0.5, p.max() + 0.5, 50) for p in places]
    heights = density(np.array([g.ravel() for g in np.meshgrid(*lines)])).reshape(50, 50)
    at_samples = density(places)
    levels = np.unique(np.quantile(at_samples, [0.1, 0.5]))
    grid = [np.sinh(line) * scale[key] for line, key in zip(lines, KEYS, strict=True)]
    axes.contour(*grid, heights, levels=levels, colors=style.VERMILION, linewidths=0.8)
