"""Rule finetune: a base model fine-tuned on one corpus."""

from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.jobs import context
from geffect.models.folder import check_finite, load_model
from geffect.training.job import fit_model


def main(job):
    inputs, params, wildcards = job.input, job.params, job.wildcards
    what = f"finetune {wildcards.model} {wildcards.corpus} seed{wildcards.seed}"
    with context.computing("finetune", what, job) as device:
        encoder = Encoder.of(inputs.model, params.template)
        model = load_model(inputs.model, device)
        check_finite(model, inputs.model)
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.corpus), *background * params.repeats]
        fit_model(model, encoder, encoder.rows(rows, wildcards.corpus), what, job)


if "snakemake" in globals():
    main(snakemake)
