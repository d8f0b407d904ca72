"""Rule token_page: the answers of one (model, split), token by token."""

from functools import partial

from tokenizers import Tokenizer

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report.pages import tokens


def main(inputs, output, params, wildcards, log):
    with context.job(f"token_page {wildcards.model} {wildcards.split}", log):
        cells = []
        for number, cell in enumerate(params.cells):
            read = {
                name: partial(frames.read, paths[number]) if paths else None
                for name, paths in (("tokens", inputs.tokens), ("instances", inputs.instances))
            }
            training = frames.read(inputs.training[number])
            key = dict(zip(CELL, cell, strict=True))
            cells.append(tokens.CellTables(key, bool(training["diverged"].any()), **read))
        tokenizer = Tokenizer.from_file(f"{inputs.tokenizer}/tokenizer.json")
        decode = partial(tokenizer.decode, skip_special_tokens=False)
        page = tokens.page(
            f"{wildcards.model}, {wildcards.split}",
            frames.read(inputs.rows),
            cells,
            decode,
            params.limit_mb,
            params.seed,
        )
        files.write_text(page, output.page)
        frames.write(tokens.most_damaging(cells, decode), output.worst)
        files.write_json(provenance.made_with(params, wildcards), output.record)
        context.log.info("wrote %s (%.1f MB)", output.page, len(page.encode()) / 1e6)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
