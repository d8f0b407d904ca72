"""Rule base_training: a scratch model and its tokenizer, trained on the background rows."""

import importlib

from geffect import files, frames
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows, texts
from geffect.data.templates import Template
from geffect.jobs import context, provenance
from geffect.models import compute, scratch
from geffect.models.folder import save_model
from geffect.training.fit import fit
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings


def main(inputs, output, params, wildcards, log, every, measured):
    what = f"base {wildcards.model} seed{wildcards.seed}"
    with context.job(what, log):
        device = compute.prepare(**params.compute)
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.full), *background]
        refusals = [row["text"] for row in read_rows(inputs.refusals)]
        tokenizer = scratch.train_tokenizer(texts(rows, refusals), params.vocabulary)
        seed = int(wildcards.seed)
        model = scratch.build(
            params.architecture, params.config, len(tokenizer), tokenizer.eos_token_id, seed
        ).to(device)
        # By name, since nothing here depends on the engine: what it would refuse after hours of
        # training, it refuses now.
        engine = importlib.import_module("geffect.effects.measurement")
        engine.check_model(model, measured["instances"], measured["tokens"])
        encoder = Encoder(
            tokenizer, Template(**params.template), model.config.max_position_embeddings
        )
        examples = encoder.rows(background, "background rows")
        made_of = provenance.made_of(inputs, params, wildcards)
        resume = Resume(context.work(log), [made_of, provenance.packages()], every)
        settings = TrainingSettings(**params.training)
        frame = fit(model, examples, settings, seed, what, resume)
        save_model(model, encoder.tokenizer, output.model)
        frames.write(frame, output.training)
        files.write_json(provenance.record(made_of), output.record)
        resume.clear()
        context.log.info("wrote %s", output.model)


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
        snakemake.config["training"]["resume_every"],
        snakemake.config["geffect"],
    )
