"""Rule matched: the largest part of what a run did that keeps retention, and its metrics."""

from geffect import files, frames
from geffect.evaluation.matched import match_folders
from geffect.evaluation.samples import EvaluationSettings
from geffect.jobs import context, provenance
from geffect.names import EVALUATION_SETS


def main(job):
    inputs, output, params, wildcards = job.input, job.output, job.params, job.wildcards
    what = f"matched {frames.cell_name(wildcards)}"
    with context.computing("matched", what, job) as device:
        found = match_folders(
            inputs.original,
            inputs.model,
            params.template,
            {name: inputs[name] for name in EVALUATION_SETS},
            EvaluationSettings(**params.evaluation),
            params.es_retain,
            params.tolerance,
            device,
            frames.read(inputs.metrics),
            frames.read(inputs.retain_samples) if inputs.retain_samples else None,
            inputs.provenance,
        )
        frames.write(found.metrics, output.matched)
        made = provenance.provenance() | provenance.made_with(params, wildcards)
        files.write_json({**found.record(), **made}, output.record)
        context.log.info("wrote %s", output.matched)


if "snakemake" in globals():
    main(snakemake)
