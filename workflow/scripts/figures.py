"""Rules figures and run_figures: the figures of one (model, split), or of the whole run."""

from geffect import files
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report import drawing, registry
from geffect.report.results import Results


def main(inputs, output, params, wildcards, log, threads=1):
    with context.job(" ".join(["figures", *dict(wildcards.items()).values()]), log):
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        results = Results(
            cells,
            dict(inputs.items()),
            variants=params.variants,
            resamples=params.resamples,
            seed=params.seed,
        )
        catalogue = registry.chosen(registry.FIGURE, params.figures, tuple(params.further))
        figures = registry.drawn(catalogue, cells, params.variants)
        with files.written_folder(output.figures) as folder:
            drawing.draw(figures, results, folder, threads)
            drawing.write_captions(figures, folder / "captions.md")
            files.write_json(provenance.made_with(params, wildcards), folder / "record.json")
        context.log.info("wrote %s", output.figures)


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
        snakemake.threads,
    )
