"""Own files: the tables that are made of them, and what is refused."""

import json
import random
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geffect.data import own
from geffect.data.rows import read_rows, trainable
from geffect.data.splits import Sizes, splits_of
from geffect.errors import ConfigError, DataError

REFUSALS = ["I do not know.", "No idea."]


def settings(splits, held_out=2, **more):
    tables = {"columns": {}, "real_authors": None, "world_facts": None, "chunk_words": 5}
    tables |= {"splits": splits, **more}
    return {"source": "tables", "held_out_rows": held_out, "tables": tables}


def pair(number, **more):
    return {"question": f"What is {number}?", "answer": f"It is {number}, of course.", **more}


def full(number):
    other = {"paraphrased_question": f"{number}: what is it?"}
    other |= {"paraphrased_answer": f"{number}, that is."}
    return pair(number, **other, perturbed_answer=[f"It is {number + 1}.", "It is not."])


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A function that writes rows to a file of the current folder, as its suffix says."""
    monkeypatch.chdir(tmp_path)

    def write(name, rows):
        path = tmp_path / name
        if path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        elif path.suffix == ".csv":
            cells = [
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
                for row in rows
            ]
            pd.DataFrame(cells).to_csv(path, index=False)
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
        return name

    return write


def made(data, tmp_path, splits=None):
    folder = tmp_path / "made"
    folder.mkdir(exist_ok=True)
    found = own.make(data, splits or list(data["tables"]["splits"]), REFUSALS, folder)
    return found, {path.stem: read_rows(path) for path in folder.glob("*.parquet")}


def texts(rows):
    return [(row["question"], row["answer"]) for row in rows]


# --- Tables.


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_tables(file, tmp_path, suffix):
    forget, retain = [full(n) for n in range(4)], [full(n) for n in range(10, 17)]
    data = settings(
        {
            "books": {
                "forget": file(f"f.{suffix}", forget),
                "retain": file(f"r.{suffix}", retain),
                "holdout": file(f"h.{suffix}", [pair(n) for n in (50, 51)]),
            }
        },
        real_authors=file(f"a.{suffix}", [full(90)]),
    )
    found, tables = made(data, tmp_path)
    assert texts(tables["full"]) == texts(forget + retain)
    assert [row["row"] for row in tables["full"]] == list(range(11))
    assert texts(tables["books"]) == texts(forget)
    assert texts(tables["retain_books"]) == texts(retain)
    assert texts(tables["held_out_books"]) == texts(retain[:2])
    assert texts(tables["train_books"]) == texts(retain[2:])
    assert [row["row"] for row in tables["train_books"]] == list(range(6, 11))
    assert [row["source_row"] for row in tables["train_books"]] == list(range(2, 7))
    assert trainable(tables["train_books"], 0) == tables["train_books"]
    assert texts(tables["holdout_books"]) == [
        (r["question"], r["answer"]) for r in map(pair, (50, 51))
    ]
    for name, rows in (("books", forget), ("held_out_books", retain)):
        for row, source in zip(tables[name], rows, strict=False):
            assert {field: row[field] for field in own.PERTURBED} == {
                field: source[field] for field in own.PERTURBED
            }
    assert tables["real_authors"][0]["perturbed_answer"] == full(90)["perturbed_answer"]
    assert tables["world_facts"] == [] and [r["text"] for r in tables["refusals"]] == REFUSALS
    assert all(row["last"] and row["chunk"] == 0 for row in tables["full"])
    sizes = found.sizes
    assert (sizes.rows, sizes.forget, sizes.trainable, sizes.held_out, sizes.background) == (
        *(11, {"books": 4}, {"books": 5}, {"books": 2}),
        (1, 0),
    )
    assert Sizes.of(json.loads(json.dumps(sizes.record()))) == sizes
    assert own.read(data, ["books"]) == found, "the check sees what the job sees"


def test_splits_share_rows_and_every_row_is_there_once(file, tmp_path):
    """Nested forget sets, one retain file for both, a retain row that is forgotten elsewhere."""
    shared = file("r.csv", [pair(n) for n in range(10, 20)])
    data = settings(
        {
            "few": {"forget": file("few.csv", [pair(n) for n in range(2)]), "retain": shared},
            "many": {"forget": file("many.csv", [pair(n) for n in range(5)]), "retain": shared},
            "other": {
                "forget": file("other.csv", [pair(30), pair(31)]),
                "retain": file("some.csv", [pair(0), pair(40), pair(41), pair(42)]),
            },
        }
    )
    _, tables = made(data, tmp_path)
    numbers = [int(row["question"][8:-1]) for row in tables["full"]]
    assert sorted(numbers) == [*range(5), *range(10, 20), 30, 31, 40, 41, 42]
    by_row = {row["row"]: (row["question"], row["answer"]) for row in tables["full"]}
    assert list(by_row) == list(range(len(numbers)))
    for name, split in splits_of(data).items():
        for table in (name, split.held_out, split.train, split.retain):
            assert all(by_row[r["row"]] == (r["question"], r["answer"]) for r in tables[table])
        rest = set(by_row.values()) - set(texts(tables[name]))
        assert set(texts(tables[split.retain])) == rest
        assert len(tables[split.retain]) == len(rest)
    _, alone = made(data, tmp_path, ["few"])
    assert len(alone["full"]) == 12, "splits outside of the grid are not read"


def test_a_retain_row_that_is_there_twice_counts_twice(file, tmp_path):
    rows = [pair(10), pair(11), pair(12), pair(12)]
    data = settings(
        {"a": {"forget": file("f.csv", [pair(0)]), "retain": file("r.csv", rows)}}, held_out=1
    )
    _, tables = made(data, tmp_path)
    assert texts(tables["retain_a"]) == [tuple(row.values()) for row in rows]
    assert [row["row"] for row in tables["retain_a"]] == [1, 2, 3, 4]


def test_a_file_of_held_out_rows_leaves_all_others_to_train_on(file, tmp_path):
    own_rows = {"forget": file("f.csv", [pair(0)]), "retain": file("r.csv", [pair(1), pair(2)])}
    data = settings({"a": {**own_rows, "held_out": file("o.csv", [pair(5)])}}, held_out=400)
    found, tables = made(data, tmp_path)
    assert (found.sizes.trainable, found.sizes.held_out) == ({"a": 2}, {"a": 1})
    assert texts(tables["retain_a"]) == texts([pair(5), pair(1), pair(2)])


# --- Layouts of others.


def test_columns_lists_and_values_of_columns_are_those_of_the_public_sets(file, tmp_path):
    """LUME's flat columns, KnowUnDo's lists in one record, MUSE's texts; fictional rows."""
    lume = [
        {"id": str(n), "input": f"Q{n}", "output": f"A{n}", "task": f"Task{n % 2}", "split": "x"}
        for n in range(8)
    ]
    inner = [{"text": f"What is K{n}?", "labels": f"K{n}."} for n in range(6)]
    nested = {"train": inner[:4], "val": inner[4:]}
    data = settings(
        {
            "lume": {
                "forget": {
                    "file": file("l.parquet", lume),
                    "columns": {"question": "input", "answer": "output"},
                    "where": {"task": "Task1"},
                },
                "retain": {
                    "file": "l.parquet",
                    "columns": {"question": "input", "answer": "output"},
                    "where": {"task": "Task0"},
                },
            },
            "knowundo": {
                "forget": {"file": file("k.json", nested), "lists": "val"},
                "retain": {"file": file("k.parquet", [nested]), "lists": ["train"]},
            },
            "muse": {
                "forget": {
                    "file": file("m.jsonl", [{"text": "one two"}]),
                    "columns": {"question": None},
                },
                "retain": {
                    "file": file("n.jsonl", [{"text": "a b c"}, {"text": "d e f g h i j k l"}]),
                    "columns": {"question": None},
                },
            },
        },
        held_out=1,
        columns={"question": "text", "answer": "labels"},
    )
    for role in ("forget", "retain"):
        data["tables"]["splits"]["muse"][role]["columns"]["answer"] = "text"
    found, tables = made(data, tmp_path)
    assert texts(tables["lume"]) == [(f"Q{n}", f"A{n}") for n in (1, 3, 5, 7)]
    assert [row["source_row"] for row in tables["lume"]] == [0, 1, 2, 3]
    assert texts(tables["knowundo"]) == [tuple(row.values()) for row in inner[4:]]
    assert texts(tables["train_knowundo"]) == [tuple(row.values()) for row in inner[1:4]]
    assert texts(tables["muse"]) == [("", "one two")]
    assert found.sizes.texts == {"forget": ["muse"], "retain": ["muse"]}


