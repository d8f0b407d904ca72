"""Rule figures: all figures of one (model, split)."""

from geffect import files
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report import registry, style
from geffect.report.results import Results


def main(inputs, output, params, wildcards, log):
    with context.job(f"figures {wildcards.model} {wildcards.split}", log):
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        results = Results(cells, dict(inputs.items()), variants=params.variants)
        figures = registry.drawn(registry.catalogue(registry.FIGURE), cells, params.variants)
        with files.written_folder(output.figures) as folder:
            for name, (declaration, group) in figures.items():
                figure = declaration.draw(results, group)
                style.save(figure, [folder / f"{name}.{suffix}" for suffix in ("pdf", "png")])
                context.log.info("drew %s", name)
            files.write_json(provenance.made_with(params, wildcards), folder / "record.json")
        context.log.info("wrote %s", output.figures)


if "snakemake" in globals():
    main(snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards, snakemake.log[0])
