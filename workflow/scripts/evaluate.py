"""Rules evaluate and evaluate_reference: one model's metrics and per-row log."""

from geffect import frames
from geffect.evaluation.folder import evaluate_folder
from geffect.evaluation.samples import EvaluationSettings
from geffect.jobs import context, provenance
from geffect.names import EVALUATION_SETS, FULL


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"evaluate {' '.join(str(value) for _, value in wildcards.items())}"
    with context.computing("evaluate", what, job) as device:
        evaluate_folder(
            inputs.model,
            params.template,
            {name: inputs[name] for name in EVALUATION_SETS},
            EvaluationSettings(**params.evaluation),
            device,
            retain_log=frames.read(inputs.retain_samples) if inputs.retain_samples else None,
            is_retain=wildcards.get("corpus", FULL) != FULL,
            provenance=inputs.get("provenance"),
        ).write(output, provenance.provenance() | provenance.made_with(params, wildcards))


if "snakemake" in globals():
    main(snakemake)
