"""Rule download_model: a model of the hub at a pinned revision, safetensors only."""

from functools import partial

from geffect import files
from geffect.jobs import context, engine, provenance
from geffect.models.hub import download_model


def main(output, params, wildcards, log, measured):
    with context.job(f"download {params.id}", log):
        check = partial(engine.check_config, measured=measured, where=params.id)
        download_model(params.id, params.revision, params.layers, output.model, check)
        files.write_json(provenance.made_with(params, wildcards), output.record)
        context.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
        snakemake.config["geffect"],
    )
