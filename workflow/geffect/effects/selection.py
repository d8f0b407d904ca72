"""Leaves out, in every update, the label tokens that would harm retention most.

A descent step on an objective moves the risk of retained data by -η Σ w_i e_i over the batch's
tokens, with e_i = ∇R(D_r) · ∇log p_i and w_i the objective's weight: tokens of the most negative
w_i e_i raise that risk most. They are found by the engine's own token effects, against the risk of
some retain *training* rows. `random` and `logp` (the least probable tokens) are there to compare.

Cost of an update by `e_retain`: the gradient of the risk over `rows` rows (every `every` updates),
and a forward-mode pass over the batch, about one forward and backward pass each over its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from geffect.cells.cell import Cell
from geffect.data.batches import IGNORED, Batch
from geffect.data.draws import generator
from geffect.effects.gradients import Directions, gradient
from geffect.effects.tokens import token_effects
from geffect.losses.loss import RISK, Loss
from geffect.losses.view import View, next_tokens
from geffect.models.compute import input_device


@dataclass(frozen=True)
class SelectionSettings:
    """How tokens are left out; the key `tokens` of an objective's variant.

    Attributes:
        drop: the share of a batch's label tokens that is left out.
        by: "e_retain", "logp" (the least probable) or "random".
        every: updates between two gradients of the retain risk.
        rows: how many retain training rows that risk is taken over, drawn once per cell.
    """

    drop: float
    by: str = "e_retain"
    every: int = 1
    rows: int = 40


class TokenSelection:
    """Chooses the label tokens of an objective's batches that count.

    Args:
        cell: whose objective it is; its retain training rows are drawn from its seed.
        objective: bound to θ_o, if it looks at that.
        settings: how many tokens are left out, and which.
        micro_batch_size: rows at once for the retain risk; a matter of memory only.
    """

    def __init__(
        self, cell: Cell, objective: Loss, settings: SelectionSettings, micro_batch_size: int
    ):
        self.objective, self.settings, self.seed = objective, settings, cell.seed
        self.micro_batch_size = micro_batch_size
        rows = min(settings.rows, len(cell.retain))
        drawn = generator(cell.seed, "token selection").choice(
            len(cell.retain), size=rows, replace=False
        )
        self.retain = [cell.retain[int(row)] for row in drawn]
        self._directions: Directions | None = None

    def __call__(self, model: PreTrainedModel, batches: Sequence[Batch], step: int) -> list[Batch]:
        """The batches of one effective batch without the tokens that are left out.

        Of n label tokens in all batches together, ⌊drop · n⌋ lose their label. The model is left
        as it was.

        Args:
            step: of the update, 1 ...; for a G-effect, the updates done.
        """
        was_training = model.training
        model.eval()
        try:
            here = [batch.to(input_device(model)) for batch in batches]
            scores = [self._scores(model, batch, step, k) for k, batch in enumerate(here)]
        finally:
            model.train(was_training)
        labelled = [next_tokens(batch) != IGNORED for batch in here]
        pooled = torch.cat([s[mask] for s, mask in zip(scores, labelled, strict=True)])
        number = int(self.settings.drop * len(pooled))
        dropped = torch.zeros_like(pooled, dtype=torch.bool)
        dropped[pooled.argsort(stable=True)[:number]] = True
        parts = dropped.split([int(mask.sum()) for mask in labelled])
        return [_without(b, m, d) for b, m, d in zip(here, labelled, parts, strict=True)]

    def _scores(self, model: PreTrainedModel, batch: Batch, step: int, number: int) -> Tensor:
        """[B, T]; the lowest are left out."""
        if self.settings.by == "random":
            rng = generator(self.seed, f"token selection {step} {number}")
            shape = next_tokens(batch).shape
            return torch.from_numpy(rng.random(tuple(shape))).to(batch.labels.device)
        if self.settings.by == "logp":
            with torch.no_grad():
                return RISK.view(model, batch).logp
        if self._directions is None or (step - 1) % self.settings.every == 0:
            risk = gradient(model, RISK, self.retain, self.micro_batch_size, "retain rows")[1]
            self._directions = Directions({"retain": risk})
        logp, effects = token_effects(model, batch, self._directions)
        return effects["retain"] * self._weights(model, batch, logp)

    def _weights(self, model: PreTrainedModel, batch: Batch, logp: Tensor) -> Tensor | float:
        if self.objective.weights is None:
            return 1.0
        with torch.no_grad():
            seen: View = self.objective.view(model, batch)
            weights = self.objective.weight(seen)
        return weights if self.objective.reduction == "token" else weights[:, None]


def _without(batch: Batch, labelled: Tensor, dropped: Tensor) -> Batch:
    """A batch in which some of its label tokens, in order of rows and positions, have no label."""
    gone = torch.zeros_like(labelled)
    gone[labelled] = dropped
    labels = batch.labels.clone()
    # Position t predicts the label at t + 1.
    labels[:, batch.start + 1 :][gone[:, :-1]] = IGNORED
    return replace(batch, labels=labels)