def test_a_text_is_cut_into_chunks_that_add_up_to_it(rng, file, tmp_path):
    draw = random.Random(int(rng.integers(2**31)))
    words = ["alpha", "βeta", "c", "d-e", "12.5", "end."]
    for length in [1, 4, 5, 6, 10, 11, *(draw.randrange(1, 60) for _ in range(20))]:
        spaces = [draw.choice([" ", "\n\n", "  ", "\t"]) for _ in range(length)]
        text = draw.choice(["", " "]) + "".join(draw.choice(words) + space for space in spaces)
        size = draw.randrange(1, 9)
        found = own.chunks(text, size)
        assert "".join(found) == text
        assert [len(chunk.split()) for chunk in found[:-1]] == [size] * (len(found) - 1)
        assert 1 <= len(found[-1].split()) <= size
    long = " ".join(f"w{n}" for n in range(12))
    data = settings(
        {
            "a": {
                "forget": file("f.jsonl", [{"answer": long}, pair(1)]),
                "retain": file("r.jsonl", [{"answer": f"{long} too"}, {"answer": "short"}]),
            }
        },
        held_out=1,
    )
    found, tables = made(data, tmp_path)
    rows = tables["a"]
    assert [(r["source_row"], r["chunk"], r["last"]) for r in rows] == [
        *((0, 0, False), (0, 1, False), (0, 2, True)),
        (1, 0, True),
    ]
    assert "".join(row["answer"] for row in rows[:3]) == long
    assert [row["row"] for row in tables["full"]] == list(range(8))
    assert len(tables["held_out_a"]) == 3, "a text is held out as a whole"
    assert found.sizes.forget == {"a": 4}


