"""Configuration, paths, what a cell is made of, targets; no rules."""

import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import strip_wildcard_constraints

import snakemake_internals
from geffect.config import CellKey, Config
from geffect.config.given import use_given
from geffect.data import own
from geffect.data.refusals import refusals_path
from geffect.data.splits import BACKGROUND, table_names
from geffect.errors import GeffectError
from geffect.files import sha256
from geffect.jobs import stale
from geffect.jobs.code_hash import PACKAGE, code_hash
from geffect.models import given
from geffect.names import FULL, NO_REGULARIZER, OBJECTIVE, REGULARIZER
from geffect.report import registry

# --- The configuration, checked as a whole.


def check_published():
    """Checks the file of published numbers, if one is named."""
    if path := config["report"]["published"]:
        # Only here: it imports pandas, which a plan does not need otherwise.
        from geffect.report import published
        from geffect.report.tables.main import VALUES

        known = dict(
            model=config["models"],
            split=CONFIG.known_splits,
            objective=config["objectives"],
            regularizer=[NO_REGULARIZER, *config["regularizers"]],
        )
        published.read(path, VALUES, known)


@cache
def plan_of_grid():
    """What the jobs of the grid take."""
    # Only here: most configurations say themselves what jobs request.
    from geffect.cost.plan import Plan

    return Plan(CONFIG)


def check_requested():
    """Checks that what models leave open of their jobs' requests can be counted."""
    for model in filter(CONFIG.leaves_open, CONFIG.models):
        plan_of_grid().resources(model, "evaluate")  # a stage of every model


use_given(config, snakemake_internals.given(workflow))
try:
    CONFIG = Config(config)
    CONFIG.selected()
except GeffectError as error:
    absent = (
        snakemake_internals.reads_configfile(workflow)
        and not Path("config.yaml").is_file()
    )
    hint = "; config.yaml, which has every key, is not in this folder" if absent else ""
    raise WorkflowError(f"{error}{hint}") from None

IN_RUN = config["geffect"]["in_run"]
AT_STEPS = config["evaluation"]["at"] != "last"
CHECKPOINTS = AT_STEPS or not IN_RUN
MATCHED = config["matched"]["evaluate"]
RELEARN = config["relearn"] is not None
QUANTIZE = bool(config["quantize"])
SCRATCH = [m for m in CONFIG.models if CONFIG.source(m) == "scratch"]
HUB = [m for m in CONFIG.models if CONFIG.source(m) == "hub"]
BY_PATH = [m for m in CONFIG.models if CONFIG.source(m) == "path"]
# (model, corpus) of fine-tuned models that are given, and of those of the hub among them.
GIVEN = [(m, c) for m in CONFIG.models for c in CONFIG.corpora(m) if CONFIG.given(m, c)]
GIVEN_ON_HUB = [(m, c) for m, c in GIVEN if "id" in CONFIG.given(m, c)]


def one_of(names):
    """A wildcard constraint: exactly these names (none: matches nothing)."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def one_of_pairs(pairs):
    """A constraint of `model` where the corpus follows in the path: exactly these pairs."""
    found = [f"{one_of([model])}(?=/{one_of([corpus])}/)" for model, corpus in pairs]
    return "|".join(found) or "(?!)"


wildcard_constraints:
    model=one_of(config["models"]),
    split=one_of(CONFIG.known_splits),
    corpus=one_of([FULL, *(split.retain for split in CONFIG.known_splits.values())]),
    objective=one_of(config["objectives"]),
    regularizer=one_of([NO_REGULARIZER, *config["regularizers"]]),
    seed="[0-9]+",


# --- Tables and figures, as their files declare them.

try:
    ASKED = dict(config["report"], matched=MATCHED, relearn=RELEARN, quantized=QUANTIZE)
    TABLES = registry.asked(registry.catalogue(registry.TABLE), ASKED)
    DRAWN = registry.asked(
        registry.catalogue(registry.FIGURE, tuple(config["report"]["figures"])), ASKED
    )
except GeffectError as error:
    raise WorkflowError(str(error)) from None
FIGURES, RUN_FIGURES = registry.of_splits(DRAWN), registry.of_run(DRAWN)

# --- Paths.

ROOT = f"{config['results']}/{config['run']}"
MODEL = f"{ROOT}/models/{{model}}/{{corpus}}/seed{{seed}}"
REFERENCE = f"{ROOT}/references/{{model}}/{{corpus}}/{{split}}/seed{{seed}}"
CELL = f"{ROOT}/cells/{{model}}/{{split}}/{{objective}}+{{regularizer}}/seed{{seed}}"


def fill(pattern, **wildcards):
    """A path with its wildcards filled in."""
    return pattern.format(**wildcards)


def table(name):
    """Path of a data table."""
    return f"{ROOT}/data/{name}.parquet"


def table_of(part):
    """An input function: a table of a job's split, such as `held_out`."""
    return lambda wildcards: table(getattr(split_of(wildcards.split), part))


