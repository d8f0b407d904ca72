"""Removal against utility: one variant of every objective, and its sweep on axes of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from geffect.names import NO_REGULARIZER, REFERENCES
from geffect.report import style
from geffect.report.families import Family, family
from geffect.report.results import Results

TITLE = "Removal and utility"
CAPTION = (
    "Wanted is the lower extraction strength of the retain model at the utility of the original "
    "one: up and to the left. Ringed points are beaten by no other in both. Objectives stop at "
    "different depths of forgetting, so a point further left is not a better objective; compare "
    "points of about the same extraction strength. Sweeps have panels of their own below, their "
    "points joined in the order of the first hyper-parameter."
)
CATEGORY = "Outcome"
READS = ["main"]
PER = "split"

X, Y = "es_exact_unlearn", "mu"
COLUMNS = 3


def draw(results: Results) -> Figure:
    """Colours are objectives, shapes regularizers, stars the reference models; whiskers are
    standard deviations over seeds. Rows without both numbers are listed below with their status.
    """
    main = results.frame("main")
    sweeps = {o: names for o, names in results.families().items() if len(names) > 1}
    base = [names[0] for names in results.families().values()]
    regularizers = results.names("regularizer")
    title = f"What does removal cost in utility? Wanted: up and left ({results.here})"
    lines = -(-len(sweeps) // COLUMNS)
    figure = style.new_figure(3.7 + 1.75 * lines, title)
    layout: list[Any] = [["main"] * COLUMNS] * 2 if lines else [["main"] * COLUMNS]
    places = [*sweeps, *["."] * (lines * COLUMNS - len(sweeps))]
    layout += [places[n : n + COLUMNS] for n in range(0, len(places), COLUMNS)]
    panels = figure.subplot_mosaic(layout)
    axes = panels["main"]
    axes.set_xlabel("ES exact on the forget set, fraction of the answer (lower is better)")
    axes.set_ylabel("Model Utility, 0 to 1 (higher is better)")
    measured = _measured(main)
    points: list[tuple] = []
    if measured.empty:
        style.gap(axes, "no cell has been evaluated")
    else:
        axes.margins(0.1)
        chosen = measured[measured["objective"].isin([*base, *REFERENCES])]
        points = _points(axes, chosen, base, regularizers)
        _legends(figure, measured, base, regularizers)
    for objective in sweeps:
        _sweep(panels[objective], measured, family(results, objective))
    lacking = main.drop(measured.index) if len(main) else main
    style.note_gaps(figure, [f"{_row_name(row)} ({row['status']})" for row in _dicts(lacking)])
    style.laid_out(figure)
    _name_points(figure, axes, points)
    return figure


def not_beaten(main: pd.DataFrame) -> pd.Series:
    """Whether no other row of the same frame has less ES on D_u and at least the utility, or the
    same ES and more utility.
    """
    x, y = main[X].to_numpy(), main[Y].to_numpy()
    beaten = [
        bool((((x <= a) & (y >= b)) & ((x < a) | (y > b))).any()) for a, b in zip(x, y, strict=True)
    ]
    return ~pd.Series(beaten, index=main.index, dtype=bool)


def _measured(main: pd.DataFrame) -> pd.DataFrame:
    if main.empty:
        return main
    return main[np.isfinite(main[[X, Y]].astype("float64")).all(axis=1)]


def _dicts(frame: pd.DataFrame) -> list[dict]:
    return frame.to_dict("records")


def _points(
    axes: Axes, rows: pd.DataFrame, base: Sequence[str], regularizers: Sequence[str]
) -> list[tuple]:
    """Draws every row; returns (x, y, whiskers in x and y, name) of each."""
    cells = rows[~rows["objective"].isin(REFERENCES)]
    best = set(cells.index[not_beaten(cells)])
    found = []
    order = rows["objective"].isin(REFERENCES).sort_values(ascending=False, kind="stable").index
    for index in order:
        row = rows.loc[index]
        x, y = row[X], row[Y]
        spread = [_finite_or_zero(row.get(f"{name}_sd")) for name in (X, Y)]
        axes.errorbar(
            x,
            y,
            xerr=spread[0] or None,
            yerr=spread[1] or None,
            elinewidth=0.6,
            linestyle="none",
            label=_row_name(row),
            **_marker(row["objective"], row["regularizer"], base, regularizers),
        )
        if index in best:
            axes.plot(
                x,
                y,
                "o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor="black",
                markeredgewidth=0.8,
                label=f"_best {_row_name(row)}",
            )
        found.append((x, y, *spread, _row_name(row)))
    return found


def _marker(
    objective: str, regularizer: str, base: Sequence[str], regularizers: Sequence[str]
) -> dict[str, Any]:
    if objective in REFERENCES:
        fill = "full" if objective == REFERENCES[0] else "none"
        return {"color": "black", "fillstyle": fill, "marker": "*", "markersize": 9}
    position = base.index(objective)
    fills = style.FILL_STYLES
    return {
        "color": style.PALETTE[position % len(style.PALETTE)],
        "fillstyle": fills[position // len(style.PALETTE) % len(fills)],
        "marker": style.SHAPES[regularizers.index(regularizer) % len(style.SHAPES)],
        "markersize": 5,
    }


def _sweep(axes: Axes, measured: pd.DataFrame, members: Family) -> None:
    axes.set_title(f"{members.objective}: {members.axis}")
    axes.set_xlabel("ES on $D_u$")
    axes.set_ylabel("utility")
    rows = members.rows(measured)
    if rows.empty:
        style.gap(axes, "no variant has been evaluated")
        return
    values = rows.set_index("objective")
    for name, group in members.groups().items():
        there = [m for m in group if m.variant in values.index]
        if not there:
            continue
        line = there[0].look["linestyle"]
        x, y = (values.loc[[m.variant for m in there], column].to_numpy() for column in (X, Y))
        axes.plot(x, y, color=style.GREY, linewidth=0.8, linestyle=line, label=name or "_sweep")
        for member, a, b in zip(there, x, y, strict=True):
            look = {"color": member.look["color"], "marker": member.look["marker"]}
            axes.plot(a, b, markersize=4, linestyle="none", label=f"_{member.variant}", **look)
            axes.annotate(
                members.ticks[member.place],
                (a, b),
                (3, 3),
                textcoords="offset points",
                fontsize=style.SMALL,
            )
    if len(members.groups()) > 1:
        axes.legend(fontsize=style.SMALL, handlelength=1.6)
    axes.margins(0.15)


def _row_name(row: Mapping) -> str:
    plain = row["objective"] in REFERENCES or row["regularizer"] == NO_REGULARIZER
    return row["objective"] if plain else f"{row['objective']}+{row['regularizer']}"


def _finite_or_zero(value: float | None) -> float:
    return 0.0 if value is None or not np.isfinite(value) else float(value)


def _legends(
    figure: Figure, measured: pd.DataFrame, base: Sequence[str], regularizers: Sequence[str]
) -> None:
    handles, look = [], dict[str, Any]()
    for name in base:
        look = _marker(name, regularizers[0], base, regularizers) | {"marker": "o"}
        handles.append(Line2D([], [], linestyle="none", label=name, **look))
    for name in regularizers:
        look = {"color": "#666666", "marker": style.SHAPES[regularizers.index(name) % 8]}
        handles.append(Line2D([], [], linestyle="none", markersize=5, label=f"+ {name}", **look))
    for name in REFERENCES:
        if measured["objective"].eq(name).any():
            look = _marker(name, NO_REGULARIZER, base, regularizers)
            handles.append(Line2D([], [], linestyle="none", label=name, **look))
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 8,
        "markerfacecolor": "none",
        "color": "black",
    }
    handles.append(Line2D([], [], linestyle="none", label="not beaten in both", **ring))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5, handletextpad=0.3, columnspacing=1.2
    )


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
