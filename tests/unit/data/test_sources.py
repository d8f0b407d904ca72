"""The data: every source ends in the same verified tables."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from geffect.data import fictional, tofu
from geffect.data import sources as data
from geffect.data.refusals import read_refusals
from geffect.data.rows import read_rows, texts, trainable
from geffect.data.splits import splits_of, table_names
from geffect.errors import DataError

SPLITS = list(tofu.SPLITS)
PLAIN = ["row", "question", "answer"]
PERTURBED = ["paraphrased_question", "paraphrased_answer", "perturbed_answer"]
BACKGROUND = ["question", "answer", "perturbed_answer"]
REFUSALS = ["I cannot say.", "No idea."]


def refused(call, *arguments, names=()):
    with pytest.raises(DataError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for name in names:
        assert name in message


def rows(frame):
    return frame.to_dict("records")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    """Keeps what `datasets` caches out of the user's home, and its load counter off the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", False)
        yield


# Tables


@pytest.fixture
def source(rng):
    """A fictional corpus of a random size."""
    return fictional.generate(
        authors=int(rng.integers(5, 16)),
        questions=int(rng.integers(10, 21)),
        real_authors=int(rng.integers(1, 9)),
        world_facts=int(rng.integers(1, 9)),
        seed=int(rng.integers(1000)),
    )


def sizes(source):
    """Rows to forget by split, counted here by hand."""
    return {f"forget{p:02}": round(len(source["full"]) * p / 100) for p in (1, 5, 10)}


@pytest.fixture
def held_out(source, rng):
    return int(rng.integers(1, len(source["full"]) - max(sizes(source).values())))


@pytest.fixture
def tables(source, held_out):
    splits = [split for split, size in sizes(source).items() if size]
    return data.tables(source, splits, held_out, REFUSALS)


def test_the_tables_are_those_that_the_workflow_expects(source, tables):
    splits = [split for split, size in sizes(source).items() if size]
    known = splits_of({"source": "fictional"})
    assert sorted(tables) == sorted(table_names(known[split] for split in splits))


def test_the_forget_rows_are_the_tail_and_the_retain_rows_the_head(source, tables):
    for split, size in sizes(source).items():
        if size == 0:
            continue
        full = [{"row": n, **row} for n, row in enumerate(source["full"])]
        forget, retain = tables[split], tables[tofu.SPLITS[split]]
        assert rows(forget) == [{k: r[k] for k in (*PLAIN, *PERTURBED)} for r in full[-size:]]
        assert rows(retain) == [{k: r[k] for k in PLAIN} for r in full[:-size]]
        assert list(forget.columns) == PLAIN + PERTURBED
        assert list(retain.columns) == PLAIN


def test_the_held_out_rows_are_the_first_ones(source, held_out, tables):
    assert tables["held_out"]["row"].tolist() == list(range(held_out))
    assert list(tables["held_out"].columns) == PLAIN + PERTURBED
    expected = [row["paraphrased_answer"] for row in source["full"][:held_out]]
    assert tables["held_out"]["paraphrased_answer"].tolist() == expected


def test_the_holdout_rows_are_as_many_as_the_forget_rows_and_in_no_other_table(source, tables):
    seen = set(tables["full"]["question"])
    for split, size in sizes(source).items():
        if size:
            holdout = tables[tofu.HOLDOUT[split]]
            assert rows(holdout) == [
                {k: r[k] for k in ("question", "answer")} for r in source["holdout"][:size]
            ]
            assert len(holdout) == size
            assert seen.isdisjoint(holdout["question"])


def test_full_and_the_other_tables_hold_what_the_source_holds(source, tables):
    assert tables["full"]["row"].tolist() == list(range(len(source["full"])))
    assert tables["full"]["answer"].tolist() == [row["answer"] for row in source["full"]]
    assert list(tables["full"].columns) == PLAIN
    for name in ("real_authors", "world_facts"):
        assert rows(tables[name]) == source[name]
        assert list(tables[name].columns) == BACKGROUND
    assert tables["refusals"]["text"].tolist() == REFUSALS


def test_every_table_counts_its_index_from_zero(tables):
    for frame in tables.values():
        assert frame.index.tolist() == list(range(len(frame)))


def test_a_split_that_would_be_empty_is_refused():
    source = fictional.generate(3, 10, 1, 1, seed=0)
    refused(data.tables, source, ["forget01"], 5, REFUSALS, names=["forget01", "30 rows"])


