"""Made-up frames of cells, and what a figure shows of them."""

import itertools
import re

import numpy as np
import pandas as pd

from geffect.names import CELL, COMPONENTS, REFERENCES, RETAIN_MODEL
from geffect.report import drawing, registry, writing
from geffect.report.results import Results
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


PLAIN = {name: {"name": name, "hyper": {}} for name in ("ga", "npo", "po")}
SWEEPS = {
    "wga": {"name": "wga", "hyper": {"alpha": 5}},
    **{f"wga_a{a}": {"name": "wga", "hyper": {"alpha": a}} for a in (7, 0.5)},
    **{
        f"rmu_l{layer}_c{c}": {"name": "rmu", "hyper": {"layer": layer, "c": c}}
        for layer in (9, 16, 5)
        for c in (1, 2)
    },
}


def made_up_results(
    rng,
    variants=None,
    regularizers=("none", "kl"),
    seeds=(1, 2),
    diverged=(),
    missing=(),
    without=(),
    steps=STEPS,
    samples=25,
):
    """Results of one (model, split) with a frame of every kind.

    `diverged` and `missing` are (variant, regularizer, seed); `without` names frames.
    """
    variants = PLAIN if variants is None else variants
    cells = [name_cell(v, r, s) for v in variants for r in regularizers for s in seeds]
    frames = {name: [] for name in ("geffect", "risk", "instances", "trajectory", "training")}
    metrics = [metrics_of(name_cell(name), rng) for name in REFERENCES]
    for cell in cells:
        run = (cell["objective"], cell["regularizer"], cell["seed"])
        if run in missing:
            continue
        here = steps[: len(steps) // 2] if run in diverged else steps
        frames["geffect"].append(_geffect(cell, here, rng))
        frames["risk"].append(_risk(cell, here, rng))
        frames["instances"].append(_instances(cell, here, samples, rng))
        frames["trajectory"].append(_trajectory(cell, here, rng))
        log = pd.DataFrame({"step": range(1, here[-1] + 1), "diverged": False})
        log.loc[log.index[-1], "diverged"] = run in diverged
        frames["training"].append(log.assign(**cell))
        metrics.append([] if run in diverged else metrics_of(cell, rng))
    found = {name: pd.concat(parts) for name, parts in frames.items() if parts}
    found["metrics"] = pd.DataFrame([row for rows in metrics for row in rows])
    results = Results(cells, variants=variants, frames=found)
    found["main"] = main.main_table(
        found["metrics"], found.get("geffect", pd.DataFrame()), results.status(), found.get("risk")
    )
    frames = {name: frame for name, frame in found.items() if name not in without}
    return Results(cells, variants=variants, frames=frames)


def _geffect(cell, steps, rng):
    terms = ["objective", "combined", "probe.nll"]
    terms += [] if cell["regularizer"] == "none" else ["regularizer"]
    components = ["total", *COMPONENTS, "layer.1", "layer.2", "layer.3"]
    keys = itertools.product(steps, terms, ("unlearn", "retain"), components)
    frame = pd.DataFrame(keys, columns=["step", "term", "dataset", "component"])
    size = len(frame)
    frame = frame.assign(**cell, geffect=rng.normal(size=size), cosine=rng.uniform(-1, 1, size))
    return frame.assign(norm_risk=rng.uniform(0.1, 3, size))


def _risk(cell, steps, rng):
    rows = []
    for dataset, (number, step) in itertools.product(("unlearn", "retain"), enumerate(steps)):
        place = {**cell, "step": step, "dataset": dataset}
        last = number == len(steps) - 1
        parts = {c: np.nan if last else rng.normal() for c in COMPONENTS}
        rest = np.nan if last else 0.1 * rng.normal()
        total = sum(parts.values())
        for component, value in {**parts, "total": total}.items():
            measured = total + rest if component == "total" else np.nan
            row = {"term": "objective", "component": component}
            rows.append(place | row | {"predicted_change": value, "measured_change": measured})
        row = {"term": "unexplained", "component": "total"}
        rows.append(place | row | {"predicted_change": rest, "measured_change": total + rest})
    return pd.DataFrame(rows)


def _instances(cell, steps, samples, rng):
    keys = itertools.product(steps, range(samples), ("total", "deep"))
    frame = pd.DataFrame(keys, columns=["step", "sample", "component"])
    size = len(frame)
    frame = frame.assign(**cell, e_unlearn=rng.normal(size=size), e_retain=rng.normal(size=size))
    return frame.assign(logp_ref=-5.0, logp=-5 - frame["step"] * rng.uniform(0, 1, size))


def _trajectory(cell, steps, rng):
    metrics, datasets = ("es_exact", "probability", "nll"), ("unlearn", "retain")
    keys = itertools.product(steps, metrics, datasets)
    frame = pd.DataFrame(keys, columns=["step", "metric", "dataset"])
    return frame.assign(**cell, value=rng.uniform(size=len(frame)))


def relearned(results, rng, without=()):
    """Results with relearning of every cell and retain model but some."""
    seeds = dict.fromkeys(cell["seed"] for cell in results.cells)
    cells = [*results.cells, *(name_cell(RETAIN_MODEL, seed=seed) for seed in seeds)]
    rows = [
        cell | {"epoch": k, "metric": metric, "dataset": dataset, "value": rng.uniform(0.1, 1)}
        for cell in cells
        if (cell["objective"], cell["regularizer"], cell["seed"]) not in without
        for dataset in ("other", "relearned", "retain")
        for metric in ("es_exact", "em", "truth_ratio", "risk")
        for k in range(4)
    ]
    frames = {"relearn": pd.DataFrame(rows)}
    others = ("geffect", "risk", "instances", "trajectory", "training", "metrics", "main")
    frames |= {name: results.frame(name) for name in others}
    return Results(results.cells, variants=results.variants, frames=frames)


def draw(results, name):
    """A figure by the name of its file."""
    catalogue = registry.catalogue(registry.FIGURE)
    figures = registry.drawn(catalogue, results.cells, results.variants)
    declaration, group = figures[name]
    return drawing.figure_of(declaration, results, group)


def draw_frame(name, frame, training=()):
    """A figure of nothing but a frame of G-effects, under the variant `ga`."""
    cells = frame[CELL].drop_duplicates().to_dict("records")
    frames = {"geffect": frame}
    if len(training):
        frames["training"] = pd.concat(training)
    return draw(Results(cells, frames=frames), name)
