"""What a loss sees of a batch, and how sums become means.

A loss (an unlearning objective, a regularizer, the risk) is a pure function of a `View` and
returns a `Sum`: a differentiable total and a count. The mean pools all of a batch (training) or
of a data set (G-effects): micro-batches are summed and divided by the global count, so how they
are split changes nothing.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geffect.encoding import IGNORED, Batch
from geffect.registry import REFERENCE_NEEDS


@dataclass(frozen=True)
class Sum:
    """A total (scalar tensor, differentiable) and the number of terms in it."""

    total: Tensor
    count: int

    @property
    def mean(self) -> Tensor:
        return self.total / self.count


@dataclass(frozen=True)
class View:
    """A batch as a loss sees it, at the T positions from `Batch.start` to the batch's end.

    All tensors stand at the position that *predicts* a token. The logits of positions before the
    first label of any sample (the questions) are never computed.

    Attributes:
        mask: bool [B, T], True where a label token is predicted.
        logp: [B, T], log p(y_i | x, y_<i; θ) in nats, 0 outside the mask.
        logits: [B, T, V].
        logp_ref: [B, T], the same as `logp` under the original model (need `reference_logp`).
        logits_ref: [B, T, V] (need `reference_logits`).
        hidden: [B, T, d], φ_l (need `hidden_states`).
        hidden_ref: [B, T, d] (need `reference_hidden_states`).
        control: [d], RMU's direction (need `control_vector`).
    """

    mask: Tensor
    logp: Tensor
    logits: Tensor
    logp_ref: Tensor | None = None
    logits_ref: Tensor | None = None
    hidden: Tensor | None = None
    hidden_ref: Tensor | None = None
    control: Tensor | None = None

    def over_tokens(self, values: Tensor) -> Sum:
        """Pools per-token values [B, T] over the label tokens."""
        return Sum(values.masked_fill(~self.mask, 0).sum(), int(self.mask.sum()))

    def over_samples(self, values: Tensor) -> Sum:
        """Pools per-sample values [B]."""
        return Sum(values.sum(), len(values))

    def per_sample(self, values: Tensor) -> Tensor:
        """Sums per-token values [B, T] over each sample's label tokens: [B]."""
        return values.masked_fill(~self.mask, 0).sum(dim=1)


def risk(view: View) -> Sum:
    """R(D; θ) = mean over label tokens of - log p(y_i | x, y_<i; θ), in nats (PAPER, G-effect)."""
    return view.over_tokens(-view.logp)


def count(batch: Batch, reduction: str) -> int:
    """The number of terms that a loss with this reduction pools over a batch."""
    return len(batch.input_ids) if reduction == "sample" else batch.label_count


def next_tokens(batch: Batch) -> Tensor:
    """The label that each position from `batch.start` on predicts [B, T], -100 where none."""
    shifted = torch.full_like(batch.labels, IGNORED)
    shifted[:, :-1] = batch.labels[:, 1:]
    return shifted[:, batch.start :]


def log_probabilities(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Label log-probabilities [B, T] (0 outside) and their mask, from logits [B, T, V].

    T counts the positions from `batch.start` on. Half-precision logits are raised to float32 first.
    """
    targets = next_tokens(batch)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    nll = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -nll.view_as(targets), targets != IGNORED


def forward(model, batch: Batch, hidden_states: bool = False):
    """The model's output on a batch; its logits start at position `batch.start`."""
    return model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        output_hidden_states=hidden_states,
        logits_to_keep=batch.input_ids.shape[1] - batch.start,
        use_cache=False,
    )


@torch.no_grad()
def with_reference(reference, batch: Batch) -> Batch:
    """The batch with the original model's label log-probabilities, which never change."""
    logits = forward(reference, batch).logits
    return replace(batch, logp_ref=log_probabilities(logits, batch)[0])


def view(model, batch: Batch, needs=frozenset(), layer=None, reference=None, control=None) -> View:
    """Runs the model (and, where needed, the original model) on a batch.

    Args:
        model: a Hugging Face causal language model.
        batch: right-padded token ids and labels on the model's device.
        needs: what the loss declares (`registry.NEEDS`).
        layer: l of φ_l, for losses that need hidden states.
        reference: the original model θ_o, for losses that need it; no gradient flows into it. It is
            not run for log-probabilities that the batch brings along.
        control: [d], RMU's direction.
    """
    hidden = bool(needs & {"hidden_states", "control_vector"})
    outputs = forward(model, batch, hidden)
    logp, mask = log_probabilities(outputs.logits, batch)
    if batch.all_positions:
        mask = torch.ones_like(mask)
    extra, looked_at = {}, needs & REFERENCE_NEEDS
    if "reference_logp" in needs and batch.logp_ref is not None:
        extra["logp_ref"] = batch.logp_ref
        looked_at -= {"reference_logp"}
    if looked_at:
        with torch.no_grad():
            original = forward(reference, batch, "reference_hidden_states" in needs)
        if "reference_logp" in looked_at:
            extra["logp_ref"] = log_probabilities(original.logits, batch)[0]
        if "reference_logits" in needs:
            extra["logits_ref"] = original.logits
        if "reference_hidden_states" in needs:
            extra["hidden_ref"] = original.hidden_states[layer][:, batch.start :]
    if hidden:
        extra["hidden"] = outputs.hidden_states[layer][:, batch.start :]
    if "control_vector" in needs:
        extra["control"] = control.to(extra["hidden"])
    return View(mask=mask, logp=logp, logits=outputs.logits, **extra)
