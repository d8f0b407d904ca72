"""What tables and figures look at: the frames of some cells, read when they are asked for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from geffect import files, frames
from geffect.names import CELL, TOTAL
from geffect.report import cells as of_cells
from geffect.report.registry import OF_CELLS

STAGES = {
    "unlearn_records": ("unlearn", "provenance.json"),
    "geffect_records": ("geffect", "geffect.json"),
    "evaluation_records": ("evaluate", "evaluation.json"),
    "at_records": ("evaluate_at", "evaluation_at.json"),
    "matched_records": ("matched", "matched.json"),
    "relearn_records": ("relearn", "relearn.json"),
    "quantize_records": ("quantize", "quantized.json"),
}
"""The records of cells, by the names of their paths: the stages that they are about, and their
files in the folder of a cell."""


class Results:
    """The results of some cells: of a whole run, or of one (model, split).

    Args:
        cells: the keys of the cells, in the order of the configuration.
        paths: name of a frame of cells -> its files, in the order of the cells, None where there is
            none; the same for the records `STAGES`. `references` and `reference_records` are those
            of the reference models. Name of a table of the report -> its file.
        references: the keys of the reference models' evaluations.
        variants: variant of an objective -> `name` (of the objective) and `hyper`.
        frames: frames that are there already, by name; they win over files.
        resamples, seed: of bootstraps (`report.resamples` and `report.seed` of a configuration).
        missing: the keys of reference models that do not exist.
    """

    def __init__(
        self,
        cells: Sequence[Mapping[str, Any]],
        paths: Mapping[str, Any] | None = None,
        references: Sequence[Mapping[str, Any]] = (),
        variants: Mapping[str, Mapping] | None = None,
        frames: Mapping[str, pd.DataFrame] | None = None,
        resamples: int = 1000,
        seed: int = 0,
        missing: Sequence[Mapping[str, Any]] = (),
    ):
        self.cells = [dict(cell) for cell in cells]
        self.references = [dict(cell) for cell in references]
        self.missing = [dict(cell) for cell in missing]
        self.variants = dict(variants or {})
        self.resamples, self.seed = resamples, seed
        self._paths = dict(paths or {})
        self._given = dict(frames or {})
        self._read: dict[tuple, pd.DataFrame] = {}

    @property
    def here(self) -> str:
        """The models and splits of the cells, for titles."""
        names = [dict.fromkeys(cell[key] for cell in self.cells) for key in ("model", "split")]
        # With a space at which lines are not broken.
        return ",\N{NO-BREAK SPACE}".join("/".join(map(str, found)) for found in names)

    def frame(self, name: str, **where: Any) -> pd.DataFrame:
        """The rows of a frame, of all cells with their keys; empty where there is none.

        Args:
            name: of a frame of cells, or of a table of the report (its rows of the models and
                splits of the cells).
            where: column -> the value that it has in the rows.

        Raises:
            DataError: a file is missing.
            DamagedError: a file is damaged.
        """
        key = (name, *sorted(where.items()))
        if key not in self._read:
            if name in self._given or name not in OF_CELLS:
                whole = self._given[name] if name in self._given else self._table(name)
                for column, value in where.items():
                    whole = whole[whole[column].eq(value)] if len(whole) else whole
                self._read[key] = whole
            else:
                self._read[key] = self._of_cells(name, where)
        return self._read[key]

    def has(self, name: str) -> bool:
        """Whether there is anything of a frame, for any cell."""
        given = self._paths.get(name) or []
        return name in self._given or any(path is not None for path in given)

    def path(self, name: str) -> Path:
        """The file of a name of `registry.OUTSIDE`."""
        return Path(self._paths[name])

    def _of_cells(self, name: str, where: Mapping[str, Any]) -> pd.DataFrame:
        pairs = list(self._pairs(self.cells, name))
        if name == "metrics":
            pairs = [*self._pairs(self.references, "references"), *pairs]
        # Files of reference models that name themselves.
        pairs += [({}, path) for path in self._paths.get(f"{name}_references") or []]
        found = []
        for cell, path in pairs:
            rows = frames.read(path, **where)
            found.append(rows if CELL[0] in rows else frames.with_cell(rows, cell))
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    def _pairs(self, cells: Sequence[dict], name: str) -> list[tuple[dict, Any]]:
        """Cells and their files, without those that have none."""
        paths = self._paths.get(name) or [None] * len(cells)
        return [pair for pair in zip(cells, paths, strict=True) if pair[1] is not None]

    def _table(self, name: str) -> pd.DataFrame:
        if not self._paths.get(name):
            return pd.DataFrame()
        table = pd.read_csv(self._paths[name])
        places = {(cell["model"], cell["split"]) for cell in self.cells}
        here = [pair in places for pair in zip(table["model"], table["split"], strict=True)]
        return table[here]

    def objective(self, variant: str) -> str:
        """The objective that a variant is a setting of; its own name where nothing is known."""
        return Path(str(self.variants.get(variant, {}).get("name", variant))).stem

    def families(self) -> dict[str, list[str]]:
        """Objective -> its variants among the cells, that which stands for it first: the one of
        its name, else the first one of the configuration.
        """
        found: dict[str, list[str]] = {}
        for variant in dict.fromkeys(cell["objective"] for cell in self.cells):
            found.setdefault(self.objective(variant), []).append(variant)
        return {
            objective: sorted(names, key=lambda name: name != objective)
            for objective, names in found.items()
        }

    def having(self, **where: Any) -> list[dict]:
        """The cells that have some values of their keys."""
        return [c for c in self.cells if all(c[key] == value for key, value in where.items())]

    def names(self, key: str, **where: Any) -> list[str]:
        """The values of a key among the cells that have some values of others, in their order."""
        return list(dict.fromkeys(cell[key] for cell in self.having(**where)))

    def gaps(self, name: str, **where: Any) -> list[str]:
        """What a reader of a figure has to know about cells without numbers, a text for each.

        Args:
            name: of the frame that is drawn.
            where: the cells that are drawn, by their keys.
        """
        # Of the largest table, the part that figures read.
        frame = self.frame(name, component=TOTAL) if name == "instances" else self.frame(name)
        keys = frame[CELL].drop_duplicates() if len(frame) else pd.DataFrame(columns=CELL)
        there = set(keys.itertuples(index=False, name=None))
        diverged = self.diverged_steps()
        cells = self.having(**where)
        several = [key for key in ("model", "split") if len({cell[key] for cell in cells}) > 1]
        found, seeds = [], Counter(tuple(c[key] for key in of_cells.ROW) for c in cells)

        def named(row: Mapping[str, Any]) -> str:
            place = ", ".join(row[key] for key in several)
            return f"{row['objective']}+{row['regularizer']}{f' ({place})' if place else ''}"

        for cell in cells:
            run, key = f"{named(cell)} seed {cell['seed']}", tuple(cell[key] for key in CELL)
            if key in diverged:
                found.append(f"{run} diverged at step {diverged[key]}")
            elif key not in there:
                found.append(f"{run} is missing")
        most = max(seeds.values(), default=0)
        # A sweep has fewer seeds by design, and is compared by the seeds that it has.
        standing = {names[0] for names in self.families().values()}
        for key, number in seeds.items():
            row = dict(zip(of_cells.ROW, key, strict=True))
            if number < most and row["objective"] in standing:
                found.append(f"{named(row)} has {number} of {most} seeds")
        return found

    def status(self) -> pd.DataFrame:
        """CELL and `status` of each cell: ok, diverged (by its training log), or missing.

        And of those reference models that do not exist, which are missing.
        """
        logs = [*([None] * len(self.missing)), *self._training()]
        return of_cells.status([*self.missing, *self.cells], logs)

    def diverged_steps(self) -> dict[tuple, int]:
        """CELL -> the step that ended the run, of those that diverged."""
        return of_cells.diverged_steps(self.cells, self._training())

    def _training(self) -> list[pd.DataFrame | None]:
        """The training log of every cell, None where there is none."""
        log = self.frame("training")
        groups = dict(list(log.groupby(CELL, sort=False))) if len(log) else {}
        return [groups.get(tuple(cell[key] for key in CELL)) for cell in self.cells]

    def records(self) -> list[tuple[dict, str, dict]]:
        """(cell, stage, content) of every record, the reference models first.

        Raises:
            DataError: a file is missing.
            DamagedError: a file is damaged.
        """
        found = [
            (cell, "evaluate", files.read_json(path))
            for cell, path in self._pairs(self.references, "reference_records")
        ]
        for stage, _ in STAGES.values():
            found += [(cell, stage, record) for cell, record in self.records_of(stage)]
        return found

    def records_of(self, stage: str) -> list[tuple[dict, dict]]:
        """(cell, content) of the records of one stage of cells; raises as `records`."""
        (name,) = (name for name, (its, _) in STAGES.items() if its == stage)
        return [(cell, files.read_json(path)) for cell, path in self._pairs(self.cells, name)]
