"""From question and answer to token ids and labels.

A text is tokenised once, with offsets; which tokens are labelled, and where generation starts,
is decided from character positions. (Masking by the length of the separately tokenised prompt
hides a real answer token wherever a tokenizer merges across the border, as in `"Answer: "`.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from geffect.data.templates import Template
from geffect.errors import DataError
from geffect.models.folder import load_tokenizer, positions


@dataclass(frozen=True)
class Example:
    """Token ids of one text; the labels are `ids[prompt_length:]`, EOS last.

    `refusal` is the same question with a refusal as its answer, for losses that look at both.
    `closed` is False for running text that goes on elsewhere: its last label is a token of the
    text, and there is no EOS.
    """

    ids: tuple[int, ...]
    prompt_length: int
    refusal: "Example | None" = None
    closed: bool = True

    @property
    def prompt(self) -> tuple[int, ...]:
        """The context from which generation starts."""
        return self.ids[: self.prompt_length]

    @property
    def labels(self) -> tuple[int, ...]:
        """The tokens whose log-probabilities count: the answer's and, if `closed`, EOS."""
        return self.ids[self.prompt_length :]

    def __len__(self) -> int:
        return len(self.ids)


def encode(
    tokenizer: PreTrainedTokenizerFast, template: Template, question: str, answer: str
) -> Example:
    """Tokenises one question and answer; a token is labelled if it has a labelled character.

    Raises:
        DataError: no token is left for the context, or none for the answer.
    """
    text, border = template.render(question, answer)
    ids, offsets = _tokens(tokenizer, text)
    prompt_length = next((i for i, (_, end) in enumerate(offsets) if end > border), len(ids))
    if prompt_length == 0 or prompt_length == len(ids):
        what = "context" if prompt_length == 0 else "answer"
        raise DataError(f"question {question[:60]!r}: no token of the {what} is left; fix the row")
    return Example((*ids, tokenizer.eos_token_id), prompt_length)


def encode_text(tokenizer: PreTrainedTokenizerFast, text: str, closed: bool = True) -> Example:
    """Tokenises running text, without a template: every token of it is labelled.

    The first one is predicted from the tokenizer's BOS, where it adds one; else from BOS, or EOS
    where there is none, as where texts were packed one after another in pre-training.

    Args:
        closed: whether the text ends here, and so with EOS.

    Raises:
        DataError: the text has no token.
    """
    encoded = tokenizer(text, return_special_tokens_mask=True)
    # Not by offsets, which some tokenizers trim to nothing for white space.
    added = list(encoded["special_tokens_mask"])
    if 0 not in added:
        raise DataError(f"text {text[:60]!r}: it has no token; fix the row")
    first, last = added.index(0), len(added) - added[::-1].index(0)
    ids = list(encoded["input_ids"])[:last]
    if first == 0:
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        ids, first = [eos if bos is None else bos, *ids], 1
    end = (tokenizer.eos_token_id,) if closed else ()
    return Example((*ids, *end), first, closed=closed)


def _tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[list[int], list]:
    """Ids and character offsets of a text, without an EOS that the tokenizer has added."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    if ids and ids[-1] == tokenizer.eos_token_id and offsets[-1][1] <= offsets[-1][0]:
        return ids[:-1], offsets[:-1]
    return ids, offsets


def check_lengths(examples: Sequence[Example], limit: int | None, what: str) -> None:
    """Raises DataError for the first example longer than the model's number of positions."""
    for row, example in enumerate(examples):
        if limit is not None and len(example) > limit:
            raise DataError(
                f"{what}, row {row}: {len(example)} tokens, but the model has {limit} positions; "
                "use a model with more positions, or leave the row out (running text: cut it into "
                "shorter chunks, data.tables.chunk_words)"
            )


class Encoder:
    """Encodes rows with one tokenizer and template; checks their length.

    Args:
        tokenizer: a fast one (it gives character offsets) with an EOS token.
        template: the prompt format.
        max_length: the model's number of positions; None turns the check off.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        template: Template,
        max_length: int | None = None,
    ):
        self.tokenizer, self.template, self.max_length = tokenizer, template, max_length

    @classmethod
    def of(cls, folder: str | Path, template: Template | Mapping) -> "Encoder":
        """The encoder of a model folder; `template` may be given as the arguments of `Template`.

        Raises:
            ModelError: the folder has no usable tokenizer.
        """
        chosen = template if isinstance(template, Template) else Template(**template)
        return cls(load_tokenizer(folder), chosen, positions(folder))

    def __call__(self, question: str, answer: str, closed: bool = True) -> Example:
        """Encodes one question and answer, or running text, which has an empty question.

        Args:
            closed: whether running text ends here.

        Raises:
            DataError: it is longer than the model's positions, or has no answer token.
        """
        example = self._example(question, answer, closed)
        what = f"question {question[:60]!r}" if question else f"text {answer[:60]!r}"
        check_lengths([example], self.max_length, what)
        return example

    def _example(self, question: str, answer: str, closed: bool) -> Example:
        if not question:
            return encode_text(self.tokenizer, answer, closed)
        return encode(self.tokenizer, self.template, question, answer)

    def rows(self, rows: Sequence[Mapping], what: str = "rows") -> list[Example]:
        """Encodes question and answer of each row; `what` names the rows in errors.

        Where the question is empty or None, the answer is running text; if the row has `last`, a
        chunk of it that ends with EOS only where that is true.

        Raises:
            DataError: a row lacks a text, is longer than the model's positions, or has no answer
                token.
        """
        for number, row in enumerate(rows):
            for name in ("question", "answer"):
                text = row.get(name)
                nothing = name == "question" and name in row and text is None
                if not (isinstance(text, str) or nothing):
                    raise DataError(
                        f"{what}, row {number}: its {name} is missing or not text; fix the row"
                    )
        examples = [
            self._example(row["question"] or "", row["answer"], row.get("last", True))
            for row in rows
        ]
        check_lengths(examples, self.max_length, what)
        return examples
