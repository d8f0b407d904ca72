"""A cell whose rows and losses somebody else brings, already encoded."""

from collections.abc import Callable, Sequence

import torch

from geffect.cells.cell import Cell
from geffect.cells.draws import Draws
from geffect.data.encoding import Example
from geffect.losses.loss import Loss
from geffect.names import OBJECTIVE, REGULARIZER


class GivenCell(Cell):
    """What `Measurement` looks at of a cell, without tokenizer, table or anything drawn.

    Args:
        objective, regularizer: the losses; regularizer None for none.
        forget: D_u.
        objective_rows: the rows of the objective's own gradient.
        regularizer_rows: those of the regularizer's.
        decode: token ids -> text; needed for tables of tokens.
    """

    def __init__(
        self,
        objective: Loss,
        regularizer: Loss | None,
        forget: Sequence[Example],
        objective_rows: Sequence[Example],
        regularizer_rows: Sequence[Example],
        decode: Callable[[Sequence[int]], str] | None = None,
    ):
        self.losses = {OBJECTIVE: objective}
        if regularizer is not None:
            self.losses[REGULARIZER] = regularizer
        self.forget = list(forget)
        self.forget_rows = [{"row": number} for number in range(len(forget))]
        self.objective_rows, self.regularizer_rows = objective_rows, regularizer_rows
        self._decode = decode

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""
        assert self._decode is not None
        return self._decode(ids)

    def given_draws(self, control_vector: torch.Tensor | None) -> Draws:
        """Draws in which nothing is drawn; RMU's u [d], where a loss needs it."""
        nothing = torch.empty(0, dtype=torch.int64)
        return Draws(torch.empty(0) if control_vector is None else control_vector, nothing, nothing)

    def measured(self, draws: Draws) -> list[Example]:
        """The examples of the objective's G-effect."""
        return list(self.objective_rows)

    def sample(self, draws: Draws, pairs: bool = False) -> list[Example]:
        """The examples of the regularizer's own gradient."""
        return list(self.regularizer_rows)
