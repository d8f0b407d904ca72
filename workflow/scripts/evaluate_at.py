"""Rule evaluate_at: the metrics of a cell at chosen steps of its run."""

from geffect import files, frames
from geffect.data.encoding import Encoder
from geffect.evaluation.samples import EvaluationSettings
from geffect.evaluation.steps import evaluate_steps
from geffect.jobs import context, provenance
from geffect.names import EVALUATION_SETS


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    with context.computing(
        "evaluate_at", f"evaluate_at {frames.cell_name(wildcards)}", job
    ) as device:
        training = frames.read(inputs.training)
        updates, diverged = int(training["step"].iloc[-1]), bool(training["diverged"].any())
        known = {0: frames.read(inputs.reference), updates: frames.read(inputs.metrics)}
        metrics, weights = evaluate_steps(
            params.steps,
            updates - diverged,
            known,
            inputs.checkpoints,
            inputs.original,
            Encoder.of(inputs.original, params.template),
            {name: inputs[name] for name in EVALUATION_SETS},
            EvaluationSettings(**params.evaluation),
            device,
            frames.read(inputs.retain_samples) if inputs.retain_samples else None,
        )
        frames.write(metrics, output.metrics)
        made = provenance.provenance() | provenance.made_with(params, wildcards)
        files.write_json({"weights": weights, **made}, output.record)
        context.log.info("wrote %s", output.metrics)


if "snakemake" in globals():
    main(snakemake)