def split_of(name):
    """The tables of a split."""
    return CONFIG.known_splits[name]


def background_tables():
    """The tables of the background sets."""
    return [table(name) for name in BACKGROUND]


def base_model(wildcards):
    """The model folder that fine-tuning starts from."""
    base = f"{ROOT}/models/{wildcards.model}/base"
    return (
        f"{base}/seed{wildcards.seed}/model"
        if wildcards.model in SCRATCH
        else f"{base}/model"
    )


def background(wildcards):
    """The background tables that are mixed into a scratch model's fine-tuning."""
    repeats = CONFIG.model(wildcards.model).get("background_repeats", 0)
    return background_tables() if repeats else []


def original_model(wildcards):
    """The fine-tuned model θ_o of a cell."""
    return fill(
        f"{MODEL}/model", model=wildcards.model, corpus=FULL, seed=wildcards.seed
    )


def original_metrics(wildcards):
    """The metrics of a cell's original model."""
    return fill(f"{REFERENCE}/metrics.parquet", **vars(cell_of(wildcards)), corpus=FULL)


def retain_samples(wildcards):
    """The evaluation log of the matching retain model; nothing for that model itself, and where
    there is none.
    """
    corpus = split_of(wildcards.split).retain
    is_retain = wildcards.get("corpus", FULL) != FULL
    if is_retain or CONFIG.is_missing(wildcards.model, corpus):
        return []
    return fill(
        f"{REFERENCE}/samples.parquet",
        model=wildcards.model,
        corpus=corpus,
        split=wildcards.split,
        seed=wildcards.seed,
    )


def given_model(wildcards):
    """Where a fine-tuned model comes from that was not made here; None for others."""
    return CONFIG.given(wildcards.model, wildcards.get("corpus", FULL))


def downloaded_model(wildcards):
    """The folder of a given model of the hub; nothing for a folder of the user's.

    That is no input: what counts of it is its content, and not when it was written.
    """
    if "path" in given_model(wildcards):
        return []
    return f"{ROOT}/models/{wildcards.model}/{wildcards.corpus}/hub/model"


def content_of_given(wildcards):
    """The hashes of the files of a given folder; None for a model of the hub, whose revision tells.

    Those of files that are as a record has them are not computed again.
    """
    folder = given_model(wildcards).get("path")
    record = fill(f"{MODEL}/record.json", **dict(wildcards.items()))
    return None if folder is None else given.hashes(folder, record)


def given_base(wildcards):
    """The folder that a model's fine-tuning starts from, as `given_model` has it."""
    return dict(path=CONFIG.model(wildcards.model)["path"])


def content_of_base(wildcards):
    """The same hashes of that folder."""
    record = f"{ROOT}/models/{wildcards.model}/base/record.json"
    return given.hashes(given_base(wildcards)["path"], record)


def checkpoints(path):
    """A cell's checkpoints: temporary unless the configuration keeps them."""
    return directory(path) if config["keep_checkpoints"] else temp(directory(path))


