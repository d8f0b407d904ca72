"""Frames in, figures out. Aggregation over seeds is the only arithmetic here.

Figures are `matplotlib.figure.Figure` objects made without pyplot: they need no display, and
none stays open when a caller forgets it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from geffect.names import COMPONENTS, NO_REGULARIZER, REFERENCES, TOTAL

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

STEP_LABEL = "step (optimiser updates)"
SIDES = {
    "unlearn": ("unlearning", "e_u", "wanted: negative"),
    "retain": ("retaining", "e_r", "wanted: ≥ 0"),
}
BLUE, ORANGE, GREEN, VERMILION, PINK, BROWN = seaborn.color_palette("colorblind").as_hex()[:6]
PALETTE = [BLUE, VERMILION, GREEN, PINK, ORANGE, BROWN, "#000000"]
COMPONENT_STYLE = {
    "embed": {"color": ORANGE, "marker": "v"},
    "shallow": {"color": VERMILION, "marker": "o"},
    "middle": {"color": GREEN, "marker": "s"},
    "deep": {"color": BLUE, "marker": "D"},
    "lm": {"color": PINK, "marker": "^"},
}
# The dot shows a value whose neighbours are missing.
TOTAL_STYLE = {"color": "black", "linewidth": 1.9, "marker": ".", "zorder": 3}
# Term -> label and style of its total, drawn beside the objective's where there is a regularizer.
TERMS = {
    "combined": ("total of objective + λ · regularizer", {"linestyle": "--", "linewidth": 1.3}),
    "regularizer": ("total of λ · regularizer", {"linestyle": ":", "linewidth": 1.5}),
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


def geffect_over_steps(
    geffect: pd.DataFrame,
    title: str,
    diverged: Mapping[tuple[str, int], int] | None = None,
) -> Figure:
    """Draw the G-effects of one objective over its run, whole and by component.

    One block per regularizer, in order of first appearance: e_u and e_r above, their cosines
    below. Lines are means over seeds, bands run from their least to their greatest value. The
    scales are the same in all blocks, so that regularizers can be compared.

    Args:
        geffect: rows of one model, split and objective: `regularizer`, `seed`, `step` (optimiser
            updates), `term`, `dataset`, `component`, `geffect`, `cosine`.
        title: of the whole figure.
        diverged: (regularizer, seed) -> step at which that run diverged.

    Raises:
        ValueError: the frame has nothing to draw or more than one model, split or objective.
    """
    one_of_each(geffect, ["model", "split", "objective"])
    shown = geffect["component"].isin([TOTAL, *COMPONENTS])
    geffect = geffect[shown & geffect["term"].isin(["objective", *TERMS])]
    if geffect.empty:
        raise ValueError("nothing to draw: no row has one of the terms and components drawn")
    regularizers = list(dict.fromkeys(geffect["regularizer"]))
    with matplotlib.rc_context(STYLE):
        panel = min(1.25, (PAGE_HEIGHT - 1.3) / len(regularizers) / 2 - 0.2)
        heights = np.full(len(regularizers), 2 * panel + 0.4)
        # Only the first block has the panels' titles and only the last one the step label.
        heights[0] += 0.17
        heights[-1] += 0.17
        figure = new_figure(heights.sum() + 0.65, title)
        blocks = figure.subfigures(len(regularizers), 1, squeeze=False, height_ratios=heights)
        grids = []
        for block, regularizer in zip(blocks[:, 0], regularizers, strict=True):
            rows = geffect[geffect["regularizer"].eq(regularizer)]
            stops = {
                seed: step for (name, seed), step in (diverged or {}).items() if name == regularizer
            }
            block.suptitle(
                "\n".join(
                    textwrap.wrap(_block_title(regularizer, stops, rows["seed"].nunique()), 95)
                ),
                x=0.01,
                ha="left",
                fontsize=8,
                fontweight="bold",
            )
            grids.append(_effect_panels(block))
            for (dataset, value), axes in grids[-1].items():
                side = rows[rows["dataset"].eq(dataset)]
                _component_lines(axes, side, value, with_terms=regularizer != NO_REGULARIZER)
                for step in stops.values():
                    axes.axvline(step, color="#B22222", linewidth=0.8, linestyle=(0, (4, 2)))
        _label_ends(grids[0], grids[-1])
        for panels in grids:
            _set_limits(panels, geffect)
        legend_below(figure, figure.get_axes(), columns=4)
        return laid_out(figure)


def compare_objectives(geffect: pd.DataFrame, title: str) -> Figure:
    """Draw the total e_u and e_r of several objectives over their runs, and the cosines.

    One line per objective (or variant of one, in a sweep), in order of first appearance; the
    mean over seeds, with a band from the least to the greatest value.

    Args:
        geffect: rows of one model, split and regularizer, columns as for `geffect_over_steps`;
            the total of the term `objective` is drawn.
        title: of the whole figure.

    Raises:
        ValueError: the frame is empty, holds more than one model, split or regularizer, or has
            no total of the term `objective`.
    """
    one_of_each(geffect, ["model", "split", "regularizer"])
    totals = geffect[geffect["term"].eq("objective") & geffect["component"].eq(TOTAL)]
    if totals.empty:
        raise ValueError("nothing to draw: no row is the total of the term 'objective'")
    objectives = list(dict.fromkeys(totals["objective"]))
    with matplotlib.rc_context(STYLE):
        at_most = max(1, int(WIDTH / (0.5 + 0.065 * max(map(len, objectives)))))
        lines = -(-len(objectives) // at_most)
        figure = new_figure(3.8 + 0.16 * lines, title)
        panels = _effect_panels(figure)
        _label_ends(panels, panels)
        for (dataset, value), axes in panels.items():
            side = totals[totals["dataset"].eq(dataset)]
            for position, objective in enumerate(objectives):
                style = {
                    "color": PALETTE[position % len(PALETTE)],
                    "linestyle": LINE_STYLES[position // len(PALETTE) % len(LINE_STYLES)],
                    "marker": SHAPES[position % len(SHAPES)],
                    "linewidth": 1.2,
                }
                _line(axes, side[side["objective"].eq(objective)], value, objective, style)
        _set_limits(panels, totals)
        legend_below(figure, figure.get_axes(), columns=-(-len(objectives) // lines))
        return laid_out(figure)


def trade_off(main: pd.DataFrame, title: str) -> Figure:
    """Draw removal (extraction strength on the forget set) against Model Utility.

    Colour names the objective, shape the regularizer, stars are the reference models; whiskers
    are standard deviations over seeds. Points are named where there is room. Rows without both
    numbers are listed below with their status.

    Args:
        main: rows of one model and split of `tables.main_table`: `objective`, `regularizer`,
            `es_exact_unlearn`, `mu`, optionally their `_sd`, and `status`.
        title: of the whole figure.

    Raises:
        ValueError: the frame is empty or holds more than one model or split.
    """
    one_of_each(main, ["model", "split"])
    is_reference = main["objective"].isin(REFERENCES)
    measured = np.isfinite(main[["es_exact_unlearn", "mu"]].astype("float64")).all(axis=1)
    objectives = list(dict.fromkeys(main.loc[~is_reference, "objective"]))
    regularizers = list(dict.fromkeys(main.loc[~is_reference, "regularizer"]))
    markers = {name: _objective_marker(position) for position, name in enumerate(objectives)}
    markers |= {
        "original": {"color": "black", "fillstyle": "full"},
        "retain_model": {"color": "black", "fillstyle": "none"},
    }
    shapes = {name: SHAPES[i % len(SHAPES)] for i, name in enumerate(regularizers)}
    with matplotlib.rc_context(STYLE | {"lines.markersize": 5}):
        figure = new_figure(3.6, title)
        axes = figure.subplots()
        axes.set_xlabel("ES exact on the forget set, fraction of the answer (lower is better)")
        axes.set_ylabel("Model Utility, 0 to 1 (higher is better)")
        axes.margins(0.1)
        points = []
        for row in (
            main[measured]
            .sort_values("objective", key=lambda names: ~names.isin(REFERENCES), kind="stable")
            .to_dict("records")
        ):
            star = row["objective"] in REFERENCES
            marker: dict[str, Any] = {"marker": shapes.get(row["regularizer"])}
            marker |= {"marker": "*", "markersize": 9} if star else {}
            marker |= markers[row["objective"]]
            x, y = row["es_exact_unlearn"], row["mu"]
            spread = [_finite_or_zero(row.get(name)) for name in ("es_exact_unlearn_sd", "mu_sd")]
            axes.errorbar(
                x,
                y,
                xerr=spread[0] or None,
                yerr=spread[1] or None,
                elinewidth=0.6,
                linestyle="none",
                label=_row_name(row),
                **marker,
            )
            points.append((x, y, *spread, _row_name(row)))
        _trade_off_legends(figure, objectives, regularizers, markers, shapes)
        _list_below(figure, main[~measured])
        laid_out(figure)
        _name_points(figure, axes, points)
        return figure


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
    with matplotlib.rc_context(STYLE | {"lines.markersize": 4}):
        figure = new_figure(0.6 + 0.24 * len(names), title)
        axes = figure.subplots()
        for k, (size, rows) in enumerate(table.groupby("rows", sort=False)):
            offset = (k - (len(sizes) - 1) / 2) * 0.25
            axes.errorbar(
                rows["ratio"],
                [names.index(name) + offset for name in rows["candidate"]],
                xerr=[rows["ratio"] - rows["least"], rows["greatest"] - rows["ratio"]],
                linestyle="none",
                elinewidth=0.8,
                marker=SHAPES[k % len(SHAPES)],
                color=PALETTE[k % len(PALETTE)],
                label=f"{size} rows",
            )
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel(f"time, as a ratio to: {names[0]} (median, least and greatest)")
        legend_below(figure, [axes], columns=4)
        return laid_out(figure)


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure to each path (.pdf, .png at 200 dpi, .svg) and close it.

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
    plt.close(figure)


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


def _block_title(regularizer: str, stops: Mapping[int, int], n_seeds: int) -> str:
    title = f"regularizer: {regularizer}"
    if not stops:
        return title
    if n_seeds == 1:
        return f"{title} — diverged at step {next(iter(stops.values()))}"
    steps = ", ".join(f"step {step} (seed {seed})" for seed, step in stops.items())
    return f"{title} — diverged at {steps}"


def _effect_panels(parent: FigureBase) -> dict[tuple[str, str], Axes]:
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


def _label_ends(top: Mapping[tuple[str, str], Axes], bottom: Mapping) -> None:
    for dataset, (name, _, wanted) in SIDES.items():
        top[dataset, "geffect"].set_title(f"{name} ({wanted})")
        bottom[dataset, "cosine"].set_xlabel(STEP_LABEL)


def _component_lines(axes: Axes, rows: pd.DataFrame, value: str, with_terms: bool) -> None:
    objective = rows[rows["term"].eq("objective")]
    _line(axes, objective[objective["component"].eq(TOTAL)], value, "total", TOTAL_STYLE)
    for component in COMPONENTS:
        chosen = objective[objective["component"].eq(component)]
        _line(axes, chosen, value, component, COMPONENT_STYLE[component])
    if with_terms:
        totals = rows[rows["component"].eq(TOTAL)]
        for term, (label, style) in TERMS.items():
            _line(axes, totals[totals["term"].eq(term)], value, label, TOTAL_STYLE | style)


def _line(axes: Axes, rows: pd.DataFrame, value: str, label: str, style: Mapping) -> None:
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


def _set_limits(panels: Mapping[tuple[str, str], Axes], drawn: pd.DataFrame) -> None:
    """Scale the panels to all rows `drawn`, in this block or another.

    The cosine's axis is symmetric; that of e is linear, or symlog where it spans decades.
    """
    start, end = drawn["step"].min(), drawn["step"].max()
    beyond = 0.03 * max(end - start, 1)
    for (dataset, value), axes in panels.items():
        axes.set_xlim(start - beyond, end + beyond)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        values = drawn.loc[drawn["dataset"].eq(dataset), value].astype("float64")
        values = values[np.isfinite(values)]
        threshold = _linear_threshold(values) if value == "geffect" else None
        if value == "cosine":
            reach = next((limit for limit in (0.1, 0.2, 0.5) if values.abs().max() < limit), 1)
            axes.set_ylim(-1.08 * reach, 1.08 * reach)
            axes.set_yticks(np.linspace(-reach, reach, 5))
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
            _symlog(axes, values, threshold)


def _symlog(axes: Axes, values: pd.Series, threshold: float) -> None:
    axes.set_yscale("symlog", linthresh=threshold, linscale=1)
    lowest, highest = min(values.min(), -threshold / 4), max(values.max(), threshold / 4)
    axes.set_ylim(2 * lowest, 2 * highest)
    # With linscale 1 the ends of the linear part are as far from 0 as a decade is high.
    first = round(np.log10(threshold))
    below = np.log10(max(-lowest / threshold, 1)) + 1
    above = np.log10(max(highest / threshold, 1)) + 1
    stride = int(np.ceil((below + above) / 5))
    powers = 10.0 ** np.arange(first + stride - 1, first + max(below, above), stride)
    ticks = np.concatenate([-powers[::-1], [0], powers])
    axes.set_yticks(ticks[(ticks >= 2 * lowest) & (ticks <= 2 * highest)])
    axes.yaxis.set_minor_locator(NullLocator())


def _linear_threshold(values: pd.Series) -> float | None:
    """Half-width of the linear part of a symlog axis, or None where a linear axis will do."""
    sizes = values[values.ne(0)].abs()
    if sizes.empty or sizes.max() < 100 * sizes.quantile(0.25):
        return None
    # Five decades a side are as many as a panel has room to label.
    return float(10 ** np.floor(np.log10(max(sizes.quantile(0.1), sizes.max() / 1e5))))


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


def _objective_marker(position: int) -> dict[str, str]:
    return {
        "color": PALETTE[position % len(PALETTE)],
        "fillstyle": FILL_STYLES[position // len(PALETTE) % len(FILL_STYLES)],
    }


def _row_name(row: Mapping) -> str:
    plain = row["objective"] in REFERENCES or row["regularizer"] == NO_REGULARIZER
    return row["objective"] if plain else f"{row['objective']}+{row['regularizer']}"


def _finite_or_zero(value: float | None) -> float:
    return 0.0 if value is None or not np.isfinite(value) else float(value)


def _trade_off_legends(
    figure: Figure,
    objectives: list[str],
    regularizers: list[str],
    markers: Mapping[str, Mapping],
    shapes: Mapping[str, str],
) -> None:
    def handle(label: str, marker: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, label=label, **style)

    spacer = Line2D([], [], linestyle="none", label=" ")
    figure.legend(
        handles=[
            Line2D([], [], linestyle="none", label="objective"),
            *(handle(name, "o", **markers[name]) for name in objectives),
            spacer,
            Line2D([], [], linestyle="none", label="regularizer"),
            *(handle(name, shapes[name], color="#666666") for name in regularizers),
            spacer,
            Line2D([], [], linestyle="none", label="reference"),
            *(handle(name, "*", markersize=8, **markers[name]) for name in REFERENCES),
        ],
        loc="outside right upper",
        handletextpad=0.3,
    )


def _list_below(figure: Figure, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    names = [
        f"{_row_name(row)} ({row['status']})" if "status" in row else _row_name(row)
        for row in rows.to_dict("records")
    ]
    text = "\n".join(textwrap.wrap(f"without a number: {', '.join(names)}", 100))
    figure.supxlabel(text, fontsize=6.5, color="#444444", ha="left", x=0.02)


def _name_points(
    figure: Figure, axes: Axes, points: list[tuple[float, float, float, float, str]]
) -> None:
    """Name each point (x, y, whiskers in x and y, name) on the first side that has room."""
    pixel = figure.dpi / 72
    taken = []
    for x, y, dx, dy, _ in points:
        for across, along, pad in ((0, 0, 3.5), (dx, 0, 0.5), (0, dy, 0.5)):
            ends = axes.transData.transform([(x - across, y - along), (x + across, y + along)])
            taken.append(Bbox(ends).padded(pad * pixel))
    frame = axes.get_window_extent()
    sides: list[tuple[tuple[int, int], dict[str, Any]]] = [
        ((5, 0), {"ha": "left", "va": "center"}),
        ((-5, 0), {"ha": "right", "va": "center"}),
        ((0, 5), {"ha": "center", "va": "bottom"}),
        ((0, -5), {"ha": "center", "va": "top"}),
        ((4, 4), {"ha": "left", "va": "bottom"}),
        ((4, -4), {"ha": "left", "va": "top"}),
        ((-4, 4), {"ha": "right", "va": "bottom"}),
        ((-4, -4), {"ha": "right", "va": "top"}),
    ]
    for x, y, _, _, name in points:
        for offset, anchor in sides:
            text = axes.annotate(
                name, (x, y), offset, textcoords="offset points", fontsize=6.5, **anchor
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside &= frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
