"""Rule base_training: a scratch model and its tokenizer, trained on the background rows."""

from geffect import frames, models, runtime, training
from geffect.encoding import Encoder
from geffect.resume import Resume, fingerprint
from geffect.rows import read_rows, texts
from geffect.templates import Template


def main(inputs, output, params, wildcards, log, work, resume_every):
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
        made_of = runtime.made_of(inputs, params, wildcards)
        resume = Resume(work, fingerprint(**made_of), resume_every)
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
        runtime.work(snakemake.log[0]),
        snakemake.config["training"]["resume_every"],
    )