def final_model(path):
    """A cell's final weights: temporary unless the configuration keeps them."""
    return directory(path) if config["keep_models"] else temp(directory(path))


def unless_in_run(path):
    """A file that exists only where G-effects are measured later."""
    return [] if IN_RUN else path


def if_in_run(path):
    """A file that exists only where G-effects are measured in the run."""
    return path if IN_RUN else []


def if_steps(paths):
    """Files that exist only where chosen steps are evaluated."""
    return paths if AT_STEPS else []


def if_matched(paths):
    """Files that exist only where cells are evaluated at matched retention."""
    return paths if MATCHED else []


def if_relearned(paths):
    """Files that exist only where models relearn."""
    return paths if RELEARN else []


def if_quantized(paths):
    """Files that exist only where weights are rounded."""
    return paths if QUANTIZE else []


def if_own(path):
    """A file that exists only where the data are own files."""
    return str(path) if CONFIG.own_tables else []


def if_asked(name, path):
    """A table that exists only where the configuration asks for it."""
    return path if config["geffect"][name] else []


# --- What a cell is made of, resolved from the configuration.


def cell_of(wildcards):
    """The cell that a job's wildcards name."""
    return CellKey(
        wildcards.model,
        wildcards.split,
        wildcards.objective,
        wildcards.regularizer,
        int(wildcards.seed),
    )


def template_of(wildcards):
    """The prompt format of a model."""
    return CONFIG.template(wildcards.model)


def objective_of(wildcards):
    """A cell's resolved objective."""
    return CONFIG.loss(OBJECTIVE, wildcards.objective, wildcards.split, wildcards.model)


def regularizer_of(wildcards):
    """A cell's resolved regularizer; None for `none`."""
    return CONFIG.loss(
        REGULARIZER, wildcards.regularizer, wildcards.split, wildcards.model
    )


def selection_of(wildcards):
    """How label tokens of a cell's objective are left out; None if all count."""
    return CONFIG.selection(wildcards.objective)


def probes_of(wildcards):
    """The regularizers that are only measured along a cell."""
    return CONFIG.probes(cell_of(wildcards))


def training_of(stage):
    """The training settings of a stage of a model; a cell's objective may change them."""

    def settings(wildcards):
        return CONFIG.training(
            wildcards.model, stage, getattr(wildcards, "objective", None)
        )

    return settings


def measurement_of(wildcards):
    """What is measured within a cell's run, and how; None if that is done later."""
    if not IN_RUN:
        return None
    chosen = ("parameters", "retain_rows", "micro_batch_size")
    chosen += ("instances", "tokens", "change")
    return dict(
        probes=probes_of(wildcards),
        selection=selection_of(wildcards),
        max_rows=config["evaluation"]["max_rows"],
        **{name: config["geffect"][name] for name in chosen},
    )


def kept_steps(wildcards):
    """The steps whose weights a cell's run leaves; None for all that are measured later."""
    return CONFIG.evaluated_steps(cell_of(wildcards)) if IN_RUN else None


def compute_of(wildcards):
    """The device, threads and precision of a job that computes with torch."""
    return CONFIG.compute(wildcards.model)


def requested_for_steps(wildcards, attempt):
    """Minutes for the evaluation of a cell at all chosen steps."""
    steps = len(CONFIG.evaluated_steps(cell_of(wildcards)))
    return CONFIG.resources(wildcards.model, "evaluate", attempt * steps)["runtime"]


def requested(name, stage):
    """What a stage of a model requests from a cluster; MiB and minutes grow with its retries."""

    def amount(wildcards, attempt):
        named = CONFIG.resources(wildcards.model, stage, attempt)
        if name not in named:
            named = plan_of_grid().resources(wildcards.model, stage, attempt)
        return named[name]

    return amount


# --- Code hashes: what a job's result depends on besides its settings and inputs.


@cache
def hashed(script, *files):
    """Hash of a script, of the library code that it imports, and of further files."""
    return code_hash(workflow.source_path(f"../scripts/{script}.py"), *files)


