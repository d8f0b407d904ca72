"""Rule data: the configured source as verified parquet tables."""

from pathlib import Path

from geffect import data, frames, runtime
from geffect.config import data_directory
from geffect.refusals import read_refusals


def main(outputs, params, config, log):
    with runtime.job("data", log):
        settings = params.settings
        source = data.load(settings, data_directory(config["data"]))
        refusals = read_refusals(settings["refusals"])
        tables = data.tables(source, params.splits, settings["held_out"], refusals)
        for path in map(Path, outputs):
            frames.write(tables[path.stem], path)
            runtime.log.info("%s: %d rows", path, len(tables[path.stem]))


if "snakemake" in globals():
    main(snakemake.output.tables, snakemake.params, snakemake.config, snakemake.log[0])
