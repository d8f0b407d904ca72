"""Rule base_training: a scratch model and its tokenizer, trained on the background rows."""

from geffect import frames, models, runtime, training
from geffect.encoding import Encoder
from geffect.resume import Resume
from geffect.rows import read_rows, texts
from geffect.templates import Template


def main(inputs, output, params, wildcards, log, every):
    what = f"base {wildcards.model} seed{wildcards.seed}"
    with runtime.job(what, log, params.compute["threads"]):
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.full), *background]
        refusals = [row["text"] for row in read_rows(inputs.refusals)]
        tokenizer = models.train_tokenizer(texts(rows, refusals), params.vocabulary)
        seed = int(wildcards.seed)
        model = models.build(
            params.architecture, params.config, len(tokenizer), tokenizer.eos_token_id, seed
        )
        model.to(models.device(params.compute["device"]))
        encoder = Encoder(
            tokenizer, Template(**params.template), model.config.max_position_embeddings
        )
        settings = training.Settings(**params.training)
        examples = encoder.rows(background, "background rows")
        resume = Resume.of_job(inputs, params, wildcards, log, every)
        frame = training.fit(model, examples, settings, seed, what, resume)
        models.save(model, tokenizer, output.model)
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