def data_settings():
    """The section `data`, without where files lie, whose content counts."""
    left_out = ("directory", "tables")
    settings = {k: v for k, v in config["data"].items() if k not in left_out}
    if CONFIG.own_tables:
        settings["chunk_words"] = config["data"]["tables"]["chunk_words"]
    return settings


@cache
def own_files():
    """What the own files hold, and how they are read; nothing of other sources."""
    return own.contents(config["data"], CONFIG.splits) if CONFIG.own_tables else {}


def refusals_hash():
    """Hash of the refusals' content, wherever their file lies."""
    return sha256(refusals_path(config["data"]["refusals"]))


def data_are_made():
    """Whether the data job has read own files as they are, by its code as it is."""
    if not (CONFIG.own_tables and CONFIG.sizes_file.is_file()):
        return False
    try:
        settings = dict(
            settings=data_settings(),
            splits=CONFIG.splits,
            files=own_files(),
            refusals=refusals_hash(),
        )
    except (OSError, GeffectError):  # which the check of the files tells better
        return False
    asked = dict(cell={}, settings=settings, code=hashed("data"))
    return stale.differences(f"{ROOT}/data/record.json", asked) == []


if workflow.is_main_process:
    try:
        CONFIG.check_files(data_are_made())
        check_published()
        check_requested()
    except GeffectError as error:
        raise WorkflowError(str(error)) from None


def cell_files(wildcards):
    """The files of the losses that a cell trains with."""
    return CONFIG.source_files(objective_of(wildcards), regularizer_of(wildcards))


def measured_files(wildcards):
    """The files of the losses that a cell's G-effects look at."""
    probes = CONFIG.source_files(None, *probes_of(wildcards).values())
    return [*cell_files(wildcards), *probes]


def unlearn_hash(wildcards):
    """The training code and losses of a cell, and what of the engine its run makes use of."""
    effects = PACKAGE / "effects"
    engine = [] if selection_of(wildcards) is None else [effects / "selection.py"]
    if IN_RUN:
        engine = [effects / "measurement.py", PACKAGE / "evaluation" / "trajectory.py"]
    files = measured_files if IN_RUN else cell_files
    return hashed("unlearn", *engine, *files(wildcards))


def measure_hash(wildcards):
    """The engine and the losses that it looks at."""
    return hashed("measure", *measured_files(wildcards))


# --- The grid: every cell, every reference model, and what is made of them.


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


def reference_keys(missing=False):
    """(model, corpus, split, seed) of every reference evaluation of the grid, or of the missing."""
    keys = dict.fromkeys((cell.model, cell.split, cell.seed) for cell in CONFIG.cells)
    return [
        dict(model=model, corpus=corpus, split=split, seed=seed)
        for model, split, seed in keys
        for corpus in (FULL, split_of(split).retain)
        if CONFIG.is_missing(model, corpus) == missing
    ]


def per_reference(pattern):
    """A pattern filled in for every reference evaluation of the grid."""
    return [fill(pattern, **key) for key in reference_keys()]


def retain_keys():
    """(model, corpus, split, seed) of every retain model of the grid."""
    return [key for key in reference_keys() if key["corpus"] != FULL]


def model_splits():
    """Every (model, split) of the grid."""
    return list(dict.fromkeys((cell.model, cell.split) for cell in CONFIG.cells))


def figure_folders():
    """A folder of figures for every (model, split)."""
    return [f"{ROOT}/figures/{model}/{split}" for model, split in model_splits()]


def run_figure_folders():
    """The folder of the figures over the whole run, if there are any."""
    return [f"{ROOT}/run_figures"] if RUN_FIGURES else []


def table_files():
    """The tables of the report."""
    return [
        f"{ROOT}/tables/{declared.name}.{suffix}"
        for declared in TABLES.values()
        for suffix in declared.formats
    ]


def files_of(catalogue):
    """The files of tables or figures, which code hashes do not find by themselves."""
    return [declared.path for declared in catalogue.values()]


