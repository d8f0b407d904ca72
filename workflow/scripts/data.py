"""Rule data: the configured source as verified parquet tables."""

from pathlib import Path

from geffect import files, frames
from geffect.data import own, sources
from geffect.data.refusals import read_refusals
from geffect.data.splits import TABLES
from geffect.data.tofu import data_directory
from geffect.jobs import context, provenance


def main(output, params, wildcards, config, log):
    with context.job("data", log):
        settings = params.settings
        refusals = read_refusals(settings["refusals"])
        if settings["source"] == TABLES:
            found = own.make(config["data"], params.splits, refusals, Path(output.record).parent)
            files.write_json({"sizes": found.sizes.record(), "gaps": found.gaps}, output.found)
            context.log.info("%d rows; wrote %s", found.sizes.rows, Path(output.record).parent)
        else:
            source = sources.load(settings, data_directory(config["data"]))
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
