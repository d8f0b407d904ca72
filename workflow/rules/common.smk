"""Validation, wildcard constraints, paths, targets and source hashes; no rules."""

import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(WORKFLOW))

from geffect.config import CellKey, Config
from geffect.errors import GeffectError
from geffect.refusals import refusals_path
from geffect.registry import get
from geffect.runtime import sha256
from geffect.sources import code_hash
from geffect.tofu import HOLDOUT, SPLITS, table_names

try:
    CONFIG = Config(config)
    CONFIG.selected()
    if workflow.is_main_process:
        CONFIG.check_files()
except GeffectError as error:
    raise WorkflowError(str(error)) from None

ROOT = f"{config['results']}/{config['run']}"
MODEL = f"{ROOT}/models/{{model}}/{{corpus}}/seed{{seed}}"
REFERENCE = f"{ROOT}/references/{{model}}/{{corpus}}/{{split}}/seed{{seed}}"
CELL = f"{ROOT}/cells/{{model}}/{{split}}/{{objective}}+{{regularizer}}/seed{{seed}}"
EVALUATED = ["held_out", "real_authors", "world_facts"]
RISK = get("regularizer", "nll").path  # the risk is found by name at run time
SCRATCH = [m for m in CONFIG.models if CONFIG.model(m)["source"] == "scratch"]
HUB = [m for m in CONFIG.models if CONFIG.model(m)["source"] == "hub"]


def one_of(names):
    """A wildcard constraint: exactly these names (none: matches nothing)."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


wildcard_constraints:
    model=one_of(config["models"]),
    split=one_of(SPLITS),
    corpus=one_of(["full", *SPLITS.values()]),
    objective=one_of(config["objectives"]),
    regularizer=one_of(["none", *config["regularizers"]]),
    seed="[0-9]+",


def refusals_hash():
    """Hash of the refusals' content, wherever they lie."""
    return sha256(refusals_path(config["data"]["refusals"]))


def table(name):
    """Path of a data table."""
    return f"{ROOT}/data/{name}.parquet"


def fill(pattern, **wildcards):
    """A path with its wildcards filled in."""
    return pattern.format(**wildcards)


def base_model(wildcards):
    """The model folder that fine-tuning starts from."""
    entry = CONFIG.model(wildcards.model)
    if entry["source"] == "path":
        return entry["path"]
    base = f"{ROOT}/models/{wildcards.model}/base"
    return (
        f"{base}/seed{wildcards.seed}/model"
        if wildcards.model in SCRATCH
        else f"{base}/model"
    )


def background(wildcards):
    """The background tables that are mixed into a scratch model's fine-tuning."""
    repeats = CONFIG.model(wildcards.model).get("background_repeats", 0)
    return [table("real_authors"), table("world_facts")] if repeats else []


def original_model(wildcards):
    """The fine-tuned model θ_o of a cell."""
    return fill(
        f"{MODEL}/model", model=wildcards.model, corpus="full", seed=wildcards.seed
    )


def retain_samples(wildcards):
    """The evaluation log of the matching retain model; nothing for that model itself."""
    if getattr(wildcards, "corpus", "full") != "full":
        return []
    return fill(
        f"{REFERENCE}/samples.parquet",
        model=wildcards.model,
        corpus=SPLITS[wildcards.split],
        split=wildcards.split,
        seed=wildcards.seed,
    )


def cell_of(wildcards):
    """The cell that a job's wildcards name."""
    return CellKey(
        wildcards.model,
        wildcards.split,
        wildcards.objective,
        wildcards.regularizer,
        int(wildcards.seed),
    )


def objective_of(wildcards):
    """A cell's resolved objective."""
    return CONFIG.loss(
        "objective", wildcards.objective, wildcards.split, wildcards.model
    )


def regularizer_of(wildcards):
    """A cell's resolved regularizer; None for `none`."""
    return CONFIG.loss(
        "regularizer", wildcards.regularizer, wildcards.split, wildcards.model
    )


def probes_of(wildcards):
    """The regularizers that are only measured along a cell."""
    return CONFIG.probes(cell_of(wildcards))


def cell_files(wildcards):
    """The files of the losses that a cell's training uses."""
    return CONFIG.source_files(objective_of(wildcards), regularizer_of(wildcards))


def measured_files(wildcards):
    """The files of the losses that a cell's G-effects look at."""
    probes = CONFIG.source_files(None, *probes_of(wildcards).values())
    return [RISK, *cell_files(wildcards), *probes]


def cell_inputs():
    """What a cell is made of."""
    return dict(
        original=original_model,
        forget=f"{ROOT}/data/{{split}}.parquet",
        retain=lambda w: table(SPLITS[w.split]),
        refusals=table("refusals"),
    )


def cell_params():
    """The losses of a cell and how its rows are encoded."""
    return dict(
        template=lambda w: CONFIG.template(w.model),
        objective=objective_of,
        regularizer=regularizer_of,
        held_out=config["data"]["held_out"],
    )


