"""The passes of an evaluation: teacher-forced scores, generated texts, gradient norms."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from geffect.data.batches import IGNORED, collate
from geffect.data.encoding import Example
from geffect.evaluation.metrics.exact_memorization import exact_memorization
from geffect.evaluation.metrics.extraction_strength import extraction_strength
from geffect.evaluation.metrics.membership import min_k, min_k_plus_plus
from geffect.evaluation.teacher_forcing import answers, forced
from geffect.losses.view import forward, log_probabilities, next_tokens
from geffect.models.compute import autocast, input_device, raised
from geffect.models.folder import positions_of
from geffect.progress import Progress


@dataclass(frozen=True)
class Score:
    """The scores of one text, from one teacher-forced pass.

    `nll` is the mean per label token, in nats; all other scores leave EOS out.
    """

    nll: float
    extraction_strength: float
    exact_memorization: float
    min_k: float
    min_k_plus_plus: float


@torch.no_grad()
def score(
    model: PreTrainedModel, examples: Sequence[Example], micro_batch_size: int
) -> list[Score]:
    """Scores every example: in batches sorted by length, with results in the given order."""
    scores: dict[int, Score] = {}
    progress = Progress("scored texts", len(examples))
    for rows, batch, logits, logp, mask in forced(model, examples, micro_batch_size):
        mean, variance = _moments(logits, mask)
        read = answers(batch, logits, logp, mask)
        for k, (i, answer) in enumerate(zip(rows, read, strict=True)):
            first = examples[i].prompt_length - 1 - batch.start
            at = slice(first, first + len(answer.target))
            tokens, means, variances = (t[k, at].double().tolist() for t in (logp, mean, variance))
            scores[i] = Score(
                answer.nll,
                extraction_strength(answer.predicted, answer.target),
                exact_memorization(answer.predicted, answer.target),
                min_k(tokens),
                min_k_plus_plus(tokens, means, variances),
            )
        progress.step(len(scores))
    return [scores[i] for i in range(len(examples))]


def _moments(logits: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of log p(v) under p at the positions of the mask: [B, T], 0 elsewhere."""
    logp = raised(logits[mask]).log_softmax(dim=-1)
    p = logp.exp()
    mean = (p * logp).sum(dim=-1)
    variance = (p * (logp - mean[:, None]).square()).sum(dim=-1)

    def placed(values: torch.Tensor) -> torch.Tensor:
        result = torch.zeros(mask.shape, dtype=values.dtype, device=values.device)
        result[mask] = values
        return result

    return placed(mean), placed(variance)


def gradient_norms(model: PreTrainedModel, examples: Sequence[Example]) -> list[float]:
    """The mean over parameters of ‖∂ℓ/∂W‖₂ for every example, ℓ its mean token NLL.

    Takes one backward pass per row.
    """
    norms, progress = [], Progress("gradient norms of rows", len(examples))
    for done, example in enumerate(examples, start=1):
        batch = collate([example]).to(input_device(model))
        model.zero_grad(set_to_none=True)  # before the pass, beside which it would have to fit
        with torch.enable_grad():
            logp = log_probabilities(forward(model, batch).logits, batch)[0]
            count = (next_tokens(batch) != IGNORED).sum()
            (-logp.sum() / count).backward()
        of_parameters = [p.grad.norm().cpu() for p in model.parameters() if p.grad is not None]
        norms.append(torch.stack(of_parameters).double().mean().item())
        progress.step(done)
    model.zero_grad(set_to_none=True)
    return norms


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    length: int,
    micro_batch_size: int,
) -> list[str]:
    """Greedy continuations of token-id prompts, of `length` tokens in total, prompt included.

    Batches are padded on the left; each text is cut to its own prompt's budget, so it does not
    depend on its neighbours. A prompt of `length` tokens or more gets an empty continuation.
    Where the model knows fewer positions, they take the place of `length`. Settings of generation
    that the model brings along do not count.
    """
    length = min(length, positions_of(model.config) or length)
    eos = tokenizer.eos_token_id
    texts = [""] * len(prompts)
    progress, done = Progress("answered questions", len(prompts)), 0
    for rows in _batched([len(prompt) for prompt in prompts], length, micro_batch_size, model):
        width = max(len(prompts[i]) for i in rows)
        budget = length - min(len(prompts[i]) for i in rows)
        if budget > 0:
            ids = torch.full((len(rows), width), eos)
            mask = torch.zeros_like(ids)
            for k, i in enumerate(rows):
                ids[k, width - len(prompts[i]) :] = torch.tensor(prompts[i])
                mask[k, width - len(prompts[i]) :] = 1
            device = input_device(model)
            with autocast(device, several=True), _plain_settings(model):
                output = cast(Any, model).generate(
                    input_ids=ids.to(device),
                    attention_mask=mask.to(device),
                    max_new_tokens=budget,
                    do_sample=False,
                    eos_token_id=eos,
                    pad_token_id=eos,
                )
            for i, continuation in zip(rows, output[:, width:].tolist(), strict=True):
                own = continuation[: max(0, length - len(prompts[i]))]
                own = own[: own.index(eos)] if eos in own else own
                texts[i] = cast(str, tokenizer.decode(own, skip_special_tokens=True))
        done += len(rows)
        progress.step(done)
    return texts


@contextlib.contextmanager
def _plain_settings(model: PreTrainedModel) -> Iterator[None]:
    """Without those of its generation_config.json, which count wherever a call does not say."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _batched(
    lengths: Sequence[int], length: int, micro_batch_size: int, model: PreTrainedModel
) -> list[list[int]]:
    """Prompts that are continued together, in order of length.

    All get as many tokens as the shortest one may, which must not carry the longest one beyond the
    positions that the model knows.
    """
    known = positions_of(model.config) or math.inf
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        last = batches[-1] if batches else []
        full = len(last) in (0, micro_batch_size)
        if full or lengths[i] + length - lengths[last[0]] > known:
            batches.append([])
        batches[-1].append(i)
    return batches
