"""Lines over the steps of a run: means over seeds, panels of effects and cosines, their scales."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import FixedLocator, MaxNLocator

STEP_LABEL = "step (updates)"
STEP_TICKS = 4
LOG = "(log)"
SIDES = {
    "unlearn": ("unlearning", "e_u", "wanted: negative"),
    "retain": ("retaining", "e_r", "wanted: ≥ 0"),
}


def effect_panels(parent: FigureBase) -> dict[tuple[str, str], Axes]:
    """Four panels with labelled y axes, by (dataset, value)."""
    grid = parent.subplots(2, 2, sharex=True)
    panels: dict[tuple[str, str], Axes] = {}
    for column, (dataset, (_, symbol, _)) in enumerate(SIDES.items()):
        effect, cosine = grid[:, column]
        effect.set_ylabel(f"G-effect ${symbol}$")
        cosine.set_ylabel(f"cosine of ${symbol}$")
        panels |= {(dataset, "geffect"): effect, (dataset, "cosine"): cosine}
    for axes in panels.values():
        axes.axhline(0, color="#777777", linewidth=0.7, zorder=1)
    parent.align_ylabels()
    return panels


def label_ends(top: Mapping[tuple[str, str], Axes], bottom: Mapping) -> None:
    """Titles the panels at the top and labels the steps of those at the bottom."""
    for dataset, (name, _, wanted) in SIDES.items():
        top[dataset, "geffect"].set_title(f"{name}\n({wanted})")
        bottom[dataset, "cosine"].set_xlabel(STEP_LABEL)


def line(axes: Axes, rows: pd.DataFrame, value: str, label: str, style: Mapping) -> None:
    """The mean over seeds at each step; where no seed has a number, the line has a gap."""
    if rows.empty:
        return
    numbers = rows[value].astype("float64")
    steps = numbers.where(np.isfinite(numbers)).groupby(rows["step"]).agg(["mean", "min", "max"])
    axes.plot(steps.index, steps["mean"], label=label, **style)
    if rows["seed"].nunique() > 1:
        axes.fill_between(
            steps.index,
            steps["min"].to_numpy(),
            steps["max"].to_numpy(),
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )


def scale_steps(axes: Axes, steps: pd.Series) -> None:
    """Room for all steps, with ticks at measured ones: all, or every second, third, ..."""
    beyond = 0.03 * max(steps.max() - steps.min(), 1)
    axes.set_xlim(steps.min() - beyond, steps.max() + beyond)
    measured = np.unique(steps)
    gaps = np.diff(measured)
    # An end that the others do not lead up to has no tick, or their labels would meet.
    while len(gaps) > 1 and gaps[-1] < 0.6 * np.median(gaps):
        measured, gaps = measured[:-1], gaps[:-1]
    axes.set_xticks(measured[:: -(-len(measured) // STEP_TICKS)])


def scale_values(axes: Axes, values: pd.Series, kind: str = "") -> None:
    """Scales a panel to values: kind "cosine" up to 1 or a round part of it, without a half that
    would be empty; others linearly, or by powers of ten (linear about zero) where they span
    decades.
    """
    values = values.astype("float64")
    values = values[np.isfinite(values)]
    threshold = None if kind == "cosine" else _linear_threshold(values)
    if kind == "cosine":
        _scale_cosines(axes, values)
    elif threshold is None:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
        locator = axes.yaxis.get_major_locator()
        assert isinstance(locator, MaxNLocator)
        locator.set_params(nbins=5)
        lowest, highest = min(values.min(), 0), max(values.max(), 0)
        margin = 0.06 * (highest - lowest)
        if margin > 0:
            axes.set_ylim(lowest - margin, highest + margin)
    else:
        symlog(axes, "y", values, threshold)


def _scale_cosines(axes: Axes, values: pd.Series) -> None:
    values = values if len(values) else pd.Series([-1.0, 1.0])
    reach = next((limit for limit in (0.1, 0.2, 0.5) if values.abs().max() < limit), 1)
    half, margin = reach / 2, 0.08 * reach
    # What lies within the margin needs no further half.
    below, above = (
        int(np.ceil(max(end - margin, 0) / half)) for end in (-values.min(), values.max())
    )
    if below + above == 0:
        below = above = 1
    axes.set_ylim(-below * half - margin, above * half + margin)
    axes.set_yticks(half * np.arange(-below, above + 1))


def set_limits(panels: Mapping[tuple[str, str], Axes], drawn: pd.DataFrame) -> None:
    """Scales panels by (dataset, value) to all rows `drawn`, in this block or another."""
    for (dataset, value), axes in panels.items():
        scale_steps(axes, drawn["step"])
        scale_values(axes, drawn.loc[drawn["dataset"].eq(dataset), value], value)


def symlog(axes: Axes, side: str, values: pd.Series, threshold: float, ticks: int = 5) -> None:
    """Scales the axis of a side, "x" or "y", to values: linear within ± the threshold, by powers
    of ten beyond it; `ticks` bounds the number of labels, but for the zero. The axis's name, if it
    has one, says so, and every power of ten has a mark.
    """
    lowest, highest = min(values.min(), -threshold / 4), max(values.max(), threshold / 4)
    axis = axes.xaxis if side == "x" else axes.yaxis
    axes.set(
        **{
            f"{side}scale": SymmetricalLogScale(axis, linthresh=threshold, linscale=1),
            f"{side}lim": (2 * lowest, 2 * highest),
        }
    )
    # With linscale 1 the ends of the linear part are as far from 0 as a decade is high.
    first = round(np.log10(threshold))
    below = np.log10(max(-lowest / threshold, 1)) + 1
    above = np.log10(max(highest / threshold, 1)) + 1
    stride = int(np.ceil((below + above) / ticks))
    powers = 10.0 ** np.arange(first, first + max(below, above))

    def within(sizes: np.ndarray) -> np.ndarray:
        places = np.concatenate([-sizes[::-1], [0], sizes])
        return places[(places >= 2 * lowest) & (places <= 2 * highest)]

    labelled = within(powers[stride - 1 :: stride])
    # Not as powers of ten: their exponents would be too small to read in print.
    axis.set_ticks(labelled, [plain(place) for place in labelled])
    axis.set_minor_locator(FixedLocator(within(powers).tolist()))
    name = axis.get_label_text()
    if name and not name.endswith(LOG):
        axis.set_label_text(f"{name} {LOG}")


def plain(number: float) -> str:
    """A number at an axis, such as −0.01, 100 or 1e−5."""
    return f"{number:g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")


def decade(size: float) -> float:
    """The power of ten at or below a size; 1 for 0."""
    return float(10 ** np.floor(np.log10(size))) if size > 0 else 1.0


def _linear_threshold(values: pd.Series) -> float | None:
    """Half-width of the linear part of a symlog axis, or None where a linear axis will do."""
    sizes = values[values.ne(0)].abs()
    if sizes.empty or sizes.max() < 100 * sizes.quantile(0.25):
        return None
    # Five decades a side are as many as a panel has room to label.
    return decade(max(sizes.quantile(0.1), sizes.max() / 1e5))
