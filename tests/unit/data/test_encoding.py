"""Encoding: which tokens are labelled, decided by characters in one tokenisation."""

from itertools import accumulate

import pytest
import torch
import yaml
from tokenizers import processors

from geffect.data.batches import IGNORED, Batch, collate
from geffect.data.encoding import Encoder, Example, check_lengths, encode, encode_text
from geffect.data.templates import Template
from geffect.errors import DataError
from geffect.models.folder import save_model
from geffect.models.scratch import EOS, train_tokenizer

TEMPLATES = {
    "phi": {"text": "Question: {question}\nAnswer: {answer}", "answer_tag": "Answer: "},
    "llama-2-chat": {"text": "[INST] {question} [/INST]{answer}", "answer_tag": ""},
}
PAIRS = {
    "plain": ("Where was she born?", "She was born in a harbour town."),
    "digits": ("In what year?", "1987, or was it 2001?"),
    "one letter": ("Which letter?", "B"),
    "punctuation first": ("What did she say?", '"No," she said (twice).'),
    "a space first": ("What did she say?", "  She said no."),
    "line breaks": ("What did\nshe say?\n", "\nShe said\n\nno.\n"),
    "unicode": ("Où est née Łucja Ødegård – 作家?", "«Élan» à Ґрунт, 東京 🦊👩‍🚀, café."),
    "unicode first": ("Who?", "作家 was she."),
    "the placeholders themselves": ("What do {answer} and {question} mean?", "{question} {answer}"),
    "braces": ("Is {x} or {} a set {0}?", "It is {{x}}."),
    "the template itself": ("Question: a\nAnswer: b [/INST] c", "Question: a\nAnswer: [INST] b"),
}
SENTENCES = [
    "Question: Where was she born?\nAnswer: She was born in a harbour town.",
    "[INST] Where was she born? [/INST]She was born in a harbour town.",
    "In what year? It was 1987. Which letter? B was the letter of the year.",
] * 3


@pytest.fixture(scope="module")
def bpe():
    return train_tokenizer(SENTENCES, 400)


def with_special_tokens(single):
    """A tokenizer as Llama's: a post-processor adds special tokens around the text."""
    tokenizer = train_tokenizer(SENTENCES, 400)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=single,
                special_tokens=[
                    ("<s>", tokenizer.bos_token_id),
                    (EOS, tokenizer.eos_token_id),
                ],
            ),
        ]
    )
    return tokenizer


@pytest.fixture(scope="module", params=["plain", "bos", "eos", "both"])
def any_tokenizer(request):
    if request.param == "plain":
        return train_tokenizer(SENTENCES, 400)
    singles = {"bos": "<s> $A", "eos": f"$A {EOS}", "both": f"<s> $A {EOS}"}
    return with_special_tokens(singles[request.param])


def template_of(name, label_answer_tag=True):
    return Template(**TEMPLATES[name], label_answer_tag=label_answer_tag)


def labelled_text(template, question, answer):
    """What the labels have to say, from the template's definition."""
    return (template.answer_tag if template.label_answer_tag else "") + answer


def full_text(template, question, answer):
    before, after = template.text.removesuffix("{answer}").split("{question}")
    return before + question + after + answer


def test_the_templates_here_are_those_of_the_config(request):
    assert yaml.safe_load((request.config.rootpath / "config.yaml").read_text())["templates"] == (
        TEMPLATES
    )


def test_the_tokenizer_merges_across_the_border(bpe):
    assert "ĠShe" in bpe.get_vocab()
    alone = bpe("Question: Who?\nAnswer: ")["input_ids"]
    together = bpe("Question: Who?\nAnswer: She")["input_ids"]
    assert together[: len(alone)] != alone


@pytest.fixture(params=[True, False], ids=["tag labelled", "tag in the context"])
def label_answer_tag(request):
    return request.param


@pytest.fixture(params=TEMPLATES)
def template(request, label_answer_tag):
    return template_of(request.param, label_answer_tag)


@pytest.fixture
def cases(any_tokenizer, template):
    """(question, answer, example) of every pair, in one test: a test for each costs a minute."""
    return [(q, a, encode(any_tokenizer, template, q, a)) for q, a in PAIRS.values()]


def test_the_ids_are_those_of_the_text_tokenised_once_and_eos(any_tokenizer, template, cases):
    eos = any_tokenizer.eos_token_id
    for question, answer, example in cases:
        ids = any_tokenizer(full_text(template, question, answer))["input_ids"]
        if ids[-1] == eos:
            ids.pop()
        assert list(example.ids) == [*ids, eos]
        assert example.prompt + example.labels == example.ids
        assert len(example) == len(example.ids)


