"""What a teacher-forced pass tells of every answer: its NLL, and the tokens that are predicted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from geffect.data.batches import Batch, collate
from geffect.data.encoding import Example
from geffect.evaluation.metrics.extraction_strength import extraction_strength
from geffect.losses.view import forward, log_probabilities, next_tokens
from geffect.models.compute import input_device


@dataclass(frozen=True)
class Answer:
    """An answer under a model.

    Attributes:
        nll: mean negative log-likelihood per label token, EOS included, in nats.
        predicted: the arg max at each token of the answer, given the true tokens before it.
        target: the answer's tokens. EOS is in neither of the two; a chunk of running text that
            does not end with EOS is there with all its tokens.
    """

    nll: float
    predicted: tuple[int, ...]
    target: tuple[int, ...]


def answers(batch: Batch, logits: Tensor, logp: Tensor, mask: Tensor) -> list[Answer]:
    """The answers of a batch, from what a pass over it gave.

    Args:
        logits: [B, T, V], from `batch.start` on.
        logp, mask: [B, T], as `losses.view.log_probabilities` returns them.
    """
    counts = mask.sum(dim=1)
    nll = (-logp.detach().double().sum(dim=1) / counts).tolist()
    lengths = counts.tolist()
    labels = mask.cpu()
    predicted = logits.argmax(dim=-1).cpu()[labels].split(lengths)
    target = next_tokens(batch).cpu()[labels].split(lengths)
    closed = batch.closed or (True,) * len(lengths)
    return [
        Answer(value, tuple(own[: n - eos].tolist()), tuple(tokens[: n - eos].tolist()))
        for value, own, tokens, n, eos in zip(nll, predicted, target, lengths, closed, strict=True)
    ]


@torch.no_grad()
def forced(
    model: PreTrainedModel, examples: Sequence[Example], micro_batch_size: int
) -> Iterator[tuple[list[int], Batch, Tensor, Tensor, Tensor]]:
    """A teacher-forced pass over some examples, in batches sorted by length.

    Yields:
        The numbers of a batch's examples, the batch, its logits [B, T, V], and its label
        log-probabilities [B, T] with their mask.
    """
    by_length = sorted(range(len(examples)), key=lambda i: len(examples[i]))
    for start in range(0, len(by_length), micro_batch_size):
        rows = by_length[start : start + micro_batch_size]
        batch = collate([examples[i] for i in rows]).to(input_device(model))
        logits = forward(model, batch).logits
        yield rows, batch, logits, *log_probabilities(logits, batch)


def read_answers(
    model: PreTrainedModel, examples: Sequence[Example], micro_batch_size: int
) -> list[Answer]:
    """The answers of all examples, in the given order; `model` is in eval mode."""
    found: dict[int, Answer] = {}
    for rows, batch, logits, logp, mask in forced(model, examples, micro_batch_size):
        found |= zip(rows, answers(batch, logits, logp, mask), strict=True)
    return [found[i] for i in range(len(examples))]


def strengths(given: Sequence[Answer]) -> NDArray[np.float64]:
    """The extraction strength of every answer; nan where its NLL is not finite.

    Without finite logits the arg max means nothing: a strength of 0 would pass for perfect
    forgetting.
    """
    return np.array(
        [
            extraction_strength(a.predicted, a.target) if np.isfinite(a.nll) else np.nan
            for a in given
        ],
        dtype=np.float64,
    )
