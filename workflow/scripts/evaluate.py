"""Rules evaluate and evaluate_reference: one model's metrics and per-row log."""

import pandas as pd

from geffect import evaluation, models, runtime
from geffect.encoding import Encoder
from geffect.rows import read_rows

DATASETS = ("unlearn", "retain", "real_authors", "world_facts")


def main(inputs, output, params, wildcards, log):
    what = f"evaluate {' '.join(str(value) for _, value in wildcards.items())}"
    with runtime.job(what, log, params.compute["threads"]):
        settings = evaluation.Settings(**params.evaluation)
        if models.diverged(inputs.model):
            runtime.log.warning("the run diverged: its metrics are missing")
            samples, metrics = evaluation.missing()
        else:
            samples = evaluation.samples(
                models.load(inputs.model, params.compute["device"]),
                Encoder.of(inputs.model, params.template),
                {name: read_rows(inputs[name]) for name in DATASETS},
                settings,
            )
            retain = pd.read_parquet(inputs.retain_samples) if inputs.retain_samples else None
            metrics = evaluation.metrics(samples, retain, settings)
        samples.to_parquet(output.samples, index=False)
        metrics.to_parquet(output.metrics, index=False)
        runtime.log.info("wrote %s", output.metrics)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
