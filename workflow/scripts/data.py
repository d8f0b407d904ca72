"""Rule data: the configured source as verified parquet tables."""

from pathlib import Path

from geffect import files, frames
from geffect.data import sources
from geffect.data.refusals import read_refusals
from geffect.data.tofu import data_directory
from geffect.jobs import context, provenance


def main(output, params, wildcards, config, log):
    with context.job("data", log):
        settings = params.settings
        source = sources.load(settings, data_directory(config["data"]))
        refusals = read_refusals(settings["refusals"])
        tables = sources.tables(source, params.splits, settings["held_out_rows"], refusals)
        for path in map(Path, output.tables):
            frames.write(tables[path.stem], path)
            context.log.info("%s: %d rows", path, len(tables[path.stem]))
        files.write_json(provenance.made_with(params, wildcards), output.record)


if "snakemake" in globals():
    main(
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.config,
        snakemake.log[0],
    )
