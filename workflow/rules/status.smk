"""The manifest of a run, and what is said at its end; no rules.

Snakemake starts the hooks that call these in its main process alone: the processes that it starts
for jobs get --no-hooks.
"""

import os

from snakemake.io import is_flagged

from geffect import runs, status


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
    rules_of_cell = (
        dict(unlearn="unlearn_measured", evaluate="evaluate")
        if config["geffect"]["in_run"]
        else dict(unlearn="unlearn", geffect="geffect", evaluate="evaluate")
    )
    return [
        row(
            *(cell.model, cell.split, f"{cell.objective}+{cell.regularizer}"),
            f"seed{cell.seed}",
            **{name: stage(rule, **vars(cell)) for name, rule in rules_of_cell.items()},
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
    return [dict(name=name, rows=found) for name, found in rows.items() if found]


def slurm_run():
    """The name of the Slurm jobs of this process; None where another executor runs the jobs."""
    from snakemake_executor_plugin_slurm import Executor

    executor = workflow.scheduler._executor
    return executor.run_uuid if isinstance(executor, Executor) else None


def begin():
    """Writes the manifest."""
    runs.begin(ROOT, groups(), slurm_run())


def finish():
    """Says what the run wrote."""
    runs.end(ROOT)
    print(summary())


def fail(log):
    """Says what failed, why, and where to look."""
    errors = {job: error for path in log for job, error in runs.errors(path).items()}
    runs.end(ROOT, errors)
    found = status.look(ROOT)
    print(status.failures(found) or "No job has recorded a failure.")
    print(status.counts(found))
    print(f"Snakemake's own log: {', '.join(log)}")
    print(f"Again: python -m geffect.status {ROOT} --failed")
