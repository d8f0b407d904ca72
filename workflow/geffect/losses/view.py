"""What a loss sees of a batch: log-probabilities, logits and hidden states, also those of θ_o."""

from collections.abc import Set
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from geffect.data.batches import IGNORED, Batch
from geffect.losses.registry import ORIGINAL_NEEDS
from geffect.models.compute import autocast, raised


@dataclass(frozen=True)
class View:
    """A batch as a loss sees it, at the T positions from `Batch.start` to the batch's end.

    All tensors stand at the position that *predicts* a token. The logits of positions before the
    first label of any sample (the questions) are never computed. What was computed in half
    precision comes in float32.

    Attributes:
        mask: bool [B, T], True where a label token is predicted.
        logp: [B, T], log p(y_i | x, y_<i; θ) in nats, 0 outside the mask.
        labels: [B, T], the ids y_i, 0 outside the mask; None where only weights are asked for.
        logits: [B, T, V]; None where only weights are asked for.
        logp_ref: [B, T], the same as `logp` under the original model (need `reference_logp`).
        logits_ref: [B, T, V] (need `reference_logits`).
        hidden: [B, T, d], φ_l (need `hidden_states`).
        hidden_ref: [B, T, d] (need `reference_hidden_states`).
        control: [d], RMU's direction (need `control_vector`).
        logp_runner_up: [B, T], log p of the most probable token other than y_i, 0 outside the mask
            (need `runner_up`).
        refusal: the view of the refusals that stand beside the answers (need `refusal_pairs`).
    """

    mask: Tensor
    logp: Tensor
    labels: Tensor | None = None
    logits: Tensor | None = None
    logp_ref: Tensor | None = None
    logits_ref: Tensor | None = None
    hidden: Tensor | None = None
    hidden_ref: Tensor | None = None
    control: Tensor | None = None
    logp_runner_up: Tensor | None = None
    refusal: "View | None" = None

    @property
    def distribution(self) -> Tensor:
        """log p(v | x, y_<i; θ) of every token v: [B, T, V]."""
        assert self.logits is not None
        return self.logits.log_softmax(dim=-1)

    @property
    def distribution_ref(self) -> Tensor:
        """The same under the original model (need `reference_logits`): [B, T, V]."""
        assert self.logits_ref is not None
        return self.logits_ref.log_softmax(dim=-1)

    @property
    def lengths(self) -> Tensor:
        """How many label tokens each sample has, 1 where a selection of tokens leaves none: [B]."""
        return self.mask.sum(dim=1).clamp(min=1)

    def over_tokens(self, values: Tensor) -> Tensor:
        """The sum of per-token values [B, T] over all label tokens: a scalar."""
        return values.masked_fill(~self.mask, 0).sum()

    def per_sample(self, values: Tensor) -> Tensor:
        """Sums per-token values [B, T] over each sample's label tokens: [B]."""
        return values.masked_fill(~self.mask, 0).sum(dim=1)

    def by_token(self, weight: Tensor) -> Tensor:
        """A weight of every token [B, T]: one of samples [B] stands at each of their tokens."""
        return weight[:, None].expand_as(self.logp) if weight.dim() == 1 else weight


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
    nll = torch.nn.functional.cross_entropy(
        raised(logits).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -nll.view_as(targets), targets != IGNORED


def chosen(distribution: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """log p of one token at every position [B, T] (0 outside the mask), from all [B, T, V]."""
    return distribution.gather(-1, ids[..., None]).squeeze(-1).masked_fill(~mask, 0)


def runner_up(distribution: Tensor, labels: Tensor) -> Tensor:
    """The id of the most probable token other than the label: [B, T], from log p [B, T, V]."""
    return distribution.detach().scatter(-1, labels[..., None], -inf).argmax(dim=-1)


def entropy(distribution: Tensor) -> Tensor:
    """-Σ_v p(v) log p(v) in nats, without a gradient: [B, T], from log p [B, T, V]."""
    return torch.special.entr(distribution.detach().exp()).sum(dim=-1)


def forward(model: PreTrainedModel, batch: Batch, hidden_states: bool = False) -> Any:
    """The model's output on a batch; its logits start at position `batch.start`.

    It is computed, and comes, in the precision that is in force (`models.compute`).
    """
    with autocast(batch.input_ids.device):
        return model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            output_hidden_states=hidden_states,
            logits_to_keep=batch.input_ids.shape[1] - batch.start,
            use_cache=False,
        )


@torch.no_grad()
def with_reference(original: PreTrainedModel, batch: Batch) -> Batch:
    """The batch with the original model's label log-probabilities, which never change."""
    logits = forward(original, batch).logits
    refusal = None if batch.refusal is None else with_reference(original, batch.refusal)
    return replace(batch, logp_ref=log_probabilities(logits, batch)[0], refusal=refusal)


def view(
    model: PreTrainedModel,
    batch: Batch,
    needs: Set[str] = frozenset(),
    layer: int | None = None,
    original: PreTrainedModel | None = None,
    control_vector: Tensor | None = None,
) -> View:
    """Runs the model (and, where needed, the original model) on a batch.

    Args:
        model: a Hugging Face causal language model.
        batch: right-padded token ids and labels on the model's device.
        needs: what the loss declares (`registry.NEEDS`).
        layer: l of φ_l, for losses that need hidden states.
        original: θ_o, for losses that need it; no gradient flows into it. It is not run for
            log-probabilities that the batch already has.
        control_vector: RMU's direction [d].
    """
    hidden = bool(needs & {"hidden_states", "control_vector"})
    outputs = forward(model, batch, hidden)
    logp, mask = log_probabilities(outputs.logits, batch)
    if batch.all_positions:
        mask = torch.ones_like(mask)
    extra: dict[str, Any] = {"labels": next_tokens(batch).clamp(min=0)}
    looked_at = needs & ORIGINAL_NEEDS
    if "reference_logp" in needs and batch.logp_ref is not None:
        extra["logp_ref"] = batch.logp_ref
        looked_at = looked_at - {"reference_logp"}
    if looked_at:
        assert original is not None
        with torch.no_grad():
            reference = forward(original, batch, "reference_hidden_states" in needs)
        if "reference_logp" in looked_at:
            extra["logp_ref"] = log_probabilities(reference.logits, batch)[0]
        if "reference_logits" in needs:
            extra["logits_ref"] = raised(reference.logits)
        if "reference_hidden_states" in needs:
            extra["hidden_ref"] = raised(reference.hidden_states[layer][:, batch.start :])
    if hidden:
        extra["hidden"] = raised(outputs.hidden_states[layer][:, batch.start :])
    if "runner_up" in needs:
        distribution = raised(outputs.logits).log_softmax(dim=-1)
        second = runner_up(distribution, extra["labels"])
        extra["logp_runner_up"] = chosen(distribution, second, mask)
    if "control_vector" in needs:
        assert control_vector is not None
        extra["control"] = control_vector.to(extra["hidden"])
    if "refusal_pairs" in needs:
        assert batch.refusal is not None
        alone = needs - {"refusal_pairs"}
        extra["refusal"] = view(model, batch.refusal, alone, layer, original, control_vector)
    return View(mask=mask, logp=logp, logits=raised(outputs.logits), **extra)
