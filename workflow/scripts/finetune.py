"""Rule finetune: a base model fine-tuned on one corpus."""

from geffect import frames, models, runtime, training
from geffect.encoding import Encoder
from geffect.resume import Resume
from geffect.rows import read_rows


def main(inputs, output, params, wildcards, log, every):
    what = f"finetune {wildcards.model} {wildcards.corpus} seed{wildcards.seed}"
    with runtime.job(what, log, params.compute["threads"]):
        encoder = Encoder.of(inputs.model, params.template)
        model = models.load(inputs.model, params.compute["device"])
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.corpus), *background * params.repeats]
        settings = training.Settings(**params.training)
        examples = encoder.rows(rows, wildcards.corpus)
        resume = Resume.of_job(inputs, params, wildcards, log, every)
        frame = training.fit(model, examples, settings, int(wildcards.seed), what, resume)
        models.save(model, encoder.tokenizer, output.model)
        frames.write(frame, output.training)
        resume.clear()
        runtime.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
        snakemake.config["training"]["resume_every"],
    )
