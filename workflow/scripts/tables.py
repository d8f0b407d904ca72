"""Rule tables: the main table, utility, privacy, all metrics, and the cumulated G-effects."""

import pandas as pd

from geffect import frames, runtime, tables


def main(inputs, outputs, params, log):
    with runtime.job("tables", log):
        cells = [dict(zip(tables.CELL, cell, strict=True)) for cell in params.cells]
        references = [frames.reference_cell(key) for key in params.references]
        metrics = pd.concat(
            [
                frames.with_cell(pd.read_parquet(path), key)
                for key, path in zip(
                    [*references, *cells], [*inputs.references, *inputs.metrics], strict=True
                )
            ]
        )
        geffect = pd.concat([pd.read_parquet(path) for path in inputs.geffect])
        status = tables.status(cells, [pd.read_parquet(path) for path in inputs.training])
        notes = " ".join(params.notes)
        path = {output.rpartition("/")[2]: output for output in outputs}
        for name, frame, caption in (
            ("main", tables.main_table(metrics, geffect, status), "Unlearning and retention."),
            ("utility", tables.nine_parts(metrics), "Model Utility and its nine parts."),
            ("privacy", tables.privacy(metrics), "Memorization and membership inference."),
        ):
            files = [path[f"{name}.{suffix}"] for suffix in ("csv", "md", "tex")]
            tables.write(frame, *files, caption=f"{caption} {notes}")
        metrics.to_csv(path["metrics.csv"], index=False)
        tables.cumulated(geffect).to_csv(path["geffect.csv"], index=False)
        for output in outputs:
            runtime.log.info("wrote %s", output)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output.tables, snakemake.params, snakemake.log[0])
