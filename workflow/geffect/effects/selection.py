"""Leaves out, in every update, the label tokens whose unlearning would harm retention most.

A descent step on an objective changes the risk of retained data by -η Σ e_i over what its mean
pools, with e_i = ∇R(D_r) · ∇(its value at token i), which is w_i ∇R(D_r) · ∇log p_i for a
reweighted log-likelihood. Tokens of the most negative e_i raise that risk most. They are found by
the engine's own passes, against the risk of retain *training* rows: what is held out stays unseen.
Leaving out random tokens, the least probable ones, or those at which the model is least certain of
what comes (of the highest entropy), is there to compare with.

Cost by `e_retain`, in forward and backward passes: one over `rows` rows in every `every`-th update,
and about one over the batch in each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor
from transformers import PreTrainedModel

from geffect.cells.cell import Cell
from geffect.data.batches import IGNORED, Batch
from geffect.data.draws import generator
from geffect.effects.gradients import Directions, data_batches, gradient_over
from geffect.effects.tokens import token_effects, value_effects
from geffect.losses.loss import RISK, Loss
from geffect.losses.view import entropy, next_tokens
from geffect.models.compute import input_device
from geffect.names import RETAIN


@dataclass(frozen=True)
class SelectionSettings:
    """Which tokens are left out: the key `tokens` of an objective's variant.

    Attributes:
        drop: the share of a batch's label tokens that is left out, 0 to 1.
        by: "e_retain" (the most harmful), "logp" (the least probable), "entropy" (those at which
            the model's distribution has the highest) or "random".
        every: updates between two gradients of the retain risk.
        rows: number of retain training rows of that risk, drawn once per cell.
    """

    drop: float
    by: str
    every: int
    rows: int

    def dropped(self, number: int) -> int:
        """⌊drop · number⌋, of the decimal that was written: 0.29 · 100 is 29."""
        return math.floor(Fraction(str(self.drop)) * number)


class TokenSelection:
    """Chooses which label tokens of an objective's batches count.

    Args:
        cell: whose objective it is; the rows of the retain risk are drawn with its seed.
        objective: bound to θ_o, unless all batches carry their reference log-probabilities.
        settings: how many tokens are left out, and which.
        micro_batch_size: rows at once for the retain risk; a matter of memory only.
    """

    def __init__(
        self, cell: Cell, objective: Loss, settings: SelectionSettings, micro_batch_size: int
    ):
        self.objective, self.settings, self.seed = objective, settings, cell.seed
        drawn = generator(cell.seed, "token selection: retain rows").choice(
            len(cell.retain), size=settings.rows, replace=False
        )
        rows = [cell.retain[int(row)] for row in drawn]
        self.retain = data_batches(RISK, rows, micro_batch_size, "retain rows")
        self._directions: Directions | None = None

    def __call__(self, model: PreTrainedModel, batches: Sequence[Batch], step: int) -> list[Batch]:
        """The batches of one effective batch, with ⌊drop · n⌋ of their n label tokens unlabelled.

        Which ones does not depend on how the effective batch is split, and neither model nor state
        of the random numbers is changed.

        Args:
            model: in evaluation mode.
            step: of the update: 1, 2, ...
        """
        if self._directions is None or (step - 1) % self.settings.every == 0:
            self._directions = self._retain_risk(model)
        return self._without_worst(model, batches, self._directions, step)

    def at(self, model: PreTrainedModel, batches: Sequence[Batch], step: int) -> list[Batch]:
        """As a call for the update after step `step`, with the retain risk's gradient at `model`.

        This is what the G-effect of the wrapped objective looks at, all of D_u being one batch.
        """
        return self._without_worst(model, batches, self._retain_risk(model), step + 1)

    def _retain_risk(self, model: PreTrainedModel) -> Directions:
        if self.settings.by != "e_retain":
            return Directions({})
        return Directions({RETAIN: gradient_over(model, RISK, self.retain, "token selection")[1]})

    def _without_worst(
        self,
        model: PreTrainedModel,
        batches: Sequence[Batch],
        directions: Directions,
        step: int,
    ) -> list[Batch]:
        here = [batch.to(input_device(model)) for batch in batches]
        labelled = [next_tokens(batch) != IGNORED for batch in here]
        sizes = [int(mask.sum()) for mask in labelled]
        if self.settings.by == "random":
            rng = generator(self.seed, f"token selection: step {step}")
            scores = torch.from_numpy(rng.random(sum(sizes)))
        else:
            by_batch = [self._scores(model, batch, directions) for batch in here]
            scores = torch.cat([s[m] for s, m in zip(by_batch, labelled, strict=True)]).cpu()
        dropped = torch.zeros(sum(sizes), dtype=torch.bool)
        dropped[scores.argsort(stable=True)[: self.settings.dropped(sum(sizes))]] = True
        parts = dropped.split(sizes)
        return [_without(*args) for args in zip(here, labelled, parts, strict=True)]

    def _scores(self, model: PreTrainedModel, batch: Batch, directions: Directions) -> Tensor:
        """[B, T]; tokens of the lowest are left out."""
        if self.settings.by == "logp":
            with torch.no_grad():
                return RISK.view(model, batch).logp
        if self.settings.by == "entropy":
            with torch.no_grad():
                return -entropy(RISK.view(model, batch).distribution)
        if self.objective.weights is None:
            return value_effects(model, self.objective, batch, directions)[RETAIN]
        with torch.no_grad():
            seen = self.objective.view(model, batch)
            weight = seen.by_token(self.objective.weight(seen))
        found = token_effects(model, batch, directions)
        scores = weight * found.effects[RETAIN]
        if self.objective.looks_at_runner_up:
            others = seen.by_token(self.objective.runner_up_weight(seen))
            scores = scores + others * found.effects_runner_up[RETAIN]
        return scores


def _without(batch: Batch, labelled: Tensor, dropped: Tensor) -> Batch:
    """A batch in which some of its label tokens, in order of rows and positions, have no label."""
    gone = torch.zeros_like(labelled)
    gone[labelled] = dropped.to(labelled.device)
    labels = batch.labels.clone()
    # Position t predicts the label at t + 1.
    labels[:, batch.start + 1 :][gone[:, :-1]] = IGNORED
    return replace(batch, labels=labels)
