"""Draws figures, in several processes, and writes them with their captions."""

import logging
import multiprocessing
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from matplotlib.figure import Figure

from geffect import files
from geffect.report import style
from geffect.report.registry import Declaration
from geffect.report.results import Results

log = logging.getLogger(__name__)

FORMATS = ("pdf", "png")
Drawn = Mapping[str, tuple[Declaration, str | None]]


def draw(figures: Drawn, results: Results, folder: Path, processes: int = 1) -> list[Path]:
    """Draws figures and writes them as PDF and PNG; returns the files.

    Args:
        figures: name -> (declaration, group), as `registry.drawn` gives them.
        results: what they look at.
        folder: where they go.
        processes: how many draw at once; each reads what it needs.
    """
    written: list[Path] = []

    def note(name: str, number: int) -> None:
        written.extend(_paths(name, folder))
        log.info("drew %s (%d of %d)", name, number, len(figures))

    if processes == 1 or len(figures) < 2:
        for number, name in enumerate(figures, start=1):
            _draw(name, *figures[name], results, folder)
            note(name, number)
        return written
    # Nothing has been read yet, so no thread of another library is forked.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, _share, (results,)) as pool:
        waiting = {
            pool.submit(_draw_shared, name, *found, folder): name for name, found in figures.items()
        }
        for number, future in enumerate(as_completed(waiting), start=1):
            future.result()
            note(waiting[future], number)
    return written


def figure_of(declaration: Declaration, results: Results, group: str | None = None) -> Figure:
    """A figure in the style that all have in common."""
    with style.context():
        return declaration.draw(results, group)


def write_captions(figures: Drawn, path: Path) -> None:
    """Writes what to look for in each figure as Markdown."""
    lines = []
    for declaration, names in _by_declaration(figures).items():
        title, caption, reads = declaration.title, declaration.caption, declaration.reads
        lines += [f"## {title}", "", caption, "", f"Drawn from: {', '.join(reads)}.", ""]
        lines += [f"- [{name}]({name}.png)" for name in names]
        lines += [""]
    files.write_text("\n".join(lines), path)


def _by_declaration(figures: Drawn) -> dict[Declaration, list[str]]:
    found: dict[Declaration, list[str]] = {}
    for name, (declaration, _) in figures.items():
        found.setdefault(declaration, []).append(name)
    return found


def _paths(name: str, folder: Path) -> Iterable[Path]:
    return [folder / f"{name}.{suffix}" for suffix in FORMATS]


def _draw(
    name: str, declaration: Declaration, group: str | None, results: Results, folder: Path
) -> None:
    style.save(figure_of(declaration, results, group), _paths(name, folder))


_shared: list[Results] = []


def _share(results: Results) -> None:
    """What every process of the pool starts with: its own frames."""
    _shared[:] = [results]


def _draw_shared(name: str, declaration: Declaration, group: str | None, folder: Path) -> None:
    _draw(name, declaration, group, _shared[0], folder)