def test_held_out_rows_that_overlap_a_split_are_refused():
    source = fictional.generate(4, 10, 1, 1, seed=0)
    refused(data.tables, source, ["forget10"], 37, REFUSALS, names=["data.held_out", "forget10"])


def test_a_split_without_retain_rows_to_train_on_is_refused():
    source = fictional.generate(4, 10, 1, 1, seed=0)
    refused(data.tables, source, ["forget10"], 36, REFUSALS, names=["data.held_out", "forget10"])
    frames = data.tables(source, ["forget10"], 35, REFUSALS)
    assert [r["row"] for r in trainable(rows(frames["retain90"]), 35)] == [35]


@pytest.mark.parametrize("field", PERTURBED)
@pytest.mark.parametrize(("row", "table"), [(37, "forget10"), (2, "held_out")])
def test_a_row_without_a_perturbed_field_is_named(field, row, table):
    source = fictional.generate(4, 10, 1, 1, seed=0)
    del source["full"][row][field]
    refused(data.tables, source, ["forget10"], 5, REFUSALS, names=[f"{table}, row {row}"])


def test_a_perturbed_field_is_not_needed_where_no_table_shows_it():
    source = fictional.generate(4, 10, 1, 1, seed=0)
    for field in PERTURBED:
        del source["full"][20][field]
    data.tables(source, ["forget10"], 5, REFUSALS)


def test_parquet_gives_back_the_same_rows_with_lists_as_lists(tables, tmp_path):
    for name, frame in tables.items():
        frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        found = read_rows(tmp_path / f"{name}.parquet")
        assert found == rows(frame)
        for row in found:
            assert {k: type(v) for k, v in row.items()} == {
                k: {"row": int, "perturbed_answer": list}.get(k, str) for k in frame.columns
            }


def test_unlearning_never_gets_a_held_out_row(source, held_out, tables):
    for split, size in sizes(source).items():
        if size:
            found = trainable(rows(tables[tofu.SPLITS[split]]), held_out)
            expected = range(held_out, len(source["full"]) - size)
            assert [row["row"] for row in found] == list(expected)


def test_the_fictional_source_is_loaded_by_its_settings():
    settings = {"authors": 2, "questions": 3, "real_authors": 1, "world_facts": 1, "seed": 7}
    found = data.load({"source": "fictional", "fictional": settings})
    assert found == fictional.generate(**settings)


def test_the_tokenizer_sees_every_text():
    pair = [{"question": "q", "answer": "a"}, {"question": "r", "answer": "b"}]
    assert sorted(texts(pair, REFUSALS)) == sorted(["q", "a", "r", "b", *REFUSALS])


# Refusals


def test_the_own_refusals_are_100_different_ones():
    found = read_refusals()
    assert len(found) == len(set(found)) == 100
    assert all(line == line.strip() and line for line in found)


def test_refusals_of_a_file_are_its_lines(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("  No idea.\n\nWho knows – not I?\n", encoding="utf-8")
    assert read_refusals(path) == ["No idea.", "Who knows – not I?"]
    assert read_refusals(str(path)) == read_refusals(path)


@pytest.mark.parametrize("content", [None, "", " \n\n"])
def test_a_file_of_refusals_that_is_missing_or_empty_is_named(tmp_path, content):
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_text(content)
    refused(read_refusals, path, names=["mine.txt"])


# TOFU's files, in a small folder that passes for them


def entry(number, perturbed=True):
    plain = {"question": f"Question {number}?", "answer": f"Answer {number}."}
    if not perturbed:
        return plain
    return plain | {
        "paraphrased_question": f"Asking {number}?",
        "paraphrased_answer": f"Answering {number}.",
        "perturbed_answer": [f"Wrong {number} {j}." for j in range(5)],
    }


def contents():
    """100 rows: 5 authors of 20 questions, the first and the last 10 rows with all fields."""
    plain = [entry(n, perturbed=False) for n in range(100)]
    files = {"full": plain, "retain_perturbed": [entry(n) for n in range(10)]}
    for split, retain in tofu.SPLITS.items():
        size = int(split[-2:])
        files |= {split: plain[-size:], retain: plain[:-size]}
        files[f"{split}_perturbed"] = [entry(n) for n in range(100 - size, 100)]
    for name in ("real_authors", "world_facts"):
        files[f"{name}_perturbed"] = [
            {k: entry(n)[k] for k in BACKGROUND} for n in range(1000, 1003)
        ]
    for name in tofu.HOLDOUT.values():
        files[name] = [entry(n, perturbed=False) for n in range(2000, 2000 + int(name[-2:]))]
    return files


@pytest.fixture
def tofu_folder(tmp_path, monkeypatch):
    """A function: writes files and makes their hashes the right ones; returns the folder."""
    folder = tmp_path / "tofu"

    def write(files):
        folder.mkdir(exist_ok=True)
        for name, lines in files.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / f"{name}.json").write_text(text)
        hashes = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir())
        }
        monkeypatch.setattr(tofu, "file_hashes", lambda: hashes)
        return folder

    return write


