"""How results were made, the manifest of a run, and the messages at its end; no rules.

Snakemake runs the hooks that call these functions in its main process only: the processes that it
starts for jobs get --no-hooks.
"""

import os

from snakemake.io import is_flagged

from geffect.jobs import manifest, stale, status
from geffect.jobs.provenance import made_with

snakemake_internals.note_what_outlives_its_snakemake(workflow)

# --- Results that are not what is asked for now, by the records beside them.

KINDS = dict(
    data="the data",
    download_model="model",
    base_training="model",
    download_finetuned="model",
    finetune="model",
    take_base="model",
    take_model="model",
    unlearn="cell",
    geffect="cell",
    evaluate="cell",
    evaluate_reference="reference",
    evaluate_at="cell",
    matched="cell",
    relearn="cell",
    relearn_reference="reference",
    quantize="cell",
    quantize_reference="reference",
    tables="the tables",
    statements="the statements",
    token_page="the token page",
    overview="the overview",
    figures="the figures",
    run_figures="the figures of the run",
)


def record_of(job):
    """The record of a job's settings and code among its results; None where it makes no results."""
    if job.rule.name not in KINDS:
        return None
    if job.rule.name in ("figures", "run_figures"):
        return f"{job.output.figures}/record.json"
    return job.output.get("record") or job.output.get("provenance")


def differences(job):
    """What the record of a job's results does not have in common with the job."""
    return stale.differences(record_of(job), made_with(job.params, job.wildcards))


def what_it_costs():
    """What the grid takes, in a few lines; nothing where no job needs a GPU or what is counted."""
    if not any(CONFIG.uses_gpus(m) or CONFIG.leaves_open(m) for m in CONFIG.models):
        return []
    # Only here: jobs need none of it.
    from geffect.cost import cards, command

    card = config["compute"]["card"]
    try:
        return command.summary(plan_of_grid(), card and cards.card_of(card))
    except GeffectError as error:
        return [f"what the grid takes is not known: {error}"]


def say_what_is_planned(changed, up_to_date):
    """Says which results are not what is asked for; where they lie, if there is nothing to do."""
    found = [
        stale.Stale(kind, "" if kind.startswith("the ") else str(job.wildcards), why)
        for job, why in changed
        if (kind := KINDS.get(job.rule.name))
    ]
    lines = stale.summary(found)
    if config["only"] and "all" in snakemake_internals.targets(workflow):
        lines.append(
            "only: `all` makes the whole grid all the same; `snakemake cells` heeds it"
        )
    if not up_to_date:
        lines += what_it_costs()
    if up_to_date:
        lines += [f"Up to date in {ROOT}:", *summary(up_to_date)]
    if lines:
        print(*lines, sep="\n", file=sys.stderr)


if workflow.is_main_process:
    snakemake_internals.compare_with_records(
        record_of, differences, say_what_is_planned
    )

# --- The manifest.


def stage(rule, **wildcards):
    """The lasting files and the log of a rule's job, relative to ROOT."""

    def under_root(path):
        return os.path.relpath(path.apply_wildcards(wildcards), ROOT)

    made = workflow.get_rule(rule)
    return dict(
        files=[
            under_root(path) for path in made.output if not is_flagged(path, "temp")
        ],
        log=under_root(made.log[0]),
    )


def row(*names, **stages):
    """A row of the manifest."""
    return dict(name=" ".join(map(str, names)), stages=stages)


def base_rows():
    """The models that fine-tuning starts from, and fine-tuned ones of the hub."""
    seeds = list(dict.fromkeys((cell.model, cell.seed) for cell in CONFIG.cells))
    return (
        [
            row(model, base=stage(rule, model=model))
            for rule, models in (("download_model", HUB), ("take_base", BY_PATH))
            for model in models
        ]
        + [
            row(
                model,
                corpus,
                base=stage("download_finetuned", model=model, corpus=corpus),
            )
            for model, corpus in GIVEN_ON_HUB
        ]
        + [
            row(
                model,
                f"seed{seed}",
                base=stage("base_training", model=model, seed=seed),
            )
            for model, seed in seeds
            if model in SCRATCH
        ]
    )


def finetuned_rows():
    """The fine-tuned models of the grid."""
    keys = dict.fromkeys(
        (key["model"], key["corpus"], key["seed"]) for key in reference_keys()
    )
    return [
        row(
            model,
            corpus,
            f"seed{seed}",
            finetune=stage(
                "take_model" if (model, corpus) in GIVEN else "finetune",
                model=model,
                corpus=corpus,
                seed=seed,
            ),
        )
        for model, corpus, seed in keys
    ]