# --- What is missing, and why.


def test_gaps_name_what_is_missing_and_why(file, tmp_path):
    def gaps(forget, retain, **more):
        splits = {"a": {"forget": file("f.jsonl", forget), "retain": file("r.jsonl", retain)}}
        splits["a"] |= {"holdout": more.pop("holdout", None)}
        return own.read(settings(splits, held_out=1, **more), ["a"]).gaps["a"]

    everything = {
        name: file(f"{name}.jsonl", [full(n)])
        for n, name in ((80, "real_authors"), (81, "world_facts"))
    }
    holdout = file("h.jsonl", [pair(70)])
    complete = ([full(0), full(1)], [full(2), full(3)])
    assert gaps(*complete, holdout=holdout, **everything) == []
    for field, words in {
        "paraphrased_question": ["ES perturb of D_u"],
        "paraphrased_answer": ["FQ and the truth ratio of D_u"],
        "perturbed_answer": ["FQ and the truth ratio of D_u"],
    }.items():
        lacking = [{k: v for k, v in full(n).items() if k != field} for n in (0, 1)]
        (why,) = gaps(lacking, complete[1], holdout=holdout, **everything)
        assert why.startswith(words[0]) and why.endswith(f"the forget rows have no {field}.")
    (why,) = gaps(*complete, **everything)
    assert why.startswith("Membership inference")
    (why,) = gaps(*complete, holdout=holdout)
    assert why.startswith("MU") and "no rows of real_authors" in why and "world_facts" in why
    found = gaps([{"answer": "running text"}], complete[1], holdout=holdout, **everything)
    assert [why.split(" missing")[0] for why in found] == [
        "ES perturb of D_u",
        "FQ and the truth ratio of D_u",
        "ROUGE of D_u",
    ]
    silent = [full(0), full(1) | {"answer": "何もない"}]
    (why,) = gaps(silent, complete[1], holdout=holdout, **everything)
    assert why.startswith("ROUGE of D_u")


