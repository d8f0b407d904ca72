"""Rule finetune: a base model fine-tuned on one corpus."""

import importlib

from geffect import files, frames
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.jobs import context, provenance
from geffect.models import compute
from geffect.models.folder import check_finite, load_model, save_model
from geffect.training.fit import fit
from geffect.training.resume import Resume
from geffect.training.settings import TrainingSettings


def main(inputs, output, params, wildcards, log, every, measured):
    what = f"finetune {wildcards.model} {wildcards.corpus} seed{wildcards.seed}"
    with context.job(what, log):
        device = compute.prepare(**params.compute)
        encoder = Encoder.of(inputs.model, params.template)
        model = load_model(inputs.model, device)
        check_finite(model, inputs.model)
        # By name, since nothing here depends on the engine: what it would refuse after hours of
        # training, it refuses now.
        engine = importlib.import_module("geffect.effects.measurement")
        engine.check_model(model, measured["instances"], measured["tokens"])
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.corpus), *background * params.repeats]
        examples = encoder.rows(rows, wildcards.corpus)
        seed = int(wildcards.seed)
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
