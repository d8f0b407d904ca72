"""Rule tables: every table of the report."""

from pathlib import Path

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report import registry, writing
from geffect.report.results import Results
from geffect.report.tables.provenance import mixed_versions


def main(inputs, output, params, wildcards, log):
    with context.job("tables", log):
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        references = [frames.reference_cell(key) for key in params.references]
        missing = [frames.reference_cell(key) for key in params.missing]
        results = Results(cells, dict(inputs.items()), references, missing=missing)
        warnings = mixed_versions([record for *_, record in results.records()])
        for warning in warnings:
            context.log.warning(warning)
        # What own files lack, and so the tables.
        gaps = files.read_json(inputs.found)["gaps"] if inputs.found else {}
        notes = [*params.notes, *(why for of_split in gaps.values() for why in of_split), *warnings]
        folder = Path(output.record).parent
        for declaration in registry.chosen(registry.TABLE, params.tables).values():
            for path in writing.save(declaration, results, folder, notes):
                context.log.info("wrote %s", path)
        files.write_json(provenance.made_with(params, wildcards), output.record)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
