"""Rule download_model: a model of the hub at a pinned revision, safetensors only."""

from geffect import files
from geffect.jobs import context, provenance
from geffect.models.hub import download_model


def main(output, params, wildcards, log):
    with context.job(f"download {params.id}", log):
        download_model(params.id, params.revision, params.layers, output.model)
        files.write_json(provenance.made_with(params, wildcards), output.record)
        context.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
