"""Rule figures: all figures of one (model, split)."""

import pandas as pd

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report import changes, tables
from geffect.report import figures as plots


def main(inputs, output, params, wildcards, log):
    with context.job(f"figures {wildcards.model} {wildcards.split}", log):
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        geffect = pd.concat([frames.read(path) for path in inputs.geffect])
        diverged = tables.diverged_steps(cells, [frames.read(p) for p in inputs.training])
        risk = pd.concat([frames.read(path) for path in inputs.risk])
        drawn = figures(geffect, risk, diverged, pd.read_csv(inputs.main), wildcards)
        with files.written_folder(output.figures) as folder:
            for name, figure in drawn:
                plots.save(figure, [folder / f"{name}.{suffix}" for suffix in ("pdf", "png")])
                context.log.info("drew %s", name)
            record = provenance.made_with(params, wildcards)
            files.write_json(record, folder / "record.json")
        context.log.info("wrote %s", output.figures)


def figures(geffect, risk, diverged, main_table, wildcards):
    """(file name, figure) of every figure, one after another."""
    here = f"{wildcards.model}, {wildcards.split}"
    for objective, rows in geffect.groupby("objective", sort=False):
        stops = {(r, seed): step for (o, r, seed), step in diverged.items() if o == objective}
        title = f"{objective} ({here})"
        yield f"geffect_{objective}", plots.geffect_over_steps(rows, title, stops)
    for objective, rows in risk.groupby("objective", sort=False):
        if rows["predicted_change"].notna().any():
            title = f"{objective}: what changed the risks ({here})"
            yield f"change_{objective}", changes.change_over_steps(rows, title)
    for regularizer, rows in geffect.groupby("regularizer", sort=False):
        title = f"regularizer {regularizer} ({here})"
        yield f"compare_{regularizer}", plots.compare_objectives(rows, title)
    rows = main_table.query("model == @wildcards.model and split == @wildcards.split")
    yield "trade_off", plots.trade_off(rows, f"Removal and utility ({here})")


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
