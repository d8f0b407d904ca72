"""Rules evaluate and evaluate_reference: one model's metrics and per-row log."""

from geffect import frames, runtime
from geffect.evaluation.folder import evaluate
from geffect.evaluation.samples import DATASETS, Settings


def main(inputs, output, params, wildcards, log):
    what = f"evaluate {' '.join(str(value) for _, value in wildcards.items())}"
    with runtime.job(what, log, params.compute["threads"]):
        evaluate(
            inputs.model,
            params.template,
            {name: inputs[name] for name in DATASETS},
            Settings(**params.evaluation),
            params.compute["device"],
            retain_log=frames.read(inputs.retain_samples) if inputs.retain_samples else None,
            is_retain=not inputs.retain_samples,
            provenance=inputs.get("provenance"),
        ).write(output)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
