"""From question and answer to token ids and labels.

A text is tokenised once, with offsets; which tokens are labelled, and where generation starts,
is decided from character positions. (Masking by the length of the separately tokenised prompt
hides a real answer token wherever a tokenizer merges across the border, as in `"Answer: "`.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geffect import models
from geffect.errors import DataError
from geffect.templates import Template

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """Token ids of one text; the labels are `ids[prompt_length:]`, EOS last."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def prompt(self) -> tuple[int, ...]:
        """The context from which generation starts."""
        return self.ids[: self.prompt_length]

    @property
    def labels(self) -> tuple[int, ...]:
        return self.ids[self.prompt_length :]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """Right-padded examples: ids and labels [B, T], -100 where there is no label.

    Under a causal mask right padding cannot be seen from a label position, so no attention mask
    is needed; `all_positions` (KL as the authors average it) is the exception and carries one.
    `start` is the first position of which a loss looks at the prediction: the one before the first
    label of any sample, 0 under `all_positions`. `logp_ref` are the original model's label
    log-probabilities [B, T] from `start` on, where they are known beforehand.
    """

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor | None = None
    start: int = 0
    logp_ref: Tensor | None = None

    @property
    def all_positions(self) -> bool:
        """True where the losses pool every position, padding included."""
        return self.attention_mask is not None

    @property
    def label_count(self) -> int:
        return self.labels.numel() if self.all_positions else int((self.labels != IGNORED).sum())

    def to(self, device) -> "Batch":
        def moved(tensor):
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            input_ids=moved(self.input_ids),
            labels=moved(self.labels),
            attention_mask=moved(self.attention_mask),
            logp_ref=moved(self.logp_ref),
        )


def encode(tokenizer, template: Template, question: str, answer: str) -> Example:
    """Tokenises one question and answer; a token is labelled if it holds a labelled character.

    Raises:
        DataError: no token is left as context, or none of the answer as label.
    """
    text, border = template.render(question, answer)
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    if ids and ids[-1] == tokenizer.eos_token_id and offsets[-1][1] <= offsets[-1][0]:
        ids, offsets = ids[:-1], offsets[:-1]
    prompt_length = next((i for i, (_, end) in enumerate(offsets) if end > border), len(ids))
    if prompt_length == 0 or prompt_length == len(ids):
        what = "context" if prompt_length == 0 else "answer"
        raise DataError(f"question {question[:60]!r}: no token of the {what} is left; mend the row")
    return Example((*ids, tokenizer.eos_token_id), prompt_length)


def collate(examples, pad_to: int | None = None) -> Batch:
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
        return Batch(ids, labels, mask)
    return Batch(ids, labels, start=min(e.prompt_length for e in examples) - 1)


def check_lengths(examples, limit: int | None, what: str) -> None:
    """Raises DataError for the first example longer than the model's number of positions."""
    for row, example in enumerate(examples):
        if limit is not None and len(example) > limit:
            raise DataError(
                f"{what}, row {row}: {len(example)} tokens, but the model has {limit} positions; "
                "use a model with more positions or leave the row out"
            )


class Encoder:
    """Encodes rows with one tokenizer and template; checks their length."""

    def __init__(self, tokenizer, template: Template, max_length: int | None):
        self.tokenizer, self.template, self.max_length = tokenizer, template, max_length

    def __call__(self, question: str, answer: str) -> Example:
        """Encodes one question and answer.

        Raises:
            DataError: it is longer than the model's positions, or has no answer token.
        """
        example = encode(self.tokenizer, self.template, question, answer)
        check_lengths([example], self.max_length, f"question {question[:60]!r}")
        return example

    @classmethod
    def of(cls, folder, template: dict) -> "Encoder":
        """The encoder of a model folder; `template` are the arguments of `Template`."""
        return cls(models.load_tokenizer(folder), Template(**template), models.positions(folder))

    def rows(self, rows: Sequence[dict], what: str) -> list[Example]:
        """Encodes question and answer of each row.

        Raises:
            DataError: a row is longer than the model's positions, or has no answer token.
        """
        examples = [
            encode(self.tokenizer, self.template, row["question"], row["answer"]) for row in rows
        ]
        check_lengths(examples, self.max_length, what)
        return examples
