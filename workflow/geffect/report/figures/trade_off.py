"""Removal against utility, with the reference models."""

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from geffect.names import NO_REGULARIZER, REFERENCES
from geffect.report import style
from geffect.report.results import Results

TITLE = "Removal and utility"
CAPTION = (
    "Wanted is low extraction strength on D_u at the utility of the original model. "
    "Objectives stop at different depths of forgetting, so a point further left is not a "
    "better objective."
)
CATEGORY = "Outcome"
READS = ["main"]
PER = "split"


def draw(results: Results) -> Figure:
    """`trade_off` of all cells and reference models."""
    return trade_off(results.frame("main"), f"Removal and utility ({results.here})")


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
    style.one_of_each(main, ["model", "split"])
    is_reference = main["objective"].isin(REFERENCES)
    measured = np.isfinite(main[["es_exact_unlearn", "mu"]].astype("float64")).all(axis=1)
    objectives = list(dict.fromkeys(main.loc[~is_reference, "objective"]))
    regularizers = list(dict.fromkeys(main.loc[~is_reference, "regularizer"]))
    markers = {name: _objective_marker(position) for position, name in enumerate(objectives)}
    markers |= {
        "original": {"color": "black", "fillstyle": "full"},
        "retain_model": {"color": "black", "fillstyle": "none"},
    }
    shapes = {name: style.SHAPES[i % len(style.SHAPES)] for i, name in enumerate(regularizers)}
    with matplotlib.rc_context(style.STYLE | {"lines.markersize": 5}):
        figure = style.new_figure(3.6, title)
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
        style.laid_out(figure)
        _name_points(figure, axes, points)
        return figure


def _objective_marker(position: int) -> dict[str, str]:
    return {
        "color": style.PALETTE[position % len(style.PALETTE)],
        "fillstyle": style.FILL_STYLES[position // len(style.PALETTE) % len(style.FILL_STYLES)],
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