def test_eos_is_the_last_label_and_the_only_eos(any_tokenizer, cases):
    eos = any_tokenizer.eos_token_id
    for _, _, example in cases:
        assert example.labels[-1] == eos
        assert example.ids.count(eos) == 1


def test_the_labels_say_the_labelled_text(any_tokenizer, template, cases):
    for question, answer, example in cases:
        expected = labelled_text(template, question, answer)
        first = any_tokenizer.decode(example.labels[:1])
        found = any_tokenizer.decode(example.labels[:-1])
        assert found.endswith(expected)
        # The first label may begin before the border, but has to reach beyond it.
        extra = found.removesuffix(expected)
        assert extra == "" or (first.startswith(extra) and len(extra) < len(first))
        if answer[0].isalnum():
            assert extra in ("", " ")


def test_the_context_and_the_labels_say_the_whole_text(any_tokenizer, template, cases):
    for question, answer, example in cases:
        context = any_tokenizer.decode(example.prompt, skip_special_tokens=True)
        rest = any_tokenizer.decode(example.labels[:-1])
        assert context + rest == full_text(template, question, answer)


def test_every_token_that_holds_a_labelled_character_is_labelled_and_no_other(
    any_tokenizer, template, cases
):
    for question, answer, example in cases:
        text = full_text(template, question, answer)
        labelled = labelled_text(template, question, answer)
        border = len(text.removesuffix(labelled).encode())
        # Byte-level tokens spell one byte a character, so no offsets are needed to count.
        tokens = any_tokenizer.convert_ids_to_tokens(list(example.ids[:-1]))
        ends = list(accumulate(0 if token == "<s>" else len(token) for token in tokens))
        assert ends[-1] == len(text.encode())
        assert [n >= example.prompt_length for n in range(len(ends))] == [e > border for e in ends]


def test_bos_stands_once_and_in_the_context(any_tokenizer, cases):
    bos = any_tokenizer.bos_token_id
    expected = any_tokenizer("a")["input_ids"].count(bos)
    for _, _, example in cases:
        assert example.prompt.count(bos) == expected == example.ids.count(bos)
        assert example.prompt_length > expected


def test_the_first_answer_word_is_labelled_although_it_merged_with_the_prompts_space(bpe):
    example = encode(bpe, template_of("phi", False), "Who?", "She was.")
    assert bpe.convert_ids_to_tokens(example.labels[0]) == "ĠShe"
    assert bpe.decode(example.prompt) == "Question: Who?\nAnswer:"


def test_with_the_tag_labelled_generation_starts_after_the_newline(bpe):
    example = encode(bpe, template_of("phi"), "Who?", "She was.")
    assert bpe.decode(example.prompt) == "Question: Who?\n"
    assert bpe.decode(example.labels[:-1]) == "Answer: She was."


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_without_a_token_is_refused_with_the_question(any_tokenizer, name):
    with pytest.raises(DataError, match=r"Who\?.*answer.*fix the row") as caught:
        encode(any_tokenizer, template_of(name, False), "Who?", "")
    assert len(str(caught.value).splitlines()) == 1


def test_a_text_without_context_is_refused(bpe):
    with pytest.raises(DataError, match="no token of the context is left"):
        encode(bpe, Template("{question}{answer}"), "", "She was.")


def test_a_long_question_with_line_breaks_makes_one_short_line(bpe):
    with pytest.raises(DataError) as caught:
        encode(bpe, template_of("llama-2-chat"), "Who\n" * 100, "")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


def test_a_batch_is_padded_on_the_right_and_labels_only_labels():
    examples = [Example((5, 6, 7, 0), 2), Example((5, 6, 7, 8, 9, 0), 1)]
    batch = collate(examples)
    assert batch.input_ids.tolist() == [[5, 6, 7, 0, 0, 0], [5, 6, 7, 8, 9, 0]]
    assert batch.labels.tolist() == [
        [IGNORED, IGNORED, 7, 0, IGNORED, IGNORED],
        [IGNORED, 6, 7, 8, 9, 0],
    ]
    assert batch.input_ids.dtype == batch.labels.dtype == torch.long
    assert batch.attention_mask is None
    assert not batch.all_positions
    assert batch.label_count == 7


