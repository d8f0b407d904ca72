"""Finds tables and figures: one file each, read without importing it.

A file `tables/NAME.py` or `figures/NAME.py`, or any file of a figure that a configuration names by
its path, declares as literals

- `TITLE`: what it is about, in a few words;
- `CAPTION`: what to look for, and what not to conclude;
- `CATEGORY`: where it stands in the report;
- `READS`: the frames that it looks at, by their names in `results.Results`: tables of the cells
  (`geffect`, `risk`, ...), `records`, files of `OUTSIDE`, or other tables of the report (figures
  only);

a table also

- `FORMATS`: some of "csv", "md", "tex"; with "md" or "tex" it may define `COLUMNS`, the look of its
  columns (`writing.Column` by name);
- `MARK_BEST`, if the best numbers are to be marked;
- `note(results)`, if its caption says something of these results;
- `table(results)`: the frame;

and a figure

- `PER`: "run" for one figure of the whole run; "split" for one of every (model, split); "variant",
  "objective", "sweep" or "regularizer" for one of each of these in every (model, split). A sweep is
  an objective with several variants;
- `draw(results)`, or `draw(results, name)` with the name of the variant, objective or regularizer:
  the figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from geffect import declarations
from geffect.errors import ConfigError

TABLE, FIGURE = "table", "figure"
KINDS = (TABLE, FIGURE)
OF_CELLS = (
    "geffect",
    "risk",
    "instances",
    "tokens",
    "trajectory",
    "training",
    "metrics",
    "samples",
    "matched",
    "relearn",
    "quantized",
)
"""What may be read of every cell; the metrics of the reference models stand among the metrics."""
NAMED = ("relearn", "quantized")
"""Those of which there are files of the reference models too, which have the keys of a cell."""
RECORDS = "records"
OUTSIDE = ("published",)
"""Files that the section `report` of a configuration names, or not."""
OPTIONAL = (*OUTSIDE, "matched", "relearn", "quantized")
"""Frames that there are only where a configuration asks for them; without one, what reads it is not
made."""
FORMATS = ("csv", "md", "tex")
RUN, SPLIT, VARIANT, OBJECTIVE, SWEEP, REGULARIZER = PER = (
    "run",
    "split",
    "variant",
    "objective",
    "sweep",
    "regularizer",
)
_TEXTS = ("TITLE", "CAPTION", "CATEGORY")
_FUNCTION = {TABLE: "table", FIGURE: "draw"}
_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(_TEXTS, ""),
    "READS": [],
    "FORMATS": ["csv"],
    "PER": SPLIT,
}


@dataclass(frozen=True)
class Declaration:
    """What the file of a table or figure declares.

    Attributes:
        name: the file's name without `.py`.
        kind: "table" or "figure".
        path: the file.
        title, caption, category: plain text.
        reads: some of `OF_CELLS`, `RECORDS`, names of tables.
        formats: some of `FORMATS`, of a table.
        per: one of `PER`, of a figure.
    """

    name: str
    kind: str
    path: Path
    title: str
    caption: str
    category: str
    reads: tuple[str, ...]
    formats: tuple[str, ...]
    per: str

    def draw(self, results: Any, group: str | None = None) -> Any:
        """The figure (of matplotlib) of some `results.Results`; see `drawing.figure_of`."""
        draw = self.module().draw
        return draw(results) if group is None else draw(results, group)

    def module(self) -> ModuleType:
        """The imported file.

        Raises:
            ConfigError: the file cannot be imported.
        """
        return declarations.load(self.path, self.kind)


def _folder(kind: str) -> Path:
    return Path(__file__).parent / f"{kind}s"


def read(path: Path, kind: str) -> Declaration:
    """What a file declares, without importing it.

    Raises:
        ConfigError: the file cannot be read, or does not declare what it must.
    """
    literals, functions = declarations.read(path, _DEFAULTS)
    if _FUNCTION[kind] not in functions:
        raise ConfigError(f"{path}: defines no {_FUNCTION[kind]}(); see an existing {kind}")
    for name in _TEXTS:
        if not isinstance(literals[name], str) or not literals[name].strip():
            raise ConfigError(f"{path}: {name} must be a text; write one")
    tables = [p.stem for p in _paths(TABLE)] if kind == FIGURE else []
    known = {"READS": [*OF_CELLS, RECORDS, *OUTSIDE, *tables], "FORMATS": FORMATS}
    for name, entries in known.items():
        if not isinstance(literals[name], list | tuple):
            raise ConfigError(f"{path}: {name} must be a list")
        for entry in literals[name]:
            if entry not in entries:
                raise ConfigError(
                    f"{path}: {name} has an unknown entry {entry!r}"
                    f"{ConfigError.suggestion(entry, entries)}"
                )
    if literals["PER"] not in PER:
        raise ConfigError(f"{path}: PER must be one of {', '.join(PER)}")
    return Declaration(
        name=path.stem,
        kind=kind,
        path=path,
        **{name.lower(): " ".join(literals[name].split()) for name in _TEXTS},
        reads=tuple(literals["READS"]),
        formats=tuple(literals["FORMATS"]),
        per=literals["PER"],
    )


def _paths(kind: str) -> list[Path]:
    return sorted(p for p in _folder(kind).glob("*.py") if not p.name.startswith("_"))


@cache
def catalogue(kind: str, further: tuple[str, ...] = ()) -> dict[str, Declaration]:
    """The declarations of all files of the package, and of further ones, by name.

    Args:
        kind: "table" or "figure".
        further: paths of files outside the package.

    Raises:
        ConfigError: a file does not declare what it must, or has the name of another one.
    """
    found = {path.stem: read(path, kind) for path in _paths(kind)}
    for given in further:
        path = Path(given)
        if not path.is_file() or path.suffix != ".py":
            raise ConfigError(f"{kind} {given}: there is no such file of Python; check the path")
        if path.stem in found:
            raise ConfigError(
                f"{kind} {given}: there is a {kind} {path.stem!r} already; rename the file"
            )
        found[path.stem] = read(path.resolve(), kind)
    return found


def chosen(
    kind: str, names: Iterable[str], further: tuple[str, ...] = ()
) -> dict[str, Declaration]:
    """Those of the catalogue that have some names."""
    known = catalogue(kind, further)
    return {name: known[name] for name in names}


def asked(declared: Mapping[str, Declaration], given: Mapping[str, Any]) -> dict[str, Declaration]:
    """Those that read nothing of `OPTIONAL` that there is not.

    Args:
        declared: a catalogue.
        given: name of `OPTIONAL` -> whether there is such a frame.
    """
    return {
        name: declaration
        for name, declaration in declared.items()
        if all(given.get(read) for read in declaration.reads if read in OPTIONAL)
    }


def sweeps(variants: Mapping[str, Mapping]) -> dict[str, list[str]]:
    """Objective -> its variants, for those that have several.

    Args:
        variants: variant -> its `name`, which is the objective, and `hyper`.
    """
    return {name: found for name, found in families(variants).items() if len(found) > 1}


def families(variants: Mapping[str, Mapping]) -> dict[str, list[str]]:
    """Objective -> its variants, in order of first appearance; arguments as for `sweeps`."""
    found: dict[str, list[str]] = {}
    for variant, loss in variants.items():
        found.setdefault(Path(loss["name"]).stem, []).append(variant)
    return found


def stands_for(objective: str, variants: Sequence[str]) -> str:
    """The variant by which an objective is compared with others: that of its name, else the first.

    Args:
        variants: of the objective, at least one.
    """
    return objective if objective in variants else variants[0]


def of_run(figures: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """Those that are drawn once, from all cells of a run."""
    return {name: declared for name, declared in figures.items() if declared.per == RUN}


def of_splits(figures: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """Those that are drawn for every (model, split)."""
    return {name: declared for name, declared in figures.items() if declared.per != RUN}


def drawn(
    figures: Mapping[str, Declaration],
    cells: Sequence[Mapping[str, Any]],
    variants: Mapping[str, Mapping],
) -> dict[str, tuple[Declaration, str | None]]:
    """The figures of one (model, split), or of a run, by the names of their files.

    Args:
        figures: the catalogue, or the part of it that is to be drawn.
        cells: the keys of the cells.
        variants: as for `sweeps`.

    Returns:
        Name -> (declaration, what `draw` gets besides the results, if anything).

    Raises:
        ConfigError: two figures would have the same name.
    """
    groups: dict[str, list] = {
        RUN: [None],
        SPLIT: [None],
        VARIANT: list(dict.fromkeys(cell["objective"] for cell in cells)),
        OBJECTIVE: list(families(variants)),
        SWEEP: list(sweeps(variants)),
        REGULARIZER: list(dict.fromkeys(cell["regularizer"] for cell in cells)),
    }
    found: dict[str, tuple[Declaration, str | None]] = {}
    for declaration in figures.values():
        for group in groups.get(declaration.per, []):
            name = declaration.name if group is None else f"{declaration.name}_{group}"
            if name in found:
                raise ConfigError(
                    f"figures {declaration.name} and {found[name][0].name}: both would be called "
                    f"{name!r}; rename a file or a variant"
                )
            found[name] = (declaration, group)
    return found
