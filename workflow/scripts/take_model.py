"""Rules take_model and take_base: a model from elsewhere, in the place of one that is made here."""

from pathlib import Path

from geffect import files
from geffect.jobs import context, provenance
from geffect.models import given
from geffect.models.folder import TOKENIZER, add_tokenizer


def main(inputs, output, params, wildcards, log):
    what = f"take {' '.join(str(value) for _, value in wildcards.items())}"
    with context.job(what, log):
        folder = inputs.downloaded or params.given["path"]
        given.link(folder, output.model, together=bool(inputs.downloaded))
        if not (Path(output.model) / TOKENIZER).is_file():
            add_tokenizer(output.model, folder)
        made = provenance.made_with(params, wildcards)
        files.write_json({**made, "seen": given.seen(folder)}, output.record)
        context.log.info("linked %s to the files of %s", output.model, folder)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