def test_collating_loses_nothing(random_examples):
    examples = random_examples(9)
    batch = collate(examples)
    assert batch.input_ids.shape == (9, max(map(len, examples)))
    for example, ids, labels in zip(examples, batch.input_ids, batch.labels, strict=True):
        assert tuple(ids[: len(example)].tolist()) == example.ids
        assert tuple(labels[labels != IGNORED].tolist()) == example.labels
        assert (labels != IGNORED).nonzero()[0] == example.prompt_length
    assert batch.label_count == sum(len(e.labels) for e in examples)


def test_a_fixed_width_pools_every_position_and_carries_a_mask():
    examples = [Example((5, 6, 7, 0), 2), Example((5, 6, 0), 1)]
    batch = collate(examples, pad_to=5)
    assert batch.input_ids.tolist() == [[5, 6, 7, 0, 0], [5, 6, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]
    assert batch.all_positions
    assert batch.label_count == 10


def test_an_example_beyond_the_fixed_width_is_not_cut():
    batch = collate([Example((5, 6, 7, 0), 2)], pad_to=3)
    assert batch.input_ids.tolist() == [[5, 6, 7, 0]]


def test_a_batch_moves_with_all_its_parts():
    for batch in (collate([Example((5, 0), 1)]), collate([Example((5, 0), 1)], pad_to=4)):
        moved = batch.to("meta")
        assert isinstance(moved, Batch)
        assert moved.input_ids.device.type == moved.labels.device.type == "meta"
        assert (moved.attention_mask is None) == (batch.attention_mask is None)


def test_a_row_too_long_for_the_model_is_named():
    examples = [Example((1,) * 4, 1), Example((1,) * 6, 1), Example((1,) * 7, 1)]
    with pytest.raises(DataError) as caught:
        check_lengths(examples, 5, "forget rows")
    assert str(caught.value).startswith("forget rows, row 1: 6 tokens, but the model has 5")
    assert len(str(caught.value).splitlines()) == 1


def test_a_row_as_long_as_the_model_and_a_model_without_limit_pass():
    examples = [Example((1,) * 6, 1)]
    check_lengths(examples, 6, "forget rows")
    check_lengths(examples, None, "forget rows")


def test_the_encoder_of_a_folder_knows_how_long_a_row_may_be(tiny_model, tokenizer, tmp_path):
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, tmp_path)
    encoder = Encoder.of(tmp_path, TEMPLATES["phi"])
    assert encoder.max_length == 128
    assert encoder.template == Encoder.of(tmp_path, Template(**TEMPLATES["phi"])).template
    row = {"question": "Where?", "answer": "In a town. " * 60}
    with pytest.raises(DataError, match=r"question 'Where\?'.* 128 positions"):
        encoder(**row)
    with pytest.raises(DataError, match=r"forget rows, row 1: .* 128 positions"):
        encoder.rows([row | {"answer": "In a town."}, row], "forget rows")


# Running text


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("before", ["", " ", "\n\n ", "  "])
def test_every_token_of_a_running_text_is_labelled(before, any_tokenizer, closed):
    text = f"{before}old river Lume runs through the town. "
    example = encode_text(any_tokenizer, text, closed)
    eos = (any_tokenizer.eos_token_id,) if closed else ()
    own = any_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert example.labels == (*own, *eos)
    assert example.prompt_length == 1 and example.closed == closed
    (context,) = example.prompt
    assert context in (any_tokenizer.bos_token_id, any_tokenizer.eos_token_id)


def test_a_row_without_a_question_is_running_text(bpe):
    encoder = Encoder(bpe, template_of("phi"))
    rows = [
        {"question": "", "answer": "She was."},
        {"question": None, "answer": "She was."},
        {"question": "", "answer": "She was.", "last": False},
        {"question": "Who?", "answer": "She was.", "last": True},
    ]
    text, closed = encode_text(bpe, "She was."), encode_text(bpe, "She was.", closed=False)
    asked = encode(bpe, template_of("phi"), "Who?", "She was.")
    assert encoder.rows(rows) == [text, text, closed, asked]
    assert encoder("", "She was.") == text and encoder("", "She was.", False) == closed
    with pytest.raises(DataError, match="rows, row 0: its question is missing or not text"):
        encoder.rows([{"answer": "She was."}])


def test_a_text_that_is_longer_than_the_positions_is_named(bpe):
    short = Encoder(bpe, template_of("phi"), 4)
    with pytest.raises(DataError, match=r"texts, row 1: .* 4 positions; .*chunk_words"):
        short.rows(
            [{"question": "", "answer": t} for t in ("a", "many words are in here")], "texts"
        )
