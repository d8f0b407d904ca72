"""Rule figures: all figures of one (model, split)."""

from pathlib import Path

import pandas as pd

from geffect import plotting, runtime, tables


def main(inputs, output, params, wildcards, log):
    with runtime.job(f"figures {wildcards.model} {wildcards.split}", log):
        cells = [dict(zip(tables.CELL, cell, strict=True)) for cell in params.cells]
        geffect = pd.concat([pd.read_parquet(path) for path in inputs.geffect])
        diverged = tables.diverged_steps(cells, [pd.read_parquet(p) for p in inputs.training])
        main_table = pd.read_csv(inputs.main)
        here = f"{wildcards.model}, {wildcards.split}"
        folder = Path(output.figures)
        folder.mkdir(parents=True)

        def save(figure, name):
            plotting.save(figure, [folder / f"{name}.{suffix}" for suffix in ("pdf", "png")])
            runtime.log.info("wrote %s", folder / f"{name}.pdf")

        for objective, rows in geffect.groupby("objective", sort=False):
            stops = {(r, seed): step for (o, r, seed), step in diverged.items() if o == objective}
            figure = plotting.geffect_over_steps(rows, f"{objective} ({here})", stops)
            save(figure, f"geffect_{objective}")
        for regularizer, rows in geffect.groupby("regularizer", sort=False):
            figure = plotting.compare_objectives(rows, f"regularizer {regularizer} ({here})")
            save(figure, f"compare_{regularizer}")
        rows = main_table.query("model == @wildcards.model and split == @wildcards.split")
        save(plotting.trade_off(rows, f"Removal and utility ({here})"), "trade_off")


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