def made_by_cells(name):
    """The path of a file of every cell, by its name among the outputs; None if no rule makes it."""
    for stage in ("unlearn", "geffect", "evaluate", "matched", "relearn", "quantize"):
        if workflow.is_rule(stage):
            path = workflow.get_rule(stage).output.get(name)
            if path:
                return strip_wildcard_constraints(str(path))
    return None


def beside_cells(name, fixed):
    """The same file of the reference models that match `fixed`, where there is one, by its name."""
    keys = dict(relearn=retain_keys, quantized=reference_keys)
    if name not in keys:
        return {}
    chosen = [key for key in keys[name]() if fixed.items() <= key.items()]
    pattern = f"{REFERENCE}/{name}.parquet"
    return {f"{name}_references": [fill(pattern, **key) for key in chosen]}


def report_inputs(catalogue):
    """A function of wildcards: what the tables or figures of a catalogue read, by name."""
    names = dict.fromkeys(
        name for declared in catalogue.values() for name in declared.reads
    )

    def inputs(wildcards):
        fixed = dict(wildcards.items())
        found = {}
        for name in names:
            if name in registry.OUTSIDE:
                found[name] = config["report"][name]
            elif name in TABLES and name not in registry.OF_CELLS:
                found[name] = f"{ROOT}/tables/{name}.csv"
            elif name == registry.RECORDS:
                found.update(
                    unlearn_records=per_cell(f"{CELL}/provenance.json", **fixed),
                    geffect_records=unless_in_run(
                        per_cell(f"{CELL}/geffect.json", **fixed)
                    ),
                    evaluation_records=per_cell(f"{CELL}/evaluation.json", **fixed),
                    at_records=if_steps(
                        per_cell(f"{CELL}/evaluation_at.json", **fixed)
                    ),
                    matched_records=if_matched(
                        per_cell(f"{CELL}/matched.json", **fixed)
                    ),
                    relearn_records=if_relearned(
                        per_cell(f"{CELL}/relearn.json", **fixed)
                    ),
                    quantize_records=if_quantized(
                        per_cell(f"{CELL}/quantized.json", **fixed)
                    ),
                )
            elif path := made_by_cells(name):
                found[name] = per_cell(path, **fixed)
                found.update(beside_cells(name, fixed))
        # Figures show the reference models by the main table.
        if catalogue is TABLES:
            if registry.RECORDS in names:
                records = per_reference(f"{REFERENCE}/evaluation.json")
                found["reference_records"] = records
            if "metrics" in names:
                found["references"] = per_reference(f"{REFERENCE}/metrics.parquet")
        return found

    return inputs


def cells_like(wildcards):
    """The cells of a (model, split), or of the run where the wildcards name none."""
    if wildcards.get("model"):
        return cells_of(wildcards.model, wildcards.split)
    return CONFIG.cells


def variants_of(wildcards):
    """The variants of a (model, split), or of the run: name of the objective, hyper-parameters."""
    found = {}
    for cell in cells_like(wildcards):
        found.setdefault(
            cell.objective,
            CONFIG.loss(OBJECTIVE, cell.objective, cell.split, cell.model),
        )
    return found


def drawn_figures(wildcards):
    """Name of a figure's files -> its declaration, and what it is drawn of."""
    cells = [vars(cell) for cell in cells_like(wildcards)]
    catalogue = FIGURES if wildcards.get("model") else RUN_FIGURES
    return registry.drawn(catalogue, cells, variants_of(wildcards))


def captions_of(wildcards):
    """Name of a figure's files -> what to look for in it."""
    found = drawn_figures(wildcards)
    return {name: declared.caption for name, (declared, _) in found.items()}


def category_of_figure(wildcards):
    """Where a figure stands in the report."""
    declared, _ = drawn_figures(wildcards)[wildcards.figure]
    return declared.category


def labels_of_figure(wildcards):
    """What a figure is called in the report."""
    declared, group = drawn_figures(wildcards)[wildcards.figure]
    return dict(figure=declared.title, of=group or "all")


