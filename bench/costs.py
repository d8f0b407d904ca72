"""The figure of a bench: what candidates cost, as ratios to the first one."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from geffect.report import style


def cost_ratios(table: pd.DataFrame, title: str) -> Figure:
    """Draw what candidates cost, as ratios to the first one, on a logarithmic scale.

    Args:
        table: `candidate`, `ratio`, and its `least` and `greatest` over repeats; a group of
            marks for every number of `rows`.
        title: of the figure.

    Raises:
        ValueError: the frame is empty.
    """
    if table.empty:
        raise ValueError("nothing to draw: the frame is empty")
    names = list(dict.fromkeys(table["candidate"]))
    sizes = list(dict.fromkeys(table["rows"]))
    with matplotlib.rc_context(style.STYLE | {"lines.markersize": 4}):
        figure = style.new_figure(0.6 + 0.24 * len(names), title)
        axes = figure.subplots()
        for k, (size, rows) in enumerate(table.groupby("rows", sort=False)):
            offset = (k - (len(sizes) - 1) / 2) * 0.25
            axes.errorbar(
                rows["ratio"],
                [names.index(name) + offset for name in rows["candidate"]],
                xerr=[rows["ratio"] - rows["least"], rows["greatest"] - rows["ratio"]],
                linestyle="none",
                elinewidth=0.8,
                marker=style.SHAPES[k % len(style.SHAPES)],
                color=style.PALETTE[k % len(style.PALETTE)],
                label=f"{size} rows",
            )
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel(f"time, as a ratio to: {names[0]} (median, least and greatest)")
        style.legend_below(figure, [axes], columns=4)
        return style.laid_out(figure)
