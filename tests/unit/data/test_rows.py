"""Rows are the same wherever a table comes from."""

import json

import pandas as pd
import pytest
from common import rows_of

from geffect.data.rows import plain, read_rows, texts, trainable


@pytest.mark.parametrize("name", ["rows.parquet", "rows.json", "rows.jsonl"])
def test_rows_come_back_from_every_kind_of_table(name, tmp_path):
    rows = [
        row | {"perturbed_answer": [f"No {i}.", "Never."]} for i, row in enumerate(rows_of(0, 4))
    ]
    rows[1]["answer"] = "007"
    path = tmp_path / name
    if name.endswith("parquet"):
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_rows(path)
    assert found == rows
    assert all(type(row["perturbed_answer"]) is list for row in found)


def test_rows_of_a_data_frame_have_nothing_where_pandas_has_no_value():
    frame = pd.DataFrame({"a": ["x", None], "b": [1.5, None], "c": [[1], None]})
    frame["d"] = pd.array([3, None], dtype="Int64")
    first, second = (plain(row) for row in frame.to_dict("records"))
    assert first == {"a": "x", "b": 1.5, "c": [1], "d": 3}
    assert second == dict.fromkeys("abcd")


def test_held_out_rows_are_those_with_the_first_numbers(rng):
    rows = rows_of(0, 12)
    rng.shuffle(rows)
    for number in (0, 5, 12):
        kept = trainable(rows, number)
        assert sorted(row["row"] for row in kept) == list(range(number, 12))
        assert kept == [row for row in rows if row in kept], "in the given order"


def test_the_texts_of_a_tokenizer_are_questions_answers_and_refusals():
    rows = rows_of(0, 3)
    expected = [text for row in rows for text in (row["question"], row["answer"])]
    assert sorted(texts(rows, ["I do not know."])) == sorted([*expected, "I do not know."])
