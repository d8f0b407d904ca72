"""Rule overview: the first page of a run, and all its tables on one page."""

import json
import os
from pathlib import Path

import pandas as pd
import yaml

from geffect import files, frames
from geffect.jobs import context, provenance
from geffect.names import CELL
from geffect.report import blocks, registry
from geffect.report.pages import answers, overview, setup, tables


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
        cells = [dict(zip(CELL, cell, strict=True)) for cell in params.cells]
        risk = pd.concat([frames.read(path) for path in inputs.risk])
        matched = [
            frames.with_cell(frames.read(path), cell)
            for path, cell in zip(inputs.matched, cells, strict=bool(inputs.matched))
        ]
        whole = answers.Tables(
            csvs["main"],
            csvs["metrics"],
            csvs["geffect"],
            risk,
            pd.concat([frames.read(path) for path in inputs.worst]),
            [],
            pd.concat(matched) if matched else None,
            csvs.get("matched_trace"),
            params.es_retain,
        )
        records = list(zip(cells, map(files.read_json, inputs.records), strict=True))
        groups, setups = {}, {}
        for number, place in enumerate(places):
            families = registry.families(
                {v: {"name": n} for v, n in params.variants[number].items()}
            )
            base = [registry.stands_for(*family) for family in families.items()]
            made = [(c, r) for c, r in records if (c["model"], c["split"]) == place]
            tag = answers.answer_tag([record for _, record in made])
            tables_here = whole.at(*place, base, tag)
            groups[place] = answers.groups(tables_here)
            finished = groups[place][-1].seeds
            setups[place] = setup.described(
                made,
                setup.model_facts(inputs.originals[number]),
                len(blocks.in_order(tables_here.risk["component"])),
                setup.Rows(
                    len(frames.read(inputs.rows[number])),
                    len(frames.read(inputs.held_out[number])),
                    params.retain_rows,
                    params.max_rows,
                ),
                int(tables_here.risk["step"].max()) if finished else None,
            )

        def images(folders):
            found = [path for folder in folders for path in sorted(Path(folder).glob("*.png"))]
            return [(link(path), path.stem, note(path.stem)) for path in found]

        figures = {
            place: images([folder]) for place, folder in zip(places, inputs.figures, strict=True)
        }
        tokens = dict(zip(places, map(link, inputs.tokens), strict=True))
        judged = csvs["statements"]
        # The second one is for a report that has figures and other pages beside it.
        for path, given in (
            (
                output.page,
                (figures, tokens, link(output.tables), images(inputs.run_figures)),
            ),
            (output.answers, ({}, {}, None)),
        ):
            files.write_text(overview.page(params.run, groups, setups, judged, *given), path)
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
