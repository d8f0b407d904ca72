"""One cell: which losses it trains with and measures, over which rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from geffect.cells.draws import Draws
from geffect.data.draws import generator, order, pairing
from geffect.data.encoding import Encoder, Example
from geffect.data.rows import read_rows, trainable
from geffect.errors import DataError
from geffect.losses.loss import Loss
from geffect.names import OBJECTIVE, REGULARIZER


class Cell:
    """The data and losses of a cell.

    Args:
        encoder: encodes this model's examples.
        forget: the rows of D_u.
        retain: the retain rows that may be trained on (held-out rows excluded).
        refusals: the texts that PO draws from.
        objective, regularizer: the losses; regularizer None for `none`.
        seed: of everything that is drawn.

    Attributes:
        losses: `objective` and perhaps `regularizer`.
    """

    def __init__(
        self,
        encoder: Encoder,
        forget: Sequence[dict],
        retain: Sequence[dict],
        refusals: Sequence[str],
        objective: Loss,
        regularizer: Loss | None,
        seed: int,
    ):
        self.encoder, self.seed = encoder, seed
        self.forget_rows, self.retain_rows, self.refusals = forget, retain, refusals
        self.losses = {OBJECTIVE: objective}
        if regularizer is not None:
            self.losses[REGULARIZER] = regularizer

    @classmethod
    def of_job(cls, model: str | Path, files: Any, settings: Any, key: Any) -> "Cell":
        """A cell from its tables and its resolved configuration.

        Args:
            model: the folder whose tokenizer is used.
            files: has the paths `forget`, `retain` and `refusals`.
            settings: has `template` (arguments of `Template`), `objective` and `regularizer`
                (arguments of `Loss.load`; regularizer None for `none`), and `held_out_rows`, the
                number of first rows that are kept from unlearning.
            key: has `seed`.
        """
        regularizer = settings.regularizer
        return cls(
            Encoder.of(model, settings.template),
            read_rows(files.forget),
            trainable(read_rows(files.retain), settings.held_out_rows),
            [row["text"] for row in read_rows(files.refusals)],
            Loss.load(OBJECTIVE, **settings.objective),
            None if regularizer is None else Loss.load(REGULARIZER, **regularizer),
            int(key.seed),
        )

    @property
    def objective(self) -> Loss:
        """The unlearning objective."""
        return self.losses[OBJECTIVE]

    @property
    def trains_on_refusals(self) -> bool:
        """Whether the objective's labels are refusals instead of answers."""
        return "refusals" in self.objective.needs

    @cached_property
    def forget(self) -> list[Example]:
        """D_u, encoded."""
        return self.encoder.rows(self.forget_rows, "forget rows")

    @cached_property
    def retain(self) -> list[Example]:
        """The retain rows that may be trained on, encoded."""
        return self.encoder.rows(self.retain_rows, "retain rows")

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens."""
        return str(self.encoder.tokenizer.decode(list(ids)))

    def draw(self, hidden: int) -> Draws:
        """This cell's draws, for a model of hidden dimension `hidden`."""
        counts = (len(self.forget_rows), len(self.retain_rows), len(self.refusals))
        return Draws.draw(self.seed, hidden, *counts)

    def refused(self, row: int, refusal: int) -> Example:
        """Forget row `row` with a refusal as its answer."""
        return self._refused(self.forget_rows[row], refusal)

    def paired(self, row: int, refusal: int) -> Example:
        """Forget row `row` with a refusal beside its answer."""
        return replace(self.forget[row], refusal=self.refused(row, refusal))

    def paired_retain(self, row: int, refusal: int) -> Example:
        """Retain row `row` with a refusal beside its answer."""
        return replace(self.retain[row], refusal=self._refused(self.retain_rows[row], refusal))

    def _refused(self, row: Mapping, refusal: int) -> Example:
        if not row["question"]:
            raise DataError(
                f"row {row['row']} is running text: there is no question to refuse; leave out "
                "losses that look at refusals, or give it a question"
            )
        return self.encoder(row["question"], self.refusals[refusal])

    def visits(
        self, steps: int, batch_size: int, length_bucket: int = 0
    ) -> Mapping[str, Callable[[int], list[Example]]]:
        """Loss -> step (1..`steps`) -> its examples in the unlearning run.

        Every forget sample is paired with a retain sample. The order of rows and their partners
        depend on seed and split only, so that the objectives of a comparison see the same batches.
        """
        shape = (steps, batch_size)
        rows = order(
            len(self.forget),
            steps,
            batch_size,
            generator(self.seed, "forget order"),
            [len(example) for example in self.forget],
            length_bucket,
        )
        partners = pairing(len(self.retain), shape, generator(self.seed, "retain pairs"))
        drawn = pairing(len(self.refusals), shape, generator(self.seed, "refusals"))
        regularizer = self.losses.get(REGULARIZER)
        pairs_retain = regularizer is not None and regularizer.pairs_refusals
        of_retain = (
            pairing(len(self.refusals), shape, generator(self.seed, "retain refusals"))
            if pairs_retain
            else None
        )

        def forget(step: int) -> list[Example]:
            pairs = zip(rows[step - 1], drawn[step - 1], strict=True)
            if self.trains_on_refusals:
                return [self.refused(row, refusal) for row, refusal in pairs]
            if self.objective.pairs_refusals:
                return [self.paired(row, refusal) for row, refusal in pairs]
            return [self.forget[row] for row in rows[step - 1]]

        def retain(step: int) -> list[Example]:
            if of_retain is not None:
                pairs = zip(partners[step - 1], of_retain[step - 1], strict=True)
                return [self.paired_retain(row, refusal) for row, refusal in pairs]
            return [self.retain[row] for row in partners[step - 1]]

        return {OBJECTIVE: forget, REGULARIZER: retain}

    def measured(self, draws: Draws) -> list[Example]:
        """The examples of the objective's G-effect: D_u, with refusals if it looks at those."""
        refusals = enumerate(draws.refusals)
        if self.trains_on_refusals:
            return [self.refused(row, int(r)) for row, r in refusals]
        if self.objective.pairs_refusals:
            return [self.paired(row, int(r)) for row, r in refusals]
        return self.forget

    def sample(self, draws: Draws, pairs: bool = False) -> list[Example]:
        """The cell's fixed sample of |D_u| retain rows for a regularizer's own gradient.

        With `pairs` each has a refusal beside its answer.
        """
        if pairs:
            drawn = zip(draws.regularizer_rows, draws.refusals, strict=True)
            return [self.paired_retain(int(row), int(refusal)) for row, refusal in drawn]
        return [self.retain[int(row)] for row in draws.regularizer_rows]
