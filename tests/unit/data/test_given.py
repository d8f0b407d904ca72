"""Rows of others: the same examples whatever they come as, and mistakes in one line."""

import json

import pandas as pd
import pytest
import torch

from geffect.data.given import read_texts, tokenised
from geffect.errors import DataError

ROWS = [{"question": "Who, then?", "answer": 'NA "or" null'}, {"question": "Où?", "answer": "12"}]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    else:
        table = pd.DataFrame(rows)
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet"])
def test_a_file_gives_its_rows_whatever_it_is_written_in(name, tmp_path):
    assert read_texts(write(tmp_path / name, ROWS)) == ROWS


def test_a_json_file_may_have_an_object_a_line(tmp_path):
    lines = write(tmp_path / "a.jsonl", ROWS)
    assert read_texts(lines.rename(tmp_path / "a.json")) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", "", "a.jsonl: no rows"),
        ("a.json", "[]", "a.json: no rows"),
        ("a.csv", "", "a.csv: no rows"),
        ("a.csv", "question,answer\n", "a.csv: no rows"),
        ("a.jsonl", '{"a": 1}\n\n{"a": ', "a.jsonl, line 3: not JSON"),
        ("a.json", '[{"a": 1}, ', "a.json: not JSON"),
        ("a.json", '[{"a": 1}, 4]', "a.json, row 1: not an object"),
        ("a.csv", 'a,b\n1,"2\n', "a.csv, line 2: not CSV"),
        ("a.txt", "x", "a.txt: not a table"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as raised:
        read_texts(tmp_path / name)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def row_of(example, rng, form):
    """An example as a row, in one of the forms in which data sets have it."""
    ids, before, after = list(example.ids), 0, 0
    if form == "left":
        before = int(rng.integers(1, 4))
    if form in ("right", "unmasked"):
        after = int(rng.integers(1, 4))
    hidden = [-100] * (before + example.prompt_length)
    row = {
        "input_ids": [7] * before + ids + [7] * after,
        "labels": hidden + list(example.labels) + [-100] * after,
        "attention_mask": [0] * before + [1] * len(ids) + [0] * after,
    }
    if form == "unmasked":
        del row["attention_mask"]
    return {n: torch.tensor(v) for n, v in row.items()} if form == "right" else row


@pytest.mark.parametrize("form", ["bare", "left", "right", "unmasked"])
def test_tokenised_rows_are_the_examples_that_they_were_made_of(form, rng, random_examples):
    examples = random_examples(20)
    found = tokenised((row_of(example, rng, form) for example in examples), "rows")
    assert [(e.ids, e.prompt_length) for e in found] == [(e.ids, e.prompt_length) for e in examples]
    assert tokenised(examples, "rows") == examples


def test_the_first_token_is_never_predicted():
    (found,) = tokenised([{"input_ids": [3, 4, 5], "labels": [3, 4, 5]}], "rows")
    assert (found.prompt_length, found.labels) == (1, (4, 5))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"input_ids": [1, 2]}, "no labels"),
        ({"question": "?", "answer": "!"}, "no input_ids"),
        ({"input_ids": [1, 2], "labels": [-100, -100]}, "no label token"),
        ({"input_ids": [1], "labels": [1]}, "no label token"),
        ({"input_ids": [1, 2, 3], "labels": [-100, 2]}, "differ in length"),
        ({"input_ids": [1, 2, 3, 4], "labels": [-100, 2, -100, 4]}, "one stretch"),
        ({"input_ids": [1, 2, 3], "labels": [2, 3, -100]}, "another token"),
    ],
)
def test_rows_that_are_not_tokenised_as_they_should_be_are_named(row, words, random_examples):
    with pytest.raises(DataError) as raised:
        tokenised([*random_examples(2), row], "retain")
    text = str(raised.value)
    assert text.startswith("retain, row 2: ") and words in text and "\n" not in text
    with pytest.raises(DataError, match="retain: no rows"):
        tokenised([], "retain")