def unlearn_params():
    """How a cell is trained, and when it is looked at."""
    return dict(
        training=lambda w: CONFIG.training(w.model, "unlearn", w.objective),
        checkpoint_every=config["training"]["checkpoint_every"],
    )


def geffect_params():
    """What is measured along a cell, and how."""
    return dict(
        probes=probes_of,
        retain_rows=config["geffect"]["retain_rows"],
        micro_batch_size=config["geffect"]["micro_batch_size"],
        instances=config["geffect"]["instances"],
        tokens=config["geffect"]["tokens"],
    )


def geffect_tables():
    """The tables that are made along a cell."""
    chosen = [name for name in ("instances", "tokens") if config["geffect"][name]]
    return {name: f"{CELL}/{name}.parquet" for name in ("geffect", "risk", *chosen)}


@cache
def hashed(script, *files):
    """Hash of a script, of the library code that it imports, and of further files."""
    return code_hash(WORKFLOW / "scripts" / f"{script}.py", *files)


def resources_of(stage):
    """What a stage of a model asks for: GPUs, and MiB and minutes that grow with its retries."""

    def asked(name):
        return lambda wildcards, attempt: CONFIG.resources(
            wildcards.model, stage, attempt
        )[name]

    return dict(gpu=asked("gpus"), mem_mb=asked("mem_mb"), runtime=asked("runtime"))


def compute():
    """What every job that computes with torch is told about the machine."""
    return dict(config["compute"])


def cells_of(model, split):
    """The cells of one (model, split)."""
    return [cell for cell in CONFIG.cells if (cell.model, cell.split) == (model, split)]


def per_cell(pattern, **fixed):
    """A pattern filled in for every cell of the grid (those that match `fixed`)."""
    return [
        fill(pattern, **vars(cell))
        for cell in CONFIG.cells
        if all(getattr(cell, key) == value for key, value in fixed.items())
    ]


def reference_keys():
    """(model, corpus, split, seed) of every reference evaluation of the grid."""
    keys = dict.fromkeys((cell.model, cell.split, cell.seed) for cell in CONFIG.cells)
    return [
        dict(model=model, corpus=corpus, split=split, seed=seed)
        for model, split, seed in keys
        for corpus in ("full", SPLITS[split])
    ]


def per_reference(pattern):
    """A pattern filled in for every reference evaluation of the grid."""
    return [fill(pattern, **key) for key in reference_keys()]


def model_splits():
    """Every (model, split) of the grid."""
    return list(dict.fromkeys((cell.model, cell.split) for cell in CONFIG.cells))


def figure_folders():
    """A folder of figures for every (model, split)."""
    return [f"{ROOT}/figures/{model}/{split}" for model, split in model_splits()]


def checkpoints(path):
    """A cell's checkpoints: temporary unless the configuration keeps them."""
    return directory(path) if config["keep_checkpoints"] else temp(directory(path))


def final_model(path):
    """A cell's final weights: temporary unless the configuration keeps them."""
    return directory(path) if config["keep_models"] else temp(directory(path))


def table_notes():
    """What a reader of the tables has to know."""
    notes = [
        f"Truth ratio (and in MU): {config['evaluation']['truth_ratio']}; FQ: geometric."
    ]
    if SCRATCH:
        notes.append(
            f"{', '.join(SCRATCH)}: trained from scratch on the very real-authors and "
            "world-facts rows that MU is evaluated on."
        )
    return notes


def table_files():
    """The aggregated tables."""
    return [
        f"{ROOT}/tables/{name}.{suffix}"
        for name in ("main", "utility", "privacy")
        for suffix in ("csv", "md", "tex")
    ] + [f"{ROOT}/tables/{name}.csv" for name in ("metrics", "geffect", "provenance")]


def all_targets():
    """Everything that `all` makes."""
    return [
        *table_files(),
        *figure_folders(),
        *per_cell(f"{CELL}/geffect.parquet"),
        *per_cell(f"{CELL}/metrics.parquet"),
    ]


def cell_targets():
    """What `only` leaves of the cells: the files that the chosen stages end in."""
    ends = dict(
        unlearn=f"{CELL}/provenance.json",
        geffect=f"{CELL}/geffect.parquet",
        evaluate=f"{CELL}/metrics.parquet",
    )
    return [
        fill(ends[stage], **vars(cell))
        for cell in CONFIG.selected()
        for stage in config["only"].get("stages", ends)
    ]


def summary():
    """What a finished run wrote, and where."""
    lines = [
        f"main table:      {ROOT}/tables/main.md (.csv, .tex); utility.md, privacy.md; all metrics with intervals: metrics.csv",
        f"figures:         {ROOT}/figures/MODEL/SPLIT/*.pdf (.png)",
        f"G-effect data:   {fill(f'{CELL}/geffect.parquet', **vars(CONFIG.cells[0]))}, ...",
        f"                 {len(CONFIG.cells)} cells; cumulated: {ROOT}/tables/geffect.csv",
        f"how it was made: {ROOT}/tables/provenance.csv",
    ]
    return "\n".join(lines)
