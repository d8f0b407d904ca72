"""How every figure looks: colours, shapes, sizes, legends, and how it is written to files.

Figures are `matplotlib.figure.Figure` objects made without pyplot: they need no display, and
none stays open when a caller forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

BLUE, ORANGE, GREEN, VERMILION, PINK, BROWN = seaborn.color_palette("colorblind").as_hex()[:6]
PALETTE = [BLUE, VERMILION, GREEN, PINK, ORANGE, BROWN, "#000000"]
COMPONENT_STYLE = {
    "embed": {"color": ORANGE, "marker": "v"},
    "shallow": {"color": VERMILION, "marker": "o"},
    "middle": {"color": GREEN, "marker": "s"},
    "deep": {"color": BLUE, "marker": "D"},
    "lm": {"color": PINK, "marker": "^"},
}
LINE_STYLES = ["-", "--", ":", "-."]
FILL_STYLES = ["full", "none", "left", "bottom", "right", "top"]
SHAPES = ["o", "s", "^", "D", "v", "P", "X", "h"]
WIDTH = 5.5  # inches: the text width of the ICLR style, so that fonts print at their size
PAGE_HEIGHT = 8.7
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 2.6,
    "legend.frameon": False,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
    "svg.hashsalt": "geffect",
}
# What would otherwise put the time of writing into the file.
METADATA = {".pdf": {"CreationDate": None}, ".png": {}, ".svg": {"Date": None}}


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure to each path (.pdf, .png at 200 dpi, .svg).

    The same figure gives the same bytes: no time of writing goes into the files.

    Raises:
        ValueError: a path ends in something else.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if path.suffix not in METADATA:
            raise ValueError(f"cannot write {path}: expected one of {', '.join(METADATA)}")
    with matplotlib.rc_context(STYLE):
        for path in files:
            figure.savefig(path, dpi=200, metadata=METADATA[path.suffix])


def one_of_each(frame: pd.DataFrame, columns: list[str]) -> None:
    """Raises ValueError unless a frame has rows, and one value in each of some columns."""
    if frame.empty:
        raise ValueError("nothing to draw: the frame is empty")
    for column in columns:
        names = list(dict.fromkeys(frame[column]))
        if len(names) > 1:
            raise ValueError(f"expected rows of one {column}, got {', '.join(map(str, names))}")


def new_figure(height: float, title: str) -> Figure:
    """An empty figure of the text's width, `height` inches high."""
    layout = ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.05)
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontweight="bold")
    return figure


def laid_out(figure: Figure) -> Figure:
    """Fix the layout, so that every file format gets the same one."""
    # The first pass lays out with tick labels that its own result changes.
    figure.draw_without_rendering()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend for all panels, below them; a label that several have stands once."""
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=columns,
        handlelength=2.6,
    )
