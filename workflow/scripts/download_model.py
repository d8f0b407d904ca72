"""Rule download_model: a model of the hub at a pinned revision, safetensors only."""

from geffect import models, runtime


def main(output, params, log):
    with runtime.job(f"download {params.id}", log):
        models.download(params.id, params.revision, params.layers, output.model)
        runtime.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(snakemake.output, snakemake.params, snakemake.log[0])