def reference_rows():
    """What is done with the original and the retain models."""
    found = []
    for key in reference_keys():
        stages = ["evaluate_reference"]
        stages += ["relearn_reference"] if RELEARN and key in retain_keys() else []
        stages += ["quantize_reference"] if QUANTIZE else []
        names = (key["model"], key["corpus"], key["split"], f"seed{key['seed']}")
        found.append(row(*names, **{name: stage(name, **key) for name in stages}))
    return found


def cell_rows():
    """The cells: their unlearning, G-effects (if not measured within) and evaluations."""
    stages = ["unlearn", "evaluate"] if IN_RUN else ["unlearn", "geffect", "evaluate"]
    stages += ["evaluate_at"] if AT_STEPS else []
    stages += ["matched"] if MATCHED else []
    stages += ["relearn"] if RELEARN else []
    stages += ["quantize"] if QUANTIZE else []
    return [
        row(
            *(cell.model, cell.split, f"{cell.objective}+{cell.regularizer}"),
            f"seed{cell.seed}",
            **{name: stage(name, **vars(cell)) for name in stages},
        )
        for cell in CONFIG.cells
    ]


def report_rows():
    """What is of the run, and the figures and tokens of every (model, split)."""
    names = [
        "tables",
        "statements",
        "overview",
        *(["run_figures"] if RUN_FIGURES else []),
    ]
    # In a line: at the start of one, `report` is a word of Snakemake's own.
    whole = [row(name, **{"report": stage(name)}) for name in names]
    parts = [
        row(title, model, split, **{"report": stage(rule, model=model, split=split)})
        for title, rule in (("figures", "figures"), ("tokens", "token_page"))
        for model, split in model_splits()
    ]
    return whole + parts


def groups():
    """Everything that the grid makes, in the order in which it is made."""
    rows = {
        "data": [row("tables of data", data=stage("data"))],
        "base models": base_rows(),
        "fine-tuned models": finetuned_rows(),
        "references": reference_rows(),
        "cells": cell_rows(),
        "report": report_rows(),
    }
    return [dict(name=name, rows=group) for name, group in rows.items() if group]


def summary(files):
    """Where the results lie among some files: those that are still there, no others."""
    there = [path for path in files if os.path.exists(path)]

    def made(pattern, folder):
        """Those whose names match, in a folder of the run."""
        return [
            path
            for path in there
            if path.startswith(f"{ROOT}/{folder}/") and Path(path).match(pattern)
        ]

    tables = made("*.csv", "tables")
    lines = []
    if tables:
        lines += [
            f"main table:      {ROOT}/tables/main.md (.csv, .tex); utility.md, privacy.md; all metrics with intervals: metrics.csv",
            f"cumulated:       {ROOT}/tables/geffect.csv; how all was made: provenance.csv",
        ]
    pages = made("index.html", "report")
    if pages:
        lines.append(
            f"to look at:      {pages[0]} (in a browser); statements: {ROOT}/tables/statements.md"
        )
    for title, found in (
        (
            "figures",
            [
                f"{path}/*.pdf (.png, captions.md)"
                for path in there
                if path in (*figure_folders(), *run_figure_folders())
            ],
        ),
        ("G-effects", made("geffect.parquet", "cells")),
        ("metrics", made("metrics.parquet", "cells")),
        ("unlearning", made("provenance.json", "cells")),
        ("references", made("metrics.parquet", "references")),
        ("models", made("model", "models")),
        ("data", made("full.parquet", "data")),
    ):
        if found:
            more = f", ... ({len(found)})" if len(found) > 1 else ""
            lines.append(f"{title + ':':<17}{found[0]}{more}")
    return lines


def begin():
    """Claims the run, before Snakemake removes what is made again, and writes the manifest."""
    try:
        CONFIG.check_results()
        manifest.begin(ROOT, groups(), snakemake_internals.slurm_run(workflow))
    except GeffectError as error:
        raise WorkflowError(str(error)) from None


def finish():
    """Shows what the run has written."""
    manifest.end(ROOT)
    print("This run wrote", *summary(snakemake_internals.made(workflow)), sep="\n")


def fail(log):
    """Shows what failed, why, and where to look."""
    failed = [snakemake_internals.failed_jobs(path) for path in log]
    manifest.end(
        ROOT, {job: error for errors in failed for job, error in errors.items()}
    )
    jobs = status.read_status(ROOT)
    print(status.failures(jobs) or "No job has recorded a failure.")
    print(status.counts(jobs))
    print(f"Snakemake's own log: {', '.join(log)}")
    print(f"To see this again: geffect status {ROOT} --failed")
