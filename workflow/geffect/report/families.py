"""The variants of one objective as a family of curves, ordered by their hyper-parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from geffect.names import NO_REGULARIZER
from geffect.report import seeds, style
from geffect.report.results import Results
from geffect.report.symbols import SYMBOLS, text, written


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
        seeds: those that all members have: the only ones by which they can be compared.
    """

    objective: str
    regularizer: str
    differs: str
    axis: str
    ticks: Sequence[str]
    members: Sequence[Member]
    seeds: Sequence[int]

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame of cells that are about the family, of the seeds that all have."""
        if frame.empty:
            return frame
        mine = frame["objective"].isin([member.variant for member in self.members])
        mine &= frame["seed"].isin(self.seeds)
        return frame[mine & frame["regularizer"].eq(self.regularizer)]

    def alone(self, frame: pd.DataFrame, variant: str) -> pd.DataFrame:
        """The rows of one member, of all its seeds, where it is compared with no other member."""
        if frame.empty:
            return frame
        return frame[frame["objective"].eq(variant) & frame["regularizer"].eq(self.regularizer)]

    def note(self) -> list[str]:
        """Which seeds are drawn, where some variants have more of them."""
        return [f"Drawn: {seeds.said(self.seeds)}, which all variants have."]

    def final(self, metrics: pd.DataFrame, metric: str, dataset: str) -> pd.Series:
        """Variant -> the mean of a metric over `seeds`; missing where one of them lacks it."""
        rows = self.rows(metrics)
        if len(rows):
            rows = rows[rows["metric"].eq(metric) & rows["dataset"].eq(dataset)]
        if rows.empty:
            return pd.Series(dtype="float64")
        wide = rows.pivot(index="objective", columns="seed", values="value")
        return wide.reindex(columns=list(self.seeds)).astype("float64").mean(axis=1, skipna=False)

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
    common, _ = seeds.comparable(
        {
            name: [cell["seed"] for cell in results.having(objective=name, regularizer=regularizer)]
            for name in names
        }
    )
    hypers = {name: results.variants.get(name, {}).get("hyper", {}) for name in names}
    known = dict.fromkeys(key for hyper in hypers.values() for key in hyper)
    varying = [key for key in known if len({str(h.get(key)) for h in hypers.values()}) > 1]
    if not varying:
        return _unordered(objective, regularizer, names, common)
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
        group = ", ".join(written(key, value) for key, value in zip(rest, others, strict=True))
        label = ", ".join(written(key, hyper.get(key)) for key in varying)
        members.append(Member(name, label, look, place, group))
    ticks = [text(value) for value in values]
    symbols = [SYMBOLS.get(key, key) for key in varying]
    differs = " and ".join(symbols)
    return Family(objective, regularizer, differs, symbols[0], ticks, members, common)


def _unordered(
    objective: str, regularizer: str, names: Sequence[str], common: Sequence[int]
) -> Family:
    """Variants that differ in something else than hyper-parameters, such as their training."""
    members = [Member(name, name, style.series(n), n, "") for n, name in enumerate(names)]
    return Family(objective, regularizer, "its settings", "variant", list(names), members, common)


def _order(value: Any) -> tuple:
    """Numbers by size, all else by name after them; of tuples, element by element."""
    if isinstance(value, tuple):
        return tuple(_order(part) for part in value)
    number = isinstance(value, int | float)
    return (not number, value if number else 0, str(value))
