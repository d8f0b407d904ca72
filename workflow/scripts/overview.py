"""Rule overview: the first page of a run, and all its tables on one page."""

import json
import os
from pathlib import Path

import pandas as pd
import yaml

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.report.pages import overview, tables


def main(inputs, output, params, wildcards, log, config):
    with context.job("overview", log):
        csvs = {Path(path).stem: pd.read_csv(path) for path in inputs.tables}
        here = Path(output.page).parent

        def link(path):
            return Path(os.path.relpath(path, here)).as_posix()

        def note(figure):
            """The caption of the figure's kind, whose name it begins with."""
            kinds = [k for k in params.notes if figure == k or figure.startswith(f"{k}_")]
            return params.notes[max(kinds, key=len)]

        places = [tuple(place) for place in params.places]
        rows = overview.answers(
            csvs["main"],
            pd.concat([frames.read(path) for path in inputs.risk]),
            pd.concat([frames.read(path) for path in inputs.worst]),
        )

        def images(folders):
            found = [path for folder in folders for path in sorted(Path(folder).glob("*.png"))]
            return [(link(path), path.stem, note(path.stem)) for path in found]

        figures = {
            place: images([folder]) for place, folder in zip(places, inputs.figures, strict=True)
        }
        tokens = dict(zip(places, map(link, inputs.tokens), strict=True))
        more = [(link(output.tables), "all tables, to sort; configuration and provenance")]
        judged = csvs["statements"]
        # The second one is for a report that has figures and other pages beside it.
        for path, given in (
            (output.page, (figures, tokens, more, images(inputs.run_figures))),
            (output.answers, ({}, {}, [])),
        ):
            files.write_text(overview.page(params.run, rows, judged, *given), path)
        # Not a parameter: most of it changes nothing on these pages. Mappings that come from JSON
        # are none that YAML knows.
        plain = json.loads(json.dumps(config))
        configuration = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        shown = [
            (name, params.captions.get(name, ""), frame)
            for name, frame in sorted(
                csvs.items(), key=lambda of: [*params.captions, of[0]].index(of[0])
            )
        ]
        files.write_text(tables.page(params.run, shown, configuration), output.tables)
        files.write_json(provenance.made_with(params, wildcards), output.record)
        context.log.info("wrote %s and %s", output.page, output.tables)


if "snakemake" in globals():
    main(
        snakemake.input,
        snakemake.output,
        snakemake.params,
        snakemake.wildcards,
        snakemake.log[0],
        snakemake.config,
    )
