"""What a cell draws once: RMU's direction, and the rows and refusals of its G-effects."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from geffect import files
from geffect.data.draws import generator
from geffect.errors import DamagedError


@dataclass(frozen=True)
class Draws:
    """What a cell draws once: RMU's direction, and the rows and refusals of its G-effects.

    Attributes:
        control_vector: float32 [d], uniform on [0, 1).
        regularizer_rows: int64 [|D_u|], indices into the retain training rows.
        refusals: int64 [|D_u|], the refusal that stands in for each forget row's answer.
    """

    control_vector: torch.Tensor
    regularizer_rows: torch.Tensor
    refusals: torch.Tensor

    @classmethod
    def draw(cls, seed: int, hidden: int, forget: int, retain: int, refusals: int) -> "Draws":
        """Draws for a model of hidden dimension `hidden`, from numbers of rows and refusals."""
        rng = generator(seed, "draws")
        rows = rng.choice(retain, size=forget, replace=forget > retain)
        return cls(
            control_vector=torch.from_numpy(rng.random(hidden, dtype="float32")),
            regularizer_rows=torch.from_numpy(rows),
            refusals=torch.from_numpy(rng.integers(refusals, size=forget)),
        )

    def save(self, path: str | Path) -> None:
        """Writes the draws as safetensors."""
        with files.written(path) as partial:
            save_file(vars(self), partial)

    @classmethod
    def load(cls, path: str | Path) -> "Draws":
        """Reads what `save` wrote.

        Raises:
            DamagedError: the file is truncated.
        """
        try:
            return cls(**load_file(path))
        except SafetensorError as error:
            raise DamagedError(path, f"is damaged ({error})") from error
