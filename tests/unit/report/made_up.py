"""Made-up frames of cells, and what a figure shows of them."""

import itertools
import re

import numpy as np
import pandas as pd

from geffect.names import CELL, COMPONENTS, REFERENCES
from geffect.report import writing
from geffect.report.tables import main, privacy, utility
from geffect.report.tables.main import MAIN_COLUMNS
from geffect.report.tables.utility import NINE_PARTS

COLUMNS = utility.COLUMNS | privacy.COLUMNS | main.COLUMNS
STEPS = [0, 5, 10, 12]


def name_cell(objective, regularizer="none", seed=42, model="tiny", split="forget05"):
    return dict(zip(CELL, (model, split, objective, regularizer, seed), strict=True))


def metrics_of(cell, rng):
    names = [*MAIN_COLUMNS.values(), *NINE_PARTS.values()]
    return [
        cell | {"metric": metric, "dataset": dataset, "value": rng.uniform()}
        for metric, dataset in dict.fromkeys(names)
    ]


def effects_of(cell, rng, steps=(0, 5, 10, 12), terms=("objective", "combined")):
    return [
        cell
        | {"term": term, "dataset": dataset, "component": component}
        | {"step": step, "geffect": rng.normal(), "cosine": rng.uniform(-1, 1)}
        for term in terms
        for dataset in ("unlearn", "retain")
        for component in ("total", "shallow", "layer.1")
        for step in steps
    ]


def make_frames(cells, rng):
    metrics = pd.DataFrame([row for cell in cells for row in metrics_of(cell, rng)])
    effects = pd.DataFrame(
        [
            row
            for cell in cells
            if cell["objective"] not in REFERENCES
            for row in effects_of(cell, rng)
        ]
    )
    return metrics, effects, pd.DataFrame([cell | {"status": "ok"} for cell in cells])


def cumulated_slowly(rows):
    rows = sorted(rows, key=lambda row: row["step"])
    if len(rows) < 2:
        return np.nan
    total = 0.0
    for here, after in itertools.pairwise(rows):
        total += here["geffect"] * (after["step"] - here["step"])
    return total


def row_of(table, objective, regularizer="none"):
    chosen = table["objective"].eq(objective) & table["regularizer"].eq(regularizer)
    assert chosen.sum() == 1
    return table[chosen].iloc[0]


def write(frame, folder, caption="Removal & utility of forget_05", columns=COLUMNS):
    """Writes a table in all formats; returns the paths."""
    paths = [folder / f"main.{suffix}" for suffix in ("csv", "md", "tex")]
    writing.write(frame, *paths, caption, columns)
    return paths


def text_of(header):
    return re.sub(r"\\shortstack\[.\]|[{}]|\$\\\w+\$", "", header).replace(r"\\", " ").strip()


def main_frame(rng):
    names = [("original", "none"), ("retain_model", "none")]
    names += [(o, r) for o in ("ga", "wga_a1", "npo") for r in ("none", "kl")]
    frame = pd.DataFrame(names, columns=["objective", "regularizer"])
    frame = frame.assign(model="tiny", split="forget05", status="ok")
    for column in ("es_exact_unlearn", "mu"):
        frame[column] = rng.uniform(size=len(frame))
        frame[f"{column}_sd"] = rng.uniform(0, 0.02, size=len(frame))
    return frame


def effects(rng, objective="ga", regularizer="none", seed=42, steps=STEPS, size=1.0):
    terms = ["objective", "combined", *([] if regularizer == "none" else ["regularizer"])]
    names = ["model", "split", "objective", "regularizer", "seed", "term", "dataset"]
    cell = ("tiny", "forget05", objective, regularizer, seed)
    return pd.DataFrame(
        [
            dict(zip(names, (*cell, term, dataset), strict=True))
            | {"component": component, "step": step}
            | {"geffect": size * rng.normal(), "cosine": rng.uniform(-1, 1)}
            for term in [*terms, "probe.nll"]
            for dataset in ("unlearn", "retain")
            for component in ["total", *COMPONENTS, "layer.1"]
            for step in steps
        ]
    )


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines() if line.get_label()[0] != "_"}


def panels_by_label(figure):
    """Y label -> the axes of that label, top to bottom."""
    found = {}
    for axes in figure.get_axes():
        found.setdefault(axes.get_ylabel(), []).append(axes)
    return found


def texts(figure):
    return [text.get_text() for text in figure.findobj(match=lambda a: hasattr(a, "get_text"))]


def values_of(frame, dataset, value, term="objective", component="total"):
    chosen = frame["dataset"].eq(dataset) & frame["term"].eq(term)
    return frame.loc[chosen & frame["component"].eq(component), value].tolist()
