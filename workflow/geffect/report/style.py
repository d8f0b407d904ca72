"""How every figure looks: colours, shapes, sizes, legends, and how it is written to files.

Figures are `matplotlib.figure.Figure` objects made without pyplot: they need no display, and
none stays open when a caller forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe and Ito's colours, which colour-blind readers can tell apart; of the warm ones only two.
BLUE, VERMILION, GREEN, PURPLE, SKY, AMBER = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
)
BLACK, GREY = "#000000", "#8a8a8a"
PALETTE = [BLUE, VERMILION, GREEN, PURPLE, BLACK, SKY, AMBER]
COMPONENT_STYLE = {
    "embed": {"color": SKY, "marker": "v"},
    "shallow": {"color": VERMILION, "marker": "o"},
    "middle": {"color": GREEN, "marker": "s"},
    "deep": {"color": BLUE, "marker": "D"},
    "lm": {"color": PURPLE, "marker": "^"},
}
LINE_STYLES = ["-", "--", ":", "-."]
FILL_STYLES = ["full", "none", "left", "bottom", "right", "top"]
SHAPES = ["o", "s", "^", "D", "v", "P", "X", "h"]
SHAPE_NAMES = {
    "o": "dot",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "triangle down",
    "P": "plus",
    "X": "cross",
    "h": "hexagon",
}
WIDTH = 3.3  # inches: one column of a page of two, so that type prints at its size
PAGE_HEIGHT = 8.7
DPI = 200  # of PNG files
SMALL = 7  # the least size of type that can be read in print
MARGIN = 0.05  # inches beside the title and the small print
GAP = "#8b1a1a"
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "axes.labelsize": SMALL,
    "axes.titlesize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "figure.titlesize": 7.5,
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


def context() -> AbstractContextManager[None]:
    """The settings in which every figure is drawn and saved."""
    return matplotlib.rc_context(STYLE)


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure to each path (.pdf, .png at `DPI`, .svg).

    The same figure gives the same bytes: no time of writing goes into the files.

    Raises:
        ValueError: a path ends in something else.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if path.suffix not in METADATA:
            raise ValueError(f"cannot write {path}: expected one of {', '.join(METADATA)}")
    with context():
        for path in files:
            figure.savefig(path, dpi=DPI, metadata=METADATA[path.suffix])


def new_figure(height: float, title: str) -> Figure:
    """An empty figure of one column's width, `height` inches high, with a title above that."""
    layout = ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.03)
    size = float(STYLE["figure.titlesize"])
    lines = wrapped(title, WIDTH - 2 * MARGIN, size, "bold")
    figure = Figure(figsize=(WIDTH, height + 0.13 * len(lines)), layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(lines), fontweight="bold")
    return figure


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """The lines of a text that are no wider than `width` (inches), in type of a size (points).

    A word that is wider than a line is broken.
    """
    font = FontProperties(family=STYLE["font.family"], size=size, weight=weight)
    # Hinting moves letters by a few percent, by the resolution; in PDF there is none.
    room = 0.98 * DPI * width
    renderer = FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()

    def fits(line: str) -> bool:
        math = line.count("$") > 1
        return renderer.get_text_width_height_descent(line, font, math)[0] <= room

    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if fits(longer):
            line = longer
            continue
        lines += [line] if line else []
        while not fits(word):
            end = next(n for n in range(len(word), 0, -1) if n == 1 or fits(word[:n]))
            lines.append(word[:end])
            word = word[end:]
        line = word
    return [*lines, line] if line else lines


def gap(axes: Axes, why: str) -> None:
    """Says in an otherwise empty panel why it is empty."""
    spec = axes.get_subplotspec()
    columns = 1 if spec is None else spec.get_gridspec().ncols / len(spec.colspan)
    # Beside the panels stand their numbers and names.
    text = "\n".join(wrapped(why, 0.75 * WIDTH / columns, SMALL))
    # Not laid out: a panel is as wide as its neighbours, whatever it says.
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": GAP, "in_layout": False}
    axes.text(0.5, 0.5, text, fontsize=SMALL, transform=axes.transAxes, **look)
    axes.grid(visible=False)
    # Hidden, not removed: panels that share an axis keep theirs.
    axes.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)


def note(figure: Figure, lines: Iterable[str], colour: str = "#555555") -> None:
    """Says below everything, in small print, what is missing or how a number was made.

    The figure grows by the height of the text.
    """
    parts = [part for line in lines for part in wrapped(line, WIDTH - 2 * MARGIN, SMALL)]
    if not parts:
        return
    room = len(parts) * SMALL * 1.3 / 72 + 0.03
    whole = figure.get_figheight() + room
    figure.set_figheight(whole)
    bottom = room / whole
    # What is laid out must leave this strip alone.
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, bottom, 1, 1 - bottom))
    figure.text(
        MARGIN / WIDTH,
        0.02 / whole,
        "\n".join(parts),
        fontsize=SMALL,
        color=colour,
        va="bottom",
        in_layout=False,
    )


def note_gaps(figure: Figure, gaps: Sequence[str], more: Iterable[str] = ()) -> None:
    """Lists below the panels which cells have no numbers, or not to the end."""
    shown = "; ".join(gaps[:8]) + (f"; and {len(gaps) - 8} more" if len(gaps) > 8 else "")
    lines = [f"Gaps: {shown}."] if gaps else []
    note(figure, [*lines, *more], GAP if gaps else "#555555")


def series(position: int) -> dict[str, Any]:
    """The look of the line at a position among others of unordered names."""
    return {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": LINE_STYLES[position // len(PALETTE) % len(LINE_STYLES)],
        "marker": SHAPES[position % len(SHAPES)],
        "linewidth": 1.2,
    }


def shades(number: int) -> list[str]:
    """Colours of an ordered set, from the least to the greatest."""
    places = np.linspace(0, 0.88, max(number, 2))[:number]
    return [to_hex(colour) for colour in colormaps["viridis"](places)]


def laid_out(figure: Figure) -> Figure:
    """Fix the layout, so that every file format gets the same one."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    # A pass lays out with tick labels that its own result may change.
    before = None
    for _ in range(4):
        engine.execute(figure)
        places = np.array([axes.get_position().bounds for axes in figure.get_axes()])
        if before is not None and np.allclose(places, before, atol=2e-3):
            break
        before = places
    rect = engine.get()["rect"]
    for legend in figure.legends:
        # Legends stand outside of what is laid out, at the edge of the figure: above the note.
        legend.set_bbox_to_anchor(rect, transform=figure.transFigure)
    figure.set_layout_engine("none")
    return figure


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend for all panels, below them, in as many columns as fit but no more than given; a
    label that several panels have stands once.
    """
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    legend_of(figure, list(handles.values()), list(handles), columns)


def legend_of(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], columns: int, **look: Any
) -> None:
    """A legend below the panels, in as many columns as fit but no more than given."""
    look = {"handlelength": 2, "columnspacing": 1, "labelspacing": 0.3} | look
    renderer = FigureCanvasAgg(figure).get_renderer()
    for number in range(min(columns, len(handles)), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=number, **look)
        if legend.get_window_extent(renderer).width <= figure.bbox.width or number == 1:
            return
        legend.remove()
