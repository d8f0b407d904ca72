"""G-effects along a training that somebody else ran, as the tables that a cell leaves behind.

How objective, regularizer and weight decay share the displacement of a step is known only where it
is made, in the workflow's own loop. Elsewhere the whole displacement is one term, `combined`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect import frames
from geffect.cells.given import GivenCell
from geffect.data.encoding import Example
from geffect.effects.gradients import Gradient, places
from geffect.effects.measure import check_given
from geffect.effects.measurement import Measurement
from geffect.effects.tuned import check_parameters, is_lora_alone
from geffect.errors import ConfigError
from geffect.losses.loss import Loss
from geffect.models.adapters import is_adapted
from geffect.models.components import component_map
from geffect.names import (
    ADAPTER,
    COMBINED,
    EFFECT_DATASETS,
    MERGED,
    NO_REGULARIZER,
    OBJECTIVE,
    REGULARIZER,
    TOTAL,
)

SPLIT = "given"
"""The value of the column `split`, where none is told."""


class GivenMeasurement(Measurement):
    """The measurement of rows and losses that somebody else trains with.

    Args:
        objective, regularizer: the losses; regularizer None for none.
        forget: D_u.
        retain: the rows of the retain risk.
        objective_rows: those of the objective's own gradient; `forget` by default.
        regularizer_rows: those of the regularizer's; `retain` by default.
        control_vector: RMU's u [d], for losses that need it.
        decode: token ids -> text; needed with `tokens`.
        micro_batch_size: rows at once; a matter of memory only.
        instances, tokens: whether to make these tables too.
        change: see `Measurement`.
        components: those that the tables keep, such as `total` or `layer.1`; None for all.
        parameters: of a model with adapters: "adapter", whatever is trainable, or "merged", the
            weights that plain LoRA is merged into (`tuned.check_coordinates`).

    Raises:
        ConfigError: a loss needs u, or the objective rows with refusals, and they are not given;
            there are no such `parameters`.
        DataError: a data set is empty, or one of its rows has no label token.
    """

    def __init__(
        self,
        objective: Loss,
        regularizer: Loss | None,
        forget: Sequence[Example],
        retain: Sequence[Example],
        *,
        objective_rows: Sequence[Example] | None = None,
        regularizer_rows: Sequence[Example] | None = None,
        control_vector: torch.Tensor | None = None,
        decode: Callable[[Sequence[int]], str] | None = None,
        micro_batch_size: int = 8,
        instances: bool = False,
        tokens: bool = False,
        change: str = "trapezoid",
        components: Sequence[str] | None = None,
        parameters: str = ADAPTER,
    ):
        check_parameters(parameters)
        given = {OBJECTIVE: objective} | ({} if regularizer is None else {REGULARIZER: regularizer})
        check_given(given, control_vector, objective_rows, "objective_rows")
        cell = GivenCell(
            objective,
            regularizer,
            forget,
            forget if objective_rows is None else objective_rows,
            retain if regularizer_rows is None else regularizer_rows,
            decode,
        )
        draws = cell.given_draws(control_vector)
        super().__init__(
            cell,
            draws,
            {},
            retain,
            micro_batch_size,
            instances,
            tokens,
            change=change,
            parameters=parameters,
        )
        self.kept = None if components is None else list(components)
        self.names = {
            kind: given[kind].name if kind in given else NO_REGULARIZER
            for kind in (OBJECTIVE, REGULARIZER)
        }

    def begin(self, start: PreTrainedModel, original: PreTrainedModel | None = None) -> None:
        """Call before `at`, as of `Measurement`.

        Raises:
            ConfigError: there is no such component.
            LossError: as of `Measurement`.
        """
        known = places(component_map(start))
        for name in self.kept or ():
            if name not in known:
                raise ConfigError(
                    f"component {name!r}: unknown{ConfigError.suggestion(name, known)}"
                )
        super().begin(start, original)

    def at(
        self,
        model: PreTrainedModel,
        step: int,
        moved: Mapping[str, Gradient] = MappingProxyType({}),
    ) -> None:
        """Measures at a model's weights, as of `Measurement`.

        What is trained beside LoRA, or instead of it, is measured as it is.
        """
        if self.parameters == MERGED or is_lora_alone(model) or not is_adapted(model):
            super().at(model, step, moved)
        else:
            self._measure(model, step, moved)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of `Measurement.tables`, of the kept components.

        In `risk` the term `combined` stands for the whole displacement between two measured steps,
        whatever made it; no share of a term is known, so none is there.
        """
        tables = super().tables()
        tables["risk"]["term"] = tables["risk"]["term"].replace(OBJECTIVE, COMBINED)
        if self.kept is None:
            return tables
        return {
            name: table[table["component"].isin(self.kept)].reset_index(drop=True)
            if "component" in table
            else table
            for name, table in tables.items()
        }

    def totals(self) -> dict[str, float]:
        """What the last measured step has to tell, of the whole model, by a name for a log.

        `TERM/DATASET` (G-effects), `risk/DATASET`, and since the step before
        `measured_change/DATASET` and `predicted_change/DATASET`; without what is missing.
        """
        effects = self.parts["geffect"][-1]
        effects = effects[effects["component"].eq(TOTAL)]
        found = {f"{r.term}/{r.dataset}": r.geffect for r in effects.itertuples()}
        *before, last = self.parts["risk"]
        wanted = [(last, "risk")]
        wanted += [(before[-1], f"{kind}_change") for kind in ("measured", "predicted") if before]
        for table, column in wanted:
            whole = table[table["component"].eq(TOTAL) & table["term"].eq(OBJECTIVE)]
            values = whole.set_index("dataset")[column]
            found |= {f"{column}/{dataset}": values[dataset] for dataset in EFFECT_DATASETS}
        return {name: float(value) for name, value in found.items() if pd.notna(value)}

    def write(self, folder: str | Path, key: Mapping[str, Any]) -> list[Path]:
        """Writes everything measured so far, each table to a file; returns their paths.

        Args:
            folder: exists.
            key: the keys of a cell that `cell_key` gives.
        """
        tables = self.tables()
        paths = {name: Path(folder) / f"{name}.parquet" for name in tables}
        for name, table in tables.items():
            frames.write(frames.with_cell(table, key), paths[name])
        return list(paths.values())

    def cell_key(self, model: str, seed: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """The five columns that name a cell in every table; `given` comes first.

        Raises:
            ConfigError: it gives another column.
        """
        found = {"model": model, "split": SPLIT, **self.names, "seed": seed}
        for name in given:
            if name not in found:
                raise ConfigError(f"key {name!r}: unknown{ConfigError.suggestion(name, found)}")
        return found | dict(given)


def make_folder(folder: str | Path) -> Path:
    """Makes the folder that tables are written to.

    Raises:
        ConfigError: it is a file, or cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"no folder to write to ({error.strerror}); name another"
        raise ConfigError(f"{folder}: {why}") from error
    return folder
