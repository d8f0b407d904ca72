"""Draws figures of a run again, without a workflow: all of them, or some by their names.

    geffect draw results/demo                       # every figure
    geffect draw results/demo geffect_npo trade_off
    geffect draw results/demo --list                # what there is to draw
    geffect draw results/demo my_figure --figure my_figures/my_figure.py

It reads what the run has written so far, also that of a run which is not finished: what is missing
shows as a gap.
"""

import argparse
import fnmatch
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geffect import files
from geffect.errors import ConfigError, DataError, GeffectError
from geffect.messages import log, shown_by
from geffect.names import CELL
from geffect.report import registry
from geffect.report.results import STAGES, Results

Place = tuple[str, str] | None
"""A (model, split); None for the whole run."""


def cells_of(run: Path) -> list[dict[str, Any]]:
    """The keys of a run's cells: those that its manifest names, in its order, and those that are
    there.

    Raises:
        DataError: there are none.
    """
    named: list[str] = []
    if (run / "grid.json").is_file():
        groups = files.read_json(run / "grid.json")["groups"]
        rows = [row for group in groups if group["name"] == "cells" for row in group["rows"]]
        named = [
            name for row in rows for stage in row["stages"].values() for name in stage["files"]
        ]
    there = [path.relative_to(run).as_posix() for path in sorted(run.glob("cells/*/*/*+*/seed*/*"))]
    folders = dict.fromkeys(Path(name).parent.parts[1:] for name in [*named, *there])
    found = []
    for model, split, run_name, seed in (parts for parts in folders if len(parts) == 4):
        objective, _, regularizer = run_name.rpartition("+")
        keys = (model, split, objective, regularizer, int(seed.removeprefix("seed")))
        found.append(dict(zip(CELL, keys, strict=True)))
    if not found:
        raise DataError(f"{run}: has no cells; name the folder of a run, such as results/demo")
    return found


def _folder(run: Path, cell: dict[str, Any]) -> Path:
    name = f"{cell['objective']}+{cell['regularizer']}"
    return run / "cells" / cell["model"] / cell["split"] / name / f"seed{cell['seed']}"


def _there(run: Path, cells: Sequence[dict[str, Any]], name: str) -> list[Path | None]:
    """A file of every cell, None where there is none."""
    paths = [_folder(run, cell) / name for cell in cells]
    return [path if path.is_file() else None for path in paths]


def results_of(run: Path, cells: Sequence[dict[str, Any]]) -> Results:
    """What a run has written about some of its cells: tables, and records of how they were made."""
    paths: dict[str, Any] = {name: _there(run, cells, file) for name, (_, file) in STAGES.items()}
    for name in registry.OF_CELLS:
        paths[name] = _there(run, cells, f"{name}.parquet")
        paths[f"{name}_references"] = [
            path
            for model, split in dict.fromkeys((cell["model"], cell["split"]) for cell in cells)
            for path in sorted(run.glob(f"references/{model}/*/{split}/seed*/{name}.parquet"))
            if name in registry.NAMED
        ]
    for table in registry.catalogue(registry.TABLE):
        if table not in registry.OF_CELLS and (run / f"tables/{table}.csv").is_file():
            paths[table] = run / f"tables/{table}.csv"
    variants: dict[str, dict] = {}
    for cell in cells:
        record = _folder(run, cell) / "provenance.json"
        if cell["objective"] not in variants and record.is_file():
            variants[cell["objective"]] = files.read_json(record)["settings"]["objective"]
    for cell in cells:
        variants.setdefault(cell["objective"], {"name": cell["objective"], "hyper": {}})
    order = dict.fromkeys(cell["objective"] for cell in cells)
    return Results(
        cells, paths, variants={name: variants[name] for name in order}, **drawn_with(run)
    )


def drawn_with(run: Path) -> dict[str, Any]:
    """The settings of bootstraps with which a run has drawn its figures, if it has."""
    record = run / "run_figures/record.json"
    settings = files.read_json(record)["settings"] if record.is_file() else {}
    return {name: settings[name] for name in ("resamples", "seed") if name in settings}


def _places(cells: Sequence[dict[str, Any]]) -> dict[Place, list[dict[str, Any]]]:
    found: dict[Place, list[dict[str, Any]]] = {None: list(cells)}
    for cell in cells:
        found.setdefault((cell["model"], cell["split"]), []).append(cell)
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command `geffect draw`: writes PDF and PNG where the run has its figures."""
    parser = argparse.ArgumentParser(
        prog="geffect draw",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="the folder of a run, such as results/demo")
    parser.add_argument("names", nargs="*", help="figures, or patterns such as 'geffect_*'")
    parser.add_argument("--list", action="store_true", help="show the names and draw nothing")
    parser.add_argument("--out", type=Path, help="another folder to write to")
    parser.add_argument("--figure", action="append", default=[], help="a file of another figure")
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        with shown_by(logging.StreamHandler()):
            _draw(given)
    except (GeffectError, OSError) as error:
        sys.exit(f"error: {error}")


def _draw(given: argparse.Namespace) -> None:
    if given.processes < 1:
        raise ConfigError(f"--processes {given.processes}: use 1 or more")
    catalogue = registry.catalogue(registry.FIGURE, tuple(given.figure))
    there: dict[Place, tuple[dict, Results]] = {}
    for place, cells in _places(cells_of(given.run)).items():
        results = results_of(given.run, cells)
        chosen = registry.of_splits(catalogue) if place else registry.of_run(catalogue)
        chosen = registry.asked(chosen, {name: results.has(name) for name in registry.OPTIONAL})
        there[place] = registry.drawn(chosen, cells, results.variants), results
    known = list(dict.fromkeys(name for figures, _ in there.values() for name in figures))
    for pattern in given.names:
        if not fnmatch.filter(known, pattern):
            raise ConfigError(
                f"no figure {pattern!r} in {given.run}{ConfigError.suggestion(pattern, known)}"
            )
    wanted = {name for pattern in given.names or "*" for name in fnmatch.filter(known, pattern)}
    for place, (figures, results) in there.items():
        figures = {name: found for name, found in figures.items() if name in wanted}
        if given.list:
            where = ", ".join(place) if place else "run"
            for name, (declaration, _) in figures.items():
                print(f"{where}: {name:<28} {declaration.title}")
        elif figures:
            _write(given, place, figures, results)


def _write(given: argparse.Namespace, place: Place, figures: dict, results: Results) -> None:
    # Here, since listing what there is needs no matplotlib.
    from geffect.report import drawing

    inside = Path("figures", *place) if place else Path("run_figures")
    folder = (given.out or given.run) / inside
    folder.mkdir(parents=True, exist_ok=True)
    drawing.draw(figures, results, folder, given.processes)
    log.info("wrote %s/{%s}.{pdf,png}", folder, ",".join(figures))


if __name__ == "__main__":
    main()
