"""One cell: (model, split, objective, regularizer, seed) as terms for training and G-effects."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from geffect import files, registry, training
from geffect.encoding import Encoder, Example
from geffect.errors import DamagedError
from geffect.rows import read_rows, trainable
from geffect.training import Settings, Term, generator


@dataclass(frozen=True)
class Loss:
    """A registered loss as a cell uses it: its name, hyper-parameters and coefficient λ."""

    name: str
    hyper: dict
    coefficient: float = 1.0
    positions: str = "labels"


@dataclass(frozen=True)
class Draws:
    """What a cell draws once: RMU's direction, and the rows and refusals of its G-effects.

    Attributes:
        control_vector: float32 [d], uniform on [0, 1).
        regularizer_rows: int64 [|D_u|], indices into the retain training rows.
        refusals: int64 [|D_u|], the refusal that stands for each forget row's answer.
    """

    control_vector: torch.Tensor
    regularizer_rows: torch.Tensor
    refusals: torch.Tensor

    @classmethod
    def draw(cls, seed: int, hidden: int, forget: int, retain: int, refusals: int) -> "Draws":
        rng = generator(seed, "draws")
        rows = rng.choice(retain, size=forget, replace=forget > retain)
        return cls(
            control_vector=torch.from_numpy(rng.random(hidden, dtype="float32")),
            regularizer_rows=torch.from_numpy(rows),
            refusals=torch.from_numpy(rng.integers(refusals, size=forget)),
        )

    def save(self, path) -> None:
        with files.written(path) as partial:
            save_file(vars(self), partial)

    @classmethod
    def load(cls, path) -> "Draws":
        try:
            return cls(**load_file(path))
        except SafetensorError as error:
            raise DamagedError(path, f"is damaged ({error})") from error


class Cell:
    """The data and losses of a cell.

    Args:
        encoder: encodes this model's examples.
        forget: the rows of D_u.
        retain: the retain rows that may be trained on (held-out rows excluded).
        refusals: the texts that PO draws from.
        objective, regularizer: the losses; regularizer None for `none`.
        seed: of everything that is drawn.
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
        self.objective, self.regularizer = objective, regularizer

    @classmethod
    def of_job(cls, model, files, settings, key) -> "Cell":
        """A cell from its tables and its resolved configuration.

        Args:
            model: the folder whose tokenizer is used.
            files: has the paths `forget`, `retain` and `refusals`.
            settings: has `template` (arguments of `Template`), `objective` and `regularizer`
                (arguments of `Loss`; regularizer None for `none`), and `held_out`, the number of
                first rows that are kept from unlearning.
            key: has `seed`.
        """
        regularizer = settings.regularizer
        return cls(
            Encoder.of(model, settings.template),
            read_rows(files.forget),
            trainable(read_rows(files.retain), settings.held_out),
            [row["text"] for row in read_rows(files.refusals)],
            Loss(**settings.objective),
            None if regularizer is None else Loss(**regularizer),
            int(key.seed),
        )

    @cached_property
    def forget(self) -> list[Example]:
        return self.encoder.rows(self.forget_rows, "forget rows")

    @cached_property
    def retain(self) -> list[Example]:
        return self.encoder.rows(self.retain_rows, "retain rows")

    @property
    def needs(self) -> frozenset:
        """What the cell's losses look at (`registry.NEEDS`)."""
        losses = [("objective", self.objective), ("regularizer", self.regularizer)]
        specs = [registry.get(kind, loss.name) for kind, loss in losses if loss is not None]
        return frozenset().union(*(spec.needs for spec in specs))

    def draw(self, hidden: int) -> Draws:
        """This cell's draws, for a model of hidden dimension `hidden`."""
        counts = (len(self.forget_rows), len(self.retain_rows), len(self.refusals))
        return Draws.draw(self.seed, hidden, *counts)

    def refused(self, row: int, refusal: int) -> Example:
        """Forget row `row` with a refusal as its answer."""
        return self.encoder(self.forget_rows[row]["question"], self.refusals[refusal])

    def training_terms(self, settings: Settings) -> list[Term]:
        """The terms of the unlearning run; every forget sample is paired with a retain sample.

        The order of rows and their partners depend on seed and split only, so that the
        objectives of a comparison see the same batches.
        """
        steps, size = settings.steps(len(self.forget)), settings.batch_size
        shape = (steps, size)
        rows = training.order(
            len(self.forget),
            steps,
            size,
            generator(self.seed, "forget order"),
            [len(example) for example in self.forget],
            settings.length_bucket,
        )
        partners = training.pairing(len(self.retain), shape, generator(self.seed, "retain pairs"))
        drawn = training.pairing(len(self.refusals), shape, generator(self.seed, "refusals"))
        spec = registry.get("objective", self.objective.name)

        def objective(step: int) -> list[Example]:
            if "refusals" in spec.needs:
                pairs = zip(rows[step - 1], drawn[step - 1], strict=True)
                return [self.refused(row, refusal) for row, refusal in pairs]
            return [self.forget[row] for row in rows[step - 1]]

        def regularizer(step: int) -> list[Example]:
            return [self.retain[row] for row in partners[step - 1]]

        return self._terms(objective, regularizer)

    def effect_terms(self, draws: Draws) -> dict[str, Term]:
        """The same losses over all of D_u, and over one fixed sample of |D_u| retain rows."""
        spec = registry.get("objective", self.objective.name)

        def objective(step: int) -> list[Example]:
            if "refusals" in spec.needs:
                return [self.refused(row, int(r)) for row, r in enumerate(draws.refusals)]
            return self.forget

        terms = self._terms(objective, lambda step: self.sample(draws))
        return {term.name: term for term in terms}

    def sample(self, draws: Draws) -> list[Example]:
        """The cell's fixed sample of retain rows for the regularizer's own gradient."""
        return [self.retain[int(row)] for row in draws.regularizer_rows]

    def probe(self, loss: Loss, draws: Draws) -> Term:
        """A regularizer that this cell does not train with, on the cell's fixed sample."""
        return _term("regularizer", loss, lambda step: self.sample(draws))

    def _terms(self, objective, regularizer) -> list[Term]:
        terms = [_term("objective", self.objective, objective)]
        if self.regularizer is not None:
            terms.append(_term("regularizer", self.regularizer, regularizer))
        return terms


PADDED_LENGTH = 500  # TOFU's max_length, to which the authors pad every batch


def _term(kind: str, loss: Loss, select) -> Term:
    pad_to = PADDED_LENGTH if loss.positions == "all" else None
    spec = registry.get(kind, loss.name)
    return Term(kind, spec, loss.hyper, select, loss.coefficient, pad_to)
