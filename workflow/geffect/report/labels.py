"""Names of points in a panel: beside them, and over nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from geffect.report.style import GREY, SMALL

# Where a name may stand about its point, in degrees, the best first; and how far off, in points.
ANGLES = (0, 180, 90, 270, 45, 315, 135, 225, 20, 160, 340, 200, 70, 110, 250, 290)
FARTHER = (10, 15, 21, 28, 36, 46, 58, 72, 90)


class Point(NamedTuple):
    """A marker and what it is called.

    Attributes:
        x, y: its place, in data.
        name: its label.
        size: its radius, in points.
        dx, dy: its whiskers, in data; 0 without.
    """

    x: float
    y: float
    name: str
    size: float = 3.5
    dx: float = 0.0
    dy: float = 0.0


def name_points(axes: Axes, points: Sequence[Point]) -> list[str]:
    """Writes the names of points beside them where neither a marker, a whisker nor another name is,
    the first ones first; one that stands farther off gets a line to its point.

    The layout must be fixed (`laid_out`). Returns the names for which there was no room.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    pixel = figure.dpi / 72
    frame = axes.get_window_extent()
    taken = [box for point in points for box in _boxes(axes, point, pixel)]
    lines = [box for line in axes.get_lines() for box in _along(axes, line, pixel)]
    left = []
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        text = axes.text(point.x, point.y, point.name, fontsize=SMALL)
        size = text.get_window_extent()
        text.remove()
        # Off the lines too, where there is room.
        for obstacles in ([*taken, *lines], taken):
            place = _free_place(
                (x, y), (size.width, size.height), point.size, obstacles, frame, pixel
            )
            if place is not None:
                break
        if place is None:
            left.append(point.name)
            continue
        box, distance = place
        taken.append(box)
        far = distance > 2 * point.size
        axes.annotate(
            point.name,
            (point.x, point.y),
            ((box.x0 + box.x1) / 2 / pixel - x / pixel, (box.y0 + box.y1) / 2 / pixel - y / pixel),
            textcoords="offset points",
            fontsize=SMALL,
            ha="center",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": GREY,
                "linewidth": 0.5,
                "shrinkA": 0,
                "shrinkB": 2,
            }
            if far
            else None,
        )
    return left


def _boxes(axes: Axes, point: Point, pixel: float) -> list[Bbox]:
    """What the marker and the whiskers of a point cover, in pixels."""
    found = []
    for across, along, pad in ((0.0, 0.0, point.size), (point.dx, 0.0, 0.5), (0.0, point.dy, 0.5)):
        corners = [(point.x - across, point.y - along), (point.x + across, point.y + along)]
        found.append(Bbox(axes.transData.transform(corners)).padded(pad * pixel))
    return found


def _along(axes: Axes, line: Line2D, pixel: float) -> list[Bbox]:
    """Small boxes that cover a line between its points, in pixels."""
    if line.get_linestyle() in ("None", "none", " ", ""):
        return []
    places = axes.transData.transform(line.get_xydata())
    return [
        Bbox([place, place]).padded(pixel)
        for start, end in itertools.pairwise(places)
        for place in np.linspace(start, end, 25)
    ]


def _free_place(
    at: tuple[float, float],
    size: tuple[float, float],
    radius: float,
    taken: Sequence[Bbox],
    frame: Bbox,
    pixel: float,
) -> tuple[Bbox, float] | None:
    """The nearest place of a label of some size (pixels) that is free, and how far off it is."""
    for distance in (radius + 1.5, radius + 4, *FARTHER):
        for angle in np.radians(ANGLES):
            # The nearest edge of the label lies on a circle about the point.
            across, along = np.cos(angle), np.sin(angle)
            middle = (
                at[0] + across * (distance * pixel + size[0] / 2),
                at[1] + along * (distance * pixel + size[1] / 2),
            )
            box = Bbox.from_bounds(middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside &= frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                return box, distance
    return None
