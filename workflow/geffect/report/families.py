"""The variants of one objective as a family of curves, ordered by their hyper-parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from geffect.names import NO_REGULARIZER
from geffect.report import style
from geffect.report.results import Results

SYMBOLS = {
    "alpha": "α",
    "beta": "β",
    "beta1": "β1",
    "beta2": "β2",
    "gamma": "γ",
    "delta": "δ",
    "layer": "layer",
    "c": "c",
}
"""How hyper-parameters are written."""


class Member(NamedTuple):
    """A variant and its place in a family.

    Attributes:
        variant: its name.
        label: the hyper-parameters in which it differs from others.
        look: of its curves: the colour goes with the first of these, the line with the others.
        place: of the first hyper-parameter's value among all of them, 0 for the least.
        group: the values of the other hyper-parameters, as text; empty where there are none.
    """

    variant: str
    label: str
    look: Mapping[str, Any]
    place: int
    group: str


@dataclass(frozen=True)
class Family:
    """The variants of an objective with one regularizer.

    Attributes:
        objective: its name.
        regularizer: `none` where the grid has that, else the first one.
        differs: how the hyper-parameters in which they differ are written.
        axis: the first of these.
        ticks: its values, in their order.
        members: the variants, ordered by their hyper-parameters.
    """

    objective: str
    regularizer: str
    differs: str
    axis: str
    ticks: Sequence[str]
    members: Sequence[Member]

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame that are about the family."""
        if frame.empty:
            return frame
        mine = frame["objective"].isin([member.variant for member in self.members])
        return frame[mine & frame["regularizer"].eq(self.regularizer)]

    def groups(self) -> dict[str, list[Member]]:
        """Those that differ in the first hyper-parameter only, by the values of the others."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            found.setdefault(member.group, []).append(member)
        return found


def family(results: Results, objective: str) -> Family:
    """The variants of an objective, as far as the cells have them with the family's regularizer."""
    names = results.families()[objective]
    regularizers = {
        regularizer: None
        for name in names
        for regularizer in results.names("regularizer", objective=name)
    }
    regularizer = NO_REGULARIZER if NO_REGULARIZER in regularizers else next(iter(regularizers))
    names = [name for name in names if results.having(objective=name, regularizer=regularizer)]
    hypers = {name: results.variants.get(name, {}).get("hyper", {}) for name in names}
    known = dict.fromkeys(key for hyper in hypers.values() for key in hyper)
    varying = [key for key in known if len({str(h.get(key)) for h in hypers.values()}) > 1]
    if not varying:
        return _unordered(objective, regularizer, names)
    first, rest = varying[0], varying[1:]
    values = sorted({h.get(first) for h in hypers.values()}, key=_order)
    colours = style.shades(len(values))
    groups = sorted({tuple(h.get(key) for key in rest) for h in hypers.values()}, key=_order)
    members = []
    for name in sorted(names, key=lambda name: [_order(hypers[name].get(k)) for k in varying]):
        hyper = hypers[name]
        place = values.index(hyper.get(first))
        others = tuple(hyper.get(key) for key in rest)
        number = groups.index(others)
        look = {
            "color": colours[place],
            "linestyle": style.LINE_STYLES[number % len(style.LINE_STYLES)],
            "marker": style.SHAPES[number % len(style.SHAPES)],
            "linewidth": 1.2,
        }
        group = ", ".join(_written(key, value) for key, value in zip(rest, others, strict=True))
        label = ", ".join(_written(key, hyper.get(key)) for key in varying)
        members.append(Member(name, label, look, place, group))
    ticks = [_value(value) for value in values]
    symbols = [SYMBOLS.get(key, key) for key in varying]
    differs = " and ".join(symbols)
    return Family(objective, regularizer, differs, symbols[0], ticks, members)


def _unordered(objective: str, regularizer: str, names: Sequence[str]) -> Family:
    """Variants that differ in something else than hyper-parameters, such as their training."""
    members = [Member(name, name, style.series(n), n, "") for n, name in enumerate(names)]
    return Family(objective, regularizer, "its settings", "variant", list(names), members)


def _written(key: str, value: Any) -> str:
    symbol = SYMBOLS.get(key, key)
    return (
        f"{symbol} {_value(value)}"
        if symbol.isalpha() and len(symbol) > 1
        else (f"{symbol} = {_value(value)}")
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _order(value: Any) -> tuple:
    """Numbers by size, all else by name after them; of tuples, element by element."""
    if isinstance(value, tuple):
        return tuple(_order(part) for part in value)
    number = isinstance(value, int | float)
    return (not number, value if number else 0, str(value))