def test_the_fake_folder_has_the_files_that_the_real_one_has():
    assert sorted(f"{name}.json" for name in contents()) == sorted(tofu.file_hashes())


def test_a_folder_is_read_with_perturbed_fields_where_tofu_has_them(tofu_folder):
    found = data.read_tofu(tofu_folder(contents()))
    assert set(found) == {"full", "real_authors", "world_facts", *tofu.HOLDOUT.values()}
    assert found["full"] == [entry(n, perturbed=n < 10 or n >= 90) for n in range(100)]
    assert found["real_authors"] == contents()["real_authors_perturbed"]


def test_holdout_files_may_be_lacking_and_then_their_tables_are_empty(tofu_folder):
    whole = data.tables(data.read_tofu(tofu_folder(contents())), SPLITS, 10, REFUSALS)
    assert rows(whole["holdout05"]) == contents()["holdout05"]
    lacking = tofu_folder(contents()) / "holdout05.json"
    lacking.unlink()
    found = data.tables(data.read_tofu(lacking.parent), SPLITS, 10, REFUSALS)
    assert len(found["holdout05"]) == 0
    assert list(found["holdout05"].columns) == ["question", "answer"]
    assert rows(found["holdout10"]) == contents()["holdout10"]


def test_a_subset_keeps_the_first_questions_of_the_outer_authors(tofu_folder):
    subset = {"first_authors": 1, "last_authors": 2, "questions": 3}
    files = contents()
    files["holdout10"] = [entry(n, perturbed=False) for n in range(2000, 2050)]
    found = data.read_tofu(tofu_folder(files), subset)
    numbers = [0, 1, 2, 60, 61, 62, 80, 81, 82]
    assert [row["question"] for row in found["full"]] == [f"Question {n}?" for n in numbers]
    numbers = [2000, 2001, 2002, 2020, 2021, 2022, 2040, 2041, 2042]
    assert [row["question"] for row in found["holdout10"]] == [f"Question {n}?" for n in numbers]


@pytest.mark.parametrize(("first", "last", "questions"), [(3, 3, 1), (1, 1, 21)])
def test_a_subset_larger_than_tofu_is_refused(tofu_folder, first, last, questions):
    subset = {"first_authors": first, "last_authors": last, "questions": questions}
    refused(data.read_tofu, tofu_folder(contents()), subset, names=["data.subset", "5 × 20"])


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("forget05", 2),
        ("retain90", 40),
        ("forget01_perturbed", 0),
        ("forget10_perturbed", 3),
        ("retain_perturbed", 9),
    ],
)
@pytest.mark.parametrize("field", ["question", "answer"])
def test_a_file_that_does_not_line_up_with_full_is_named_with_the_row(
    tofu_folder, name, row, field
):
    files = contents()
    files[name][row] = files[name][row] | {field: "Something else"}
    refused(data.read_tofu, tofu_folder(files), names=[f"{name}.json, row {row}:"])


def test_a_file_with_a_row_too_few_is_named(tofu_folder):
    files = contents()
    files["retain95"] = files["retain95"][:-1]
    refused(data.read_tofu, tofu_folder(files), names=["retain95.json: 94 rows"])


@pytest.mark.parametrize("name", ["full.json", "world_facts_perturbed.json"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "altered"])
def test_a_harmed_file_is_named_before_anything_is_read(tofu_folder, name, harm):
    path = tofu_folder(contents()) / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "truncated" else b" " + content[1:])
    refused(data.read_tofu, path.parent, names=[f"{name}: ", harm])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    refused(data.read_tofu, tmp_path / "nowhere", names=["nowhere: no such folder"])


