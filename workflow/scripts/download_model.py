"""Rule download_model: a model of the hub at a pinned revision, safetensors only."""

from geffect.jobs import context
from geffect.models.hub import download_model


def main(output, params, log):
    with context.job(f"download {params.id}", log):
        download_model(params.id, params.revision, params.layers, output.model)
        context.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.output, snakemake.params, snakemake.log[0])
