"""The original model's log-probabilities along a run, computed before it instead of beside it.

A run begins at θ_o. Logits and hidden states under θ_o are too large to keep, so that θ_o stays in
memory for losses that need them; log-probabilities of labels are not. Every step's micro-batches
are known beforehand, and are run exactly as they would be during the step: the values are those of
a θ_o that stays, bit for bit, and take the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from transformers import PreTrainedModel

from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.losses.loss import Loss
from geffect.losses.view import with_reference
from geffect.models.compute import input_device
from geffect.progress import Progress

Known = tuple[Tensor, Tensor | None]
"""Log-probabilities [B, T] of a micro-batch's labels, and those of the refusals beside them."""


class References:
    """The reference log-probabilities of those losses that are bound to no θ_o and need no more.

    Args:
        original: θ_o, in evaluation mode.
        losses: what the run minimises.
        visits: loss -> step -> its examples at that step.
        micro_batch_size: the run's.
        steps: those that the run takes from here on.
        what: the name of the run in progress lines.
    """

    def __init__(
        self,
        original: PreTrainedModel,
        losses: Mapping[str, Loss],
        visits: Mapping[str, Callable[[int], Sequence[Example]]],
        micro_batch_size: int,
        steps: range,
        what: str,
    ):
        self._known: dict[tuple[str, int], list[Known]] = {}
        wanting = [
            name
            for name, loss in losses.items()
            if loss.looks_at_original and not loss.keeps_original and loss.original is None
        ]
        if not wanting:
            return
        progress = Progress(f"{what}: reference log-probabilities", len(steps))
        for done, step in enumerate(steps, start=1):
            for name in wanting:
                parts = losses[name].batches(visits[name](step), micro_batch_size)
                self._known[name, step] = [self._of(original, part) for part in parts]
            progress.step(done)

    @staticmethod
    def _of(original: PreTrainedModel, part: Batch) -> Known:
        seen = with_reference(original, part.to(input_device(original)))
        assert seen.logp_ref is not None
        of_refusals = None if seen.refusal is None else seen.refusal.logp_ref
        return seen.logp_ref.cpu(), None if of_refusals is None else of_refusals.cpu()

    def attached(self, name: str, step: int, batches: Sequence[Batch]) -> Sequence[Batch]:
        """The micro-batches of a loss at a step with what is known of them."""
        known = self._known.pop((name, step), None)
        if known is None:
            return batches
        return [_with(batch, *values) for batch, values in zip(batches, known, strict=True)]


def _with(batch: Batch, logp: Tensor, of_refusals: Tensor | None) -> Batch:
    refusal = batch.refusal
    if refusal is not None:
        refusal = replace(refusal, logp_ref=of_refusals)
    return replace(batch, logp_ref=logp, refusal=refusal)