def statement_files():
    """The paper's statements, judged."""
    return [f"{ROOT}/tables/statements.{suffix}" for suffix in ("csv", "md")]


def page_files():
    """The pages to look at."""
    return [f"{ROOT}/report/index.html", f"{ROOT}/report/tables.html"] + [
        f"{ROOT}/report/{model}/{split}/tokens.html" for model, split in model_splits()
    ]


def used_variants(model, split):
    """The resolved objectives and regularizers of the cells of one (model, split), and probes."""
    cells = cells_of(model, split)
    names = {
        OBJECTIVE: dict.fromkeys(cell.objective for cell in cells),
        REGULARIZER: dict.fromkeys(
            [cell.regularizer for cell in cells]
            + [name for cell in cells for name in CONFIG.probes(cell)]
        ),
    }
    return dict(
        model=model,
        split=split,
        **{
            kind: {
                name: loss
                for name in found
                if (loss := CONFIG.loss(kind, name, split, model)) is not None
            }
            for kind, found in names.items()
        },
    )


def first_original(wildcards):
    """The original model of the first seed, whose tokenizer all cells share."""
    return original_at(wildcards.model, wildcards.split)


def first_originals():
    """The same of every (model, split)."""
    return [original_at(*place) for place in model_splits()]


def original_at(model, split):
    """The original model of the first cell of a (model, split)."""
    seed = cells_of(model, split)[0].seed
    return fill(f"{MODEL}/model", model=model, corpus=FULL, seed=seed)


def variants_at(model, split):
    """Variant of an objective -> the objective, of the cells of a (model, split)."""
    losses = used_variants(model, split)[OBJECTIVE]
    return {name: loss["name"] for name, loss in losses.items()}


def cells_here(name):
    """An input function: a table of every cell of one (model, split)."""
    return lambda w: per_cell(f"{CELL}/{name}.parquet", model=w.model, split=w.split)


def gap_notes():
    """What the tables lack, and why."""
    keys = reference_keys(missing=True)
    lacking = dict.fromkeys((key["model"], key["corpus"]) for key in keys)
    return [
        f"{model}: the configuration says that there is no model of {corpus}, so its row is "
        "missing, and so are Forget Quality, PrivLeak and the reference attack, which compare "
        "with it."
        for model, corpus in lacking
    ]


def table_notes():
    """What a reader of the tables needs to know."""
    notes = [
        f"Truth ratio (and in MU): {config['evaluation']['truth_ratio']}; FQ: geometric."
    ]
    if SCRATCH:
        notes.append(
            f"{', '.join(SCRATCH)}: trained from scratch on the very real-authors and "
            "world-facts rows that MU is evaluated on."
        )
    return notes + gap_notes()


# --- Targets.


def evaluations():
    """What the evaluations of a cell end in."""
    return [
        f"{CELL}/metrics.parquet",
        *([f"{CELL}/metrics_at.parquet"] if AT_STEPS else []),
        *([f"{CELL}/matched.parquet"] if MATCHED else []),
        *([f"{CELL}/relearn.parquet"] if RELEARN else []),
        *([f"{CELL}/quantized.parquet"] if QUANTIZE else []),
    ]


def all_targets():
    """Everything that `all` makes."""
    return [
        *table_files(),
        *statement_files(),
        *page_files(),
        *figure_folders(),
        *run_figure_folders(),
        *per_cell(f"{CELL}/geffect.parquet"),
        *[path for pattern in evaluations() for path in per_cell(pattern)],
    ]


def cell_targets():
    """The files that the chosen stages of the chosen cells end in (`only`)."""
    ends = dict(
        unlearn=[f"{CELL}/provenance.json"],
        geffect=[f"{CELL}/geffect.parquet"],
        evaluate=evaluations(),
    )
    return [
        fill(pattern, **vars(cell))
        for cell in CONFIG.selected()
        for stage in config["only"].get("stages", ends)
        for pattern in ends[stage]
    ]