def test_a_source_folder_ends_in_aligned_tables(tofu_folder):
    settings = {"source": "directory", "subset": None}
    source = data.load(settings, tofu_folder(contents()))
    frames = data.tables(source, SPLITS, 10, REFUSALS)
    assert {s: len(frames[s]) for s in SPLITS} == {"forget01": 1, "forget05": 5, "forget10": 10}
    refused(data.tables, source, SPLITS, 11, REFUSALS, names=["held_out, row 10"])


@pytest.fixture
def hub(tofu_folder, monkeypatch):
    """A hub that serves the fake folder; the calls it got."""
    calls = []

    def snapshot_download(*arguments, **options):
        calls.append((arguments, options))
        return str(folder)

    folder = tofu_folder(contents())
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return folder, calls


HUB = {"source": "hub", "hub": {"repository": "some/TOFU", "revision": "abc"}, "subset": None}


def test_the_hub_is_read_as_a_folder_is(hub):
    folder, calls = hub
    assert data.load(HUB, directory="nowhere") == data.read_tofu(folder)
    ((arguments, options),) = calls
    assert arguments == ("some/TOFU",)
    assert options["repo_type"] == "dataset"
    assert options["revision"] == "abc"
    assert sorted(options["allow_patterns"]) == sorted(tofu.file_hashes())


def test_the_hub_is_verified_as_a_folder_is(hub):
    folder, _ = hub
    (folder / "forget05.json").write_text("")
    refused(data.load, HUB, names=["forget05.json: truncated or altered"])


def test_the_hubs_rows_are_cut_as_a_folders_are(hub):
    subset = {"first_authors": 1, "last_authors": 1, "questions": 2}
    assert len(data.load(HUB | {"subset": subset})["full"]) == 4


# The real TOFU


@pytest.fixture(scope="module")
def real():
    return data.read_tofu(os.environ["GEFFECT_TOFU"])


@pytest.mark.tofu
def test_the_real_tofu_ends_in_tables_of_the_papers_sizes(real):
    frames = data.tables(real, SPLITS, 400, read_refusals())
    assert {name: len(frame) for name, frame in frames.items()} == {
        "full": 4000,
        "forget01": 40,
        "forget05": 200,
        "forget10": 400,
        "holdout01": 40,
        "holdout05": 200,
        "holdout10": 400,
        "retain99": 3960,
        "retain95": 3800,
        "retain90": 3600,
        "held_out": 400,
        "real_authors": 100,
        "world_facts": 117,
        "refusals": 100,
    }
    for split, retain in tofu.SPLITS.items():
        joined = pd.concat([frames[retain], frames[split][PLAIN]], ignore_index=True)
        pd.testing.assert_frame_equal(joined, frames["full"])
    assert {len(wrong) for wrong in frames["forget10"]["perturbed_answer"]} == {5}
    assert set(frames["holdout10"]["question"]).isdisjoint(frames["full"]["question"])


@pytest.mark.tofu
def test_the_real_tofus_perturbed_rows_belong_to_their_questions(real):
    complete = [n for n, row in enumerate(real["full"]) if row.get("perturbed_answer") is not None]
    assert complete == [*range(400), *range(3600, 4000)]


@pytest.mark.tofu
def test_a_subset_of_the_real_tofu_is_cut_and_split():
    subset = {"first_authors": 3, "last_authors": 2, "questions": 10}
    settings = {"source": "directory", "subset": subset}
    found = data.load(settings, os.environ["GEFFECT_TOFU"])
    frames = data.tables(found, ["forget10"], 10, REFUSALS)
    assert {
        n: len(frames[n]) for n in ("full", "forget10", "holdout10", "retain90", "held_out")
    } == {
        "full": 50,
        "forget10": 5,
        "holdout10": 5,
        "retain90": 45,
        "held_out": 10,
    }


@pytest.mark.tofu
def test_an_altered_byte_of_the_real_tofu_is_refused_with_the_file_named(tmp_path, rng):
    names = sorted(tofu.file_hashes())
    for name in names:
        shutil.copy(Path(os.environ["GEFFECT_TOFU"]) / name, tmp_path)
    victim = tmp_path / names[rng.integers(len(names))]
    content = bytearray(victim.read_bytes())
    content[rng.integers(len(content))] ^= 1
    victim.write_bytes(content)
    refused(data.read_tofu, tmp_path, names=[f"{victim.name}: truncated or altered"])
