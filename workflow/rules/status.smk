"""The manifest of a run, and the messages at its end; no rules.

Snakemake runs the hooks that call these functions in its main process only: the processes that it
starts for jobs get --no-hooks.
"""

import os

from snakemake.io import is_flagged

import snakemake_internals
from geffect.jobs import manifest, status

snakemake_internals.note_what_outlives_its_snakemake(workflow)


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
    """The models that fine-tuning starts from."""
    seeds = list(dict.fromkeys((cell.model, cell.seed) for cell in CONFIG.cells))
    return [
        row(model, base=stage("download_model", model=model))
        for model in CONFIG.models
        if model in HUB
    ] + [
        row(model, f"seed{seed}", base=stage("base_training", model=model, seed=seed))
        for model, seed in seeds
        if model in SCRATCH
    ]


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
            finetune=stage("finetune", model=model, corpus=corpus, seed=seed),
        )
        for model, corpus, seed in keys
    ]


def reference_rows():
    """The evaluations of the original and the retain models."""
    return [
        row(
            *(key["model"], key["corpus"], key["split"], f"seed{key['seed']}"),
            evaluate_reference=stage("evaluate_reference", **key),
        )
        for key in reference_keys()
    ]


def cell_rows():
    """The cells: their unlearning, G-effects (if not measured within) and evaluation."""
    stages = ["unlearn", "evaluate"] if IN_RUN else ["unlearn", "geffect", "evaluate"]
    return [
        row(
            *(cell.model, cell.split, f"{cell.objective}+{cell.regularizer}"),
            f"seed{cell.seed}",
            **{name: stage(name, **vars(cell)) for name in stages},
        )
        for cell in CONFIG.cells
    ]


def report_rows():
    """The tables, and the figures of every (model, split)."""
    return [row("tables", report=stage("tables"))] + [
        row("figures", model, split, report=stage("figures", model=model, split=split))
        for model, split in model_splits()
    ]


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


def summary():
    """What a finished run has written, and where."""
    return "\n".join(
        [
            f"main table:      {ROOT}/tables/main.md (.csv, .tex); utility.md, privacy.md; all metrics with intervals: metrics.csv",
            f"figures:         {ROOT}/figures/MODEL/SPLIT/*.pdf (.png)",
            f"G-effect data:   {fill(f'{CELL}/geffect.parquet', **vars(CONFIG.cells[0]))}, ...",
            f"                 {len(CONFIG.cells)} cells; cumulated: {ROOT}/tables/geffect.csv",
            f"how it was made: {ROOT}/tables/provenance.csv",
        ]
    )


def begin():
    """Writes the manifest."""
    manifest.begin(ROOT, groups(), snakemake_internals.slurm_run(workflow))


def finish():
    """Shows what the run has written."""
    manifest.end(ROOT)
    print(summary())


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