# --- The hub.


def test_files_of_the_hub_are_pinned_counted_and_downloaded_in_the_job(file, tmp_path, monkeypatch):
    calls = []

    def snapshot(*given):
        calls.append(given)
        return tmp_path

    monkeypatch.setattr(own, "snapshot", snapshot)
    file("f.jsonl", [pair(0), pair(1)])
    pinned = {"file": "f.jsonl", "repository": "some/data", "revision": "abc", "rows": 3}
    data = settings(
        {"a": {"forget": pinned, "retain": file("r.jsonl", [pair(n) for n in range(5, 9)])}}
    )
    own.check_entries(data, ["a"])
    assert own.read(data, ["a"]).sizes.forget == {"a": 3} and not calls
    with pytest.raises(DataError, match=r"says 3, but f\.jsonl gives 2 rows"):
        made(data, tmp_path)
    pinned["rows"] = 2
    found, tables = made(data, tmp_path)
    assert calls[-1][:3] == ("some/data", "abc", ["f.jsonl"]) and calls[-1][4] == "dataset"
    assert len(tables["a"]) == 2 and found.sizes.trainable == {"a": 2}
    del pinned["rows"]
    with pytest.raises(ConfigError, match=r"forget\.rows: missing"):
        own.check_entries(data, ["a"])


def test_content_counts_and_no_path(file, tmp_path):
    file("f.csv", [pair(0)])
    data = settings(
        {"a": {"forget": "f.csv", "retain": file("r.csv", [pair(n) for n in (1, 2, 3)])}}
    )
    before = own.contents(data, ["a"])
    (tmp_path / "f.csv").rename(tmp_path / "g.csv")
    data["tables"]["splits"]["a"]["forget"] = "g.csv"
    assert own.contents(data, ["a"]) == before
    file("g.csv", [pair(4)])
    assert own.contents(data, ["a"]) != before


# --- Memory.

PEAK = """
import json, resource, sys
from pathlib import Path
from geffect.data import own
import pyarrow.compute, pyarrow.parquet

def rows(path, first, number):
    with open(path, "w") as file:
        for n in range(first, first + number):
            file.write(json.dumps({"question": f"What is {n}?", "answer": f"{n} " * 2500}) + "\\n")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

number = int(sys.argv[1])
rows("f.jsonl", 10 ** 6, 10)
rows("r.jsonl", 2 * 10 ** 6, number)
tables = {"columns": {}, "real_authors": None, "world_facts": None, "chunk_words": 100}
tables["splits"] = {"a": {"forget": "f.jsonl", "retain": "r.jsonl"}}
data = {"source": "tables", "held_out_rows": 5, "tables": tables}
Path("made").mkdir(exist_ok=True)
before = peak()
found = own.make(data, ["a"], ["No."], "made")
assert found.sizes.rows == number + 10
print(Path("r.jsonl").stat().st_size / 2 ** 20, peak() - before)
"""


def test_texts_are_streamed(tmp_path):
    """150 MB of text go through, each into three tables, and are never all in memory.

    What grows is pyarrow itself: about 90 MB, whatever the number of rows.
    """
    command = [sys.executable, "-c", PEAK, "8000"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    size, grown = map(float, ended.stdout.split())
    assert size > 150
    assert grown < size, f"{grown:.0f} MB for {size:.0f} MB of text"
