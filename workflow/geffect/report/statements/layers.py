"""Statement 2: unlearning affects the bottom layers more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from geffect.names import EFFECT_DATASETS, NO_REGULARIZER
from geffect.report.statements.comparisons import median_over
from geffect.report.statements.runs import Runs
from geffect.report.statements.verdict import CHANGE, GEFFECT, CannotTell, Claim, Value

NAME = "Unlearning affects the bottom layers more"
BOTTOM, OTHERS = "shallow", ["middle", "deep"]


def by_geffect(runs: Runs) -> Mapping[int, Value]:
    """The sizes of raw e, a measured step counting for the updates up to the next one."""

    def sizes(objective: str, seed: int, dataset: str) -> pd.Series:
        effects = runs.effects(objective, seed, dataset)
        counts = np.append(np.diff(effects.index.to_numpy()), 0)
        return effects.abs().mul(counts, axis=0).sum(skipna=False)

    return _ratios(runs, sizes)


def by_change(runs: Runs) -> Mapping[int, Value]:
    """The sizes of the attributed changes of risk, summed over the run."""
    return _ratios(runs, lambda *of: runs.changes(*of).abs().sum(skipna=False))


def _ratios(runs: Runs, sizes: Callable[[str, int, str], pd.Series]) -> Mapping[int, Value]:
    objectives = runs.without_regularizer
    if not objectives:
        raise CannotTell("no run without a regularizer is in the grid")
    found: dict[int, list[tuple[str, float]]] = {}
    lacking = []
    for objective in objectives:
        try:
            seeds = runs.seeds((objective, NO_REGULARIZER))
        except CannotTell as error:
            lacking.append(str(error))
            continue
        for seed in seeds:
            for dataset in EFFECT_DATASETS:
                size = sizes(objective, seed, dataset)
                most = size[OTHERS].max()
                if np.isfinite(size[[BOTTOM, *OTHERS]]).all() and most > 0:
                    found.setdefault(seed, []).append((objective, float(size[BOTTOM] / most)))
    if not found:
        raise CannotTell("; ".join(lacking) or "no effect is finite and above zero")
    return {
        seed: Value(
            median_over(ratios, "").value,
            facts={
                "runs per seed (by data set)": len(ratios),
                "of which shallow is the most affected in": sum(r > 1 for _, r in ratios),
            },
        )
        for seed, ratios in found.items()
    }


def _claim(by: str, what: str) -> Claim:
    return Claim(
        2,
        "",
        by,
        "the shallow third of the blocks is affected most",
        f"{what}, of shallow over the greater of middle and deep; the median over objectives "
        "without a regularizer and both data sets",
        threshold=1,
        margin=0.1,
    )


CLAIMS = (
    (_claim(GEFFECT, "sum over the run of |e|"), by_geffect),
    (_claim(CHANGE, "sum over the run of |change of risk attributed to the component|"), by_change),
)
