"""The blocks of a model: in which third each is, and which of them a loss never touches."""

from collections.abc import Iterable

import pandas as pd

from geffect.names import BLOCK, THIRDS, thirds


def number(block: str) -> int:
    """The number of a block, from 1, by its name in the column `component`."""
    return int(block.removeprefix(BLOCK))


def in_order(components: Iterable[str]) -> list[str]:
    """The blocks among some components, from the bottom up."""
    return sorted({name for name in components if name.startswith(BLOCK)}, key=number)


def by_third(components: Iterable[str]) -> dict[str, list[str]]:
    """Third -> its blocks among some components; empty lists where there are no blocks."""
    found: dict[str, list[str]] = {third: [] for third in THIRDS}
    names = in_order(components)
    for name, third in zip(names, thirds(len(names)), strict=True):
        found[third].append(name)
    return found


def untouched(effects: pd.DataFrame) -> list[str]:
    """The blocks that a loss leaves as they are by its construction, such as those above the layer
    whose representations it moves: its effect is exactly zero there, at every step.

    Args:
        effects: e or change of risk of one run, component by name in the columns; without columns
            of blocks, the thirds are looked at.

    Returns:
        Their names; none where the effect is zero everywhere, which has other reasons.
    """
    names = in_order(effects.columns) or [name for name in THIRDS if name in effects]
    zero = [name for name in names if effects[name].eq(0).all()]
    return zero if len(zero) < len(names) else []
