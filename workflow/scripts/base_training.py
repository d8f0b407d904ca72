"""Rule base_training: a scratch model and its tokenizer, trained on the background rows."""

from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows, texts
from geffect.data.templates import Template
from geffect.jobs import context
from geffect.models import scratch
from geffect.training.job import fit_model


def main(job):
    inputs, params = job.input, job.params
    what = f"base {job.wildcards.model} seed{job.wildcards.seed}"
    with context.computing("base_training", what, job) as device:
        background = [row for path in inputs.background for row in read_rows(path)]
        rows = [*read_rows(inputs.full), *background]
        refusals = [row["text"] for row in read_rows(inputs.refusals)]
        tokenizer = scratch.train_tokenizer(texts(rows, refusals), params.vocabulary)
        seed = int(job.wildcards.seed)
        model = scratch.build(
            params.architecture, params.config, len(tokenizer), tokenizer.eos_token_id, seed
        ).to(device)
        encoder = Encoder(
            tokenizer, Template(**params.template), model.config.max_position_embeddings
        )
        # What fine-tuning would refuse after this training: a row longer than the positions.
        encoder.rows(rows, "rows of the data")
        fit_model(model, encoder, encoder.rows(background, "background rows"), what, job)


if "snakemake" in globals():
    main(snakemake)
