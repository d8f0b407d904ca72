"""Rule statements: what the paper says, judged from the run."""

import pandas as pd

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL, TOTAL
from geffect.report import statements
from geffect.report.statements import page


def main(inputs, output, params, wildcards, log):
    with context.job("statements", log):
        instances = [frames.read(path) for path in inputs.instances]
        table = statements.table(
            [dict(zip(CELL, cell, strict=True)) for cell in params.cells],
            geffect=pd.concat([frames.read(path) for path in inputs.geffect]),
            risk=pd.concat([frames.read(path) for path in inputs.risk]),
            instances=pd.concat(
                [rows[rows["component"].eq(TOTAL)] for rows in instances] or [pd.DataFrame()]
            ),
            training=pd.concat(
                [
                    frames.with_cell(frames.read(path), dict(zip(CELL, cell, strict=True)))
                    for path, cell in zip(inputs.training, params.cells, strict=True)
                ]
            ),
            variants={(v["model"], v["split"]): v for v in params.variants},
            splits=params.splits,
            resamples=params.resamples,
            seed=params.seed,
        )
        caption = (
            f"What the paper shows, judged from this run. Intervals: 95%; {params.resamples} "
            f"resamples of instances, seed {params.seed}. Definitions: docs/statements.md."
        )
        files.write_text(table.to_csv(index=False, lineterminator="\n"), output.csv)
        files.write_text(page.markdown(table, caption), output.md)
        files.write_json(provenance.made_with(params, wildcards), output.record)
        first = table.drop_duplicates(["model", "split", "statement", "by"])
        context.log.info("bootstrap seed %d", params.seed)
        for verdict, number in first["verdict"].value_counts().items():
            context.log.info("%s: %d of %d verdicts", verdict, number, len(first))
        context.log.info("wrote %s", output.csv)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
