"""Removal against utility: one variant of every objective, and its sweep on axes of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geffect.names import NO_REGULARIZER, REFERENCES
from geffect.report import labels, style
from geffect.report.families import Family, family
from geffect.report.results import Results

TITLE = "Removal and utility"
CAPTION = (
    "A good run recites as little as the retain model and is as useful as the original one: it "
    "lies up and to the left. No other run beats a ringed one in both. Runs stop at different "
    "depths of forgetting, so a point further left is not a better objective; compare points of "
    "about the same extraction strength. Colours and shapes mean the same in all panels."
)
CATEGORY = "Outcome"
READS = ["main", "metrics"]
PER = "split"

X, Y = "es_exact_unlearn", "mu"
COLUMNS = 2


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
    main_height, sweep_height = 2.7, 1.75
    figure = style.new_figure(main_height + sweep_height * lines + 0.9, title)
    places = [*sweeps, *["."] * (lines * COLUMNS - len(sweeps))]
    layout: list[Any] = [["main"] * COLUMNS]
    layout += [places[n : n + COLUMNS] for n in range(0, len(places), COLUMNS)]
    panels = figure.subplot_mosaic(layout, height_ratios=[main_height, *[sweep_height] * lines])
    axes = panels["main"]
    axes.set_xlabel("ES exact on the forget set (lower is better)")
    axes.set_ylabel("Model Utility (higher is better)")
    measured = _measured(main)
    chosen = measured
    points: dict[Axes, list[labels.Point]] = {}
    if measured.empty:
        style.gap(axes, _why_nothing(main))
    else:
        axes.margins(0.12)
        chosen = measured[measured["objective"].isin([*base, *REFERENCES])]
        points[axes] = _points(axes, chosen, base, regularizers)
        _legends(figure, measured, base, regularizers)
    more = []
    for objective in sweeps:
        members = family(results, objective)
        variant = results.families()[objective][0]
        look = _marker(variant, members.regularizer, base, regularizers)
        points[panels[objective]] = _sweep(
            panels[objective], results.frame("metrics"), members, look
        )
        more.append(f"{objective} {', '.join(str(seed) for seed in members.seeds)}")
    lacking = main.drop(measured.index) if len(main) else main
    gaps = [f"{_row_name(row)} ({_lack(row)})" for row in _dicts(lacking)]
    if len(measured):
        fewer = chosen[~_full(chosen)]
        gaps += [f"{_row_name(row)} has fewer seeds ({row['n_seeds']})" for row in _dicts(fewer)]
    sweeps_said = [
        "Sweeps: points have the value of the hyper-parameter beside them and are joined in its "
        "order.",
        f"Seeds, those that all variants have: {'; '.join(more)}.",
    ]
    style.note_gaps(figure, gaps, sweeps_said if more else [])
    style.laid_out(figure)
    for panel, named in points.items():
        labels.name_points(panel, named)
    return figure


def _full(rows: pd.DataFrame) -> pd.Series:
    """Whether a row has as many seeds as any other: only then is it ranked with them."""
    if "n_seeds" not in rows:
        return pd.Series(True, rows.index, dtype=bool)
    references = rows["objective"].isin(REFERENCES)
    return references | rows["n_seeds"].eq(rows["n_seeds"][~references].max())


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


def _lack(row: Mapping) -> str:
    """Why a row has no point: its status, or the number that the data does not allow."""
    evaluated = row["status"] == "ok" and np.isfinite(row[X])
    return "no Model Utility" if evaluated else row["status"]


def _why_nothing(main: pd.DataFrame) -> str:
    evaluated = len(main) and np.isfinite(main[X].astype("float64")).any()
    return (
        "no Model Utility: see the notes of the tables"
        if evaluated
        else ("no cell has been evaluated")
    )


def _dicts(frame: pd.DataFrame) -> list[dict]:
    return frame.to_dict("records")


def _points(
    axes: Axes, rows: pd.DataFrame, base: Sequence[str], regularizers: Sequence[str]
) -> list[labels.Point]:
    """Draws every row; returns the points, the best ones first."""
    cells = rows[~rows["objective"].isin(REFERENCES) & _full(rows)]
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
        radius = 4.5 if index in best or row["objective"] in REFERENCES else 3.0
        point = labels.Point(x, y, _row_name(row), radius, *spread)
        found.append((index not in best, row["objective"] not in REFERENCES, point))
    return [point for *_, point in sorted(found, key=lambda of: of[:2])]


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


def _sweep(
    axes: Axes, metrics: pd.DataFrame, members: Family, look: Mapping[str, Any]
) -> list[labels.Point]:
    """Draws a family by the seeds that all its members have, with the look that its objective and
    regularizer have in the whole figure; returns its points.
    """
    axes.set_title(f"{members.objective}: {members.axis}")
    axes.set_xlabel("ES exact on $D_u$")
    axes.set_ylabel("Model Utility")
    x, y = members.final(metrics, "es_exact", "unlearn"), members.final(metrics, "mu", "all")
    points = []
    for name, group in members.groups().items():
        there = [
            m
            for m in group
            if np.isfinite([x.get(m.variant, np.nan), y.get(m.variant, np.nan)]).all()
        ]
        if not there:
            continue
        line = there[0].look["linestyle"]
        places = [(float(x[m.variant]), float(y[m.variant])) for m in there]
        axes.plot(
            *zip(*places, strict=True),
            color=style.GREY,
            linewidth=0.8,
            linestyle=line,
            label=name if name and len(there) > 1 else "_sweep",
        )
        for member, place in zip(there, places, strict=True):
            axes.plot(*place, linestyle="none", label=f"_{member.variant}", **look)
            tick = members.ticks[member.place]
            # A single point has no line that says to which of the others it belongs.
            alone = f"{tick} ({name})" if len(there) == 1 and name else tick
            points.append(labels.Point(*place, alone, 3.0))
    if not points:
        style.gap(axes, "no variant has been evaluated")
        return []
    if axes.get_legend_handles_labels()[1]:
        # Below: inside it would hide points.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=2, handlelength=1.6)
    axes.margins(0.18)
    return points


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
    shown = [str(handle.get_label()) for handle in handles]
    style.legend_of(figure, handles, shown, columns=5, handlelength=1, handletextpad=0.3)
