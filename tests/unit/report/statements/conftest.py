"""Made-up runs of which every number is known, as the tables that a run leaves behind."""

import numpy as np
import pandas as pd
import pytest

from geffect.names import CELL, RETAIN, UNLEARN, thirds
from geffect.report import statements

STEPS = [0, 10, 20, 30, 40]
MODEL, SPLIT = "m", "forget10"
VARIANTS = {
    "objective": {
        name: {"name": name, "hyper": {}} for name in ("ga", "wga", "npo", "tnpo", "wtnpo", "po")
    }
    | {
        f"rmu_l{layer}_c{c}": {"name": "rmu", "hyper": {"layer": layer, "c": c}}
        for layer in (1, 2)
        for c in (2, 4)
    },
    "regularizer": {name: {"name": name, "hyper": {}} for name in ("nll", "kl", "rr")},
}


class Grid:
    """Collects runs; `judged` gives (statement, part, by) -> row."""

    def __init__(self, split=SPLIT):
        self.split = split
        self.cells, self.frames = [], {}

    def _add(self, name, key, rows):
        frame = pd.DataFrame(rows).assign(**key)
        self.frames.setdefault(name, []).append(frame[[*CELL, *frame.columns.drop(CELL)]])

    def run(
        self,
        objective,
        regularizer="none",
        seed=1,
        cos=(-0.5, -0.5),
        change=(1.0, 0.5),
        reg=None,
        shallow=2.0,
        deep=1.0,
        blocks=3,
        rates=1e-3,
        weights=None,
        effects=None,
        diverged=False,
        scale=1.0,
        probes=None,
    ):
        """A run.

        cos, change: of D_u and D_r, a number or one for every measured step (for every interval);
        reg: the same pair for the regularizer; probes: name -> cos; shallow: size of the shallow
        third beside middle of 1, and deep; blocks: how many there are; rates: the learning rate of
        every update; weights, effects: [steps, samples].
        """
        key = dict(zip(CELL, (MODEL, self.split, objective, regularizer, seed), strict=True))
        self.cells.append(key)
        parts = {"embed": 0.1, "shallow": shallow, "middle": 1.0, "deep": deep, "lm": 0.1}
        whole = sum(parts.values())
        shares = {name: value / whole for name, value in parts.items()} | {"total": 1.0}
        of_third = thirds(blocks)
        shares |= {
            f"layer.{n}": shares[third] / of_third.count(third)
            for n, third in enumerate(of_third, start=1)
        }
        terms = {"objective": (cos, change)} | ({"regularizer": reg} if reg else {})
        geffect, risk = [], []
        probed = [(f"probe.{name}", (cosine, 0)) for name, cosine in (probes or {}).items()]
        for term, (cosine, _) in [*terms.items(), *probed]:
            for dataset, value in zip((UNLEARN, RETAIN), cosine, strict=True):
                for step, at in zip(STEPS, np.broadcast_to(value, len(STEPS)), strict=True):
                    for component, share in shares.items():
                        geffect.append(
                            {"step": step, "term": term, "dataset": dataset}
                            | {"component": component, "cosine": at, "geffect": scale * at * share}
                        )
        for dataset_number, dataset in enumerate((UNLEARN, RETAIN)):
            by_term = {
                term: np.append(np.broadcast_to(given[dataset_number], len(STEPS) - 1), np.nan)
                for term, (_, given) in terms.items()
            }
            measured = sum(by_term.values())
            for term, values in by_term.items():
                for n, step in enumerate(STEPS):
                    for component, share in shares.items():
                        risk.append(
                            {"step": step, "term": term, "dataset": dataset}
                            | {"component": component, "predicted_change": values[n] * share}
                            | {"measured_change": measured[n] if component == "total" else np.nan}
                        )
        self._add("geffect", key, geffect)
        self._add("risk", key, risk)
        updates = range(1, STEPS[-1] + 1)
        self._add(
            "training",
            key,
            {"step": updates, "learning_rate": rates, "diverged": [False] * 39 + [diverged]},
        )
        if weights is not None:
            instances = [
                {"step": step, "sample": s, "component": component, "weight": w}
                | {"e_unlearn": -abs(e) * share, "e_retain": scale * e * share}
                for step, row, es in zip(STEPS, weights, effects, strict=True)
                for s, (w, e) in enumerate(zip(row, es, strict=True))
                for component, share in shares.items()
            ]
            self._add("instances", key, instances)
        return self

    def tables(self):
        names = ("geffect", "risk", "instances", "training")
        return {n: pd.concat(self.frames.get(n) or [pd.DataFrame()]) for n in names}

    def table(self, seed=0, resamples=200, splits=("forget10",), **changed):
        given = {**self.tables(), **changed}
        return statements.table(
            self.cells,
            variants={(MODEL, cell["split"]): VARIANTS for cell in self.cells},
            splits=splits,
            resamples=resamples,
            seed=seed,
            **given,
        )

    def judged(self, statement, by, part="", **settings):
        """The row of a claim."""
        table = self.table(**settings)
        (row,) = table[
            table["statement"].eq(statement)
            & table["by"].eq(by)
            & table["part"].eq(part)
            & table["split"].eq(self.split)
        ].to_dict("records")
        return row


@pytest.fixture
def grid():
    return Grid
