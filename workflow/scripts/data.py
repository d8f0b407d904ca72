"""Rule data: the configured source as verified parquet tables."""

from pathlib import Path

from geffect import frames
from geffect.data import sources
from geffect.data.refusals import read_refusals
from geffect.data.tofu import data_directory
from geffect.jobs import context


def main(outputs, params, config, log):
    with context.job("data", log):
        settings = params.settings
        source = sources.load(settings, data_directory(config["data"]))
        refusals = read_refusals(settings["refusals"])
        tables = sources.tables(source, params.splits, settings["held_out_rows"], refusals)
        for path in map(Path, outputs):
            frames.write(tables[path.stem], path)
            context.log.info("%s: %d rows", path, len(tables[path.stem]))


if "snakemake" in globals():
    main(snakemake.output.tables, snakemake.params, snakemake.config, snakemake.log[0])
