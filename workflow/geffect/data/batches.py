"""Right-padded batches of examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geffect.data.encoding import Example

IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Right-padded examples: ids and labels [B, T], -100 where there is no label.

    Under a causal mask right padding cannot be seen from a label position, so no attention mask
    is needed; `all_positions` (KL as the authors average it) is the exception and carries one.
    `start` is the first position whose prediction a loss looks at: the one before the first label
    of any sample, 0 under `all_positions`. `logp_ref` are the original model's label
    log-probabilities [B, T] from `start` on, where they are already known. `refusal` is the batch
    of the examples' refusals, row by row, if all have one. `closed` says of each example whether
    its last label is EOS; of all, where it is empty.
    """

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor | None = None
    start: int = 0
    logp_ref: Tensor | None = None
    refusal: "Batch | None" = None
    closed: tuple[bool, ...] = ()

    @property
    def all_positions(self) -> bool:
        """True where the losses pool every position, padding included."""
        return self.attention_mask is not None

    @property
    def label_count(self) -> int:
        """The number of label tokens, or of all positions under `all_positions`."""
        return self.labels.numel() if self.all_positions else int((self.labels != IGNORED).sum())

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch with its tensors on a device."""
        mask, logp_ref = self.attention_mask, self.logp_ref
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            labels=self.labels.to(device),
            attention_mask=None if mask is None else mask.to(device),
            logp_ref=None if logp_ref is None else logp_ref.to(device),
            refusal=None if self.refusal is None else self.refusal.to(device),
        )


def collate(examples: Sequence[Example], pad_to: int | None = None) -> Batch:
    """Right-pads examples with EOS to the longest (or to `pad_to`, with every position pooled)."""
    width = max(len(e) for e in examples)
    if pad_to is not None:
        width = max(width, pad_to)
    ids = torch.full((len(examples), width), examples[0].ids[-1], dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.ids)
        labels[row, example.prompt_length : len(example)] = torch.tensor(example.labels)
        mask[row, : len(example)] = 1
    if pad_to is not None:
        return Batch(ids, labels, mask, closed=tuple(e.closed for e in examples))
    refusals = [e.refusal for e in examples if e.refusal is not None]
    return Batch(
        ids,
        labels,
        start=min(e.prompt_length for e in examples) - 1,
        refusal=collate(refusals) if len(refusals) == len(examples) else None,
        closed=tuple(e.closed for e in examples),
    )
