"""Rule tables: the main table, utility, privacy, all metrics, cumulated G-effects, provenance."""

import pandas as pd

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL, REFERENCES
from geffect.report import changes, matched, tables


def main(inputs, output, params, wildcards, log):
    with context.job("tables", log):
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        references = [frames.reference_cell(key) for key in params.references]
        metrics = pd.concat(
            [
                frames.with_cell(frames.read(path), key)
                for key, path in zip(
                    [*references, *cells], [*inputs.references, *inputs.metrics], strict=True
                )
            ]
        )
        geffect = pd.concat([frames.read(path) for path in inputs.geffect])
        risk = pd.concat([frames.read(path) for path in inputs.risk])
        status = tables.status(cells, [frames.read(path) for path in inputs.training])
        records = [
            (key, stage, files.read_json(path))
            for keys, stage, paths in (
                (references, "evaluate", inputs.reference_records),
                (cells, "unlearn", inputs.provenance),
                (cells if inputs.geffect_records else [], "geffect", inputs.geffect_records),
                (cells, "evaluate", inputs.records),
                (cells if inputs.at_records else [], "evaluate_at", inputs.at_records),
                (cells if inputs.matched_records else [], "matched", inputs.matched_records),
            )
            for key, path in zip(keys, paths, strict=True)
        ]
        warnings = tables.mixed_versions([record for *_, record in records])
        for warning in warnings:
            context.log.warning(warning)
        notes = " ".join([*params.notes, *warnings])
        path = {path.rpartition("/")[2]: path for path in output.tables}
        for name, frame, caption in (
            (
                "main",
                tables.main_table(metrics, geffect, status, risk),
                "Unlearning and retention.",
            ),
            ("utility", tables.nine_parts(metrics), "Model Utility and its nine parts."),
            ("privacy", tables.privacy(metrics), "Memorization and membership inference."),
        ):
            paths = [path[f"{name}.{suffix}"] for suffix in ("csv", "md", "tex")]
            tables.write(frame, *paths, caption=f"{caption} {notes}")
        if inputs.matched:
            of_matches = [(key, record) for key, stage, record in records if stage == "matched"]
            frame = matched_table(inputs, cells, metrics, of_matches, status)
            paths = [path[f"matched.{suffix}"] for suffix in ("csv", "md", "tex")]
            about = matched.caption(of_matches, params.es_retain)
            tables.write(frame, *paths, caption=f"{about} {notes}")
            trace = matched.traces(of_matches).to_csv(index=False)
            files.write_text(trace, path["matched_trace.csv"])
        files.write_text(metrics.to_csv(index=False), path["metrics.csv"])
        files.write_text(tables.cumulated(geffect).to_csv(index=False), path["geffect.csv"])
        files.write_text(changes.attributed(risk).to_csv(index=False), path["attribution.csv"])
        files.write_text(tables.provenance(records).to_csv(index=False), path["provenance.csv"])
        files.write_json(provenance.made_with(params, wildcards), output.record)
        for written in output.tables:
            context.log.info("wrote %s", written)


def matched_table(inputs, cells, metrics, records, status):
    """The table at matched retention, with the reference models as they are."""
    references = metrics[metrics["objective"].isin(REFERENCES)]
    found = [
        frames.with_cell(frames.read(path), key)
        for key, path in zip(cells, inputs.matched, strict=True)
    ]
    return matched.matched_table(pd.concat([references, *found]), records, status)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
