"""Where rows come from: TOFU from the hub or a folder, or the fictional stand-in.

Every source ends in the same verified tables (`tables`), written as parquet:

- `full`: all rows (`row`, `question`, `answer`);
- `forget{p}`: the last p% of `full`, with `paraphrased_question`, `paraphrased_answer` and
  `perturbed_answer` (a list of wrong answers);
- `retain{100-p}`: the rest (`row`, `question`, `answer`);
- `held_out`: the first rows of `full`, kept from unlearning, with the fields of `forget{p}`;
- `holdout{p}`: as many rows as `forget{p}` of authors whom no model ever sees (`question`,
  `answer`); none where the source has none;
- `real_authors`, `world_facts`: `question`, `answer`, `perturbed_answer`;
- `refusals`: `text`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from geffect.data import fictional
from geffect.data.tofu import (
    HOLDOUT,
    QUESTIONS,
    SPLITS,
    check_counts,
    download,
    forget_count,
    verify_folder,
)
from geffect.errors import DataError

_PERTURBED = ["paraphrased_question", "paraphrased_answer", "perturbed_answer"]


def read_tofu(folder: str | Path, subset: dict | None = None) -> dict[str, list[dict]]:
    """Reads verified TOFU files: `full` (with perturbed fields where TOFU has them) and the others.

    Args:
        folder: holds the JSON files.
        subset: None, or `first_authors`, `last_authors` and `questions`: keeps the first
            questions of the first and of the last authors.

    Raises:
        DataError: a file is altered, a forget split is not the tail of `full`, or perturbed rows
            do not line up.
    """
    import datasets

    # Counting the load on the hub would need a network for local files.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    verify_folder(folder)

    def load(name: str) -> list[dict]:
        path = str(Path(folder) / f"{name}.json")
        return datasets.load_dataset("json", data_files=path, split="train").to_list()

    full = load("full")
    for split, retain in SPLITS.items():
        tail = load(split)
        _same(full[-len(tail) :], tail, f"{split}.json", "the tail of full.json")
        _same(full[: -len(tail)], load(retain), f"{retain}.json", "the head of full.json")
        perturbed = load(f"{split}_perturbed")
        _same(tail, perturbed, f"{split}_perturbed.json", f"{split}.json")
    head = load("retain_perturbed")
    _same(full[: len(head)], head, "retain_perturbed.json", "the head of full.json")
    rows = [*head, *full[len(head) : -len(perturbed)], *perturbed]
    if subset is not None:
        rows = _subset(rows, **subset)
    background = {n: load(f"{n}_perturbed") for n in ("real_authors", "world_facts")}
    holdout = {n: load(n) for n in HOLDOUT.values() if (Path(folder) / f"{n}.json").is_file()}
    if subset is not None:
        holdout = {name: _first_questions(rows, **subset) for name, rows in holdout.items()}
    return {"full": rows, **background, **holdout}


def _same(expected: Sequence[dict], actual: Sequence[dict], name: str, what: str) -> None:
    for number, (a, b) in enumerate(zip(expected, actual, strict=False)):
        if a["question"] != b["question"] or a["answer"] != b["answer"]:
            raise DataError(f"{name}, row {number}: differs from {what}; copy the file again")
    if len(expected) != len(actual):
        raise DataError(f"{name}: {len(actual)} rows, but {what} has {len(expected)}")


def _subset(
    rows: Sequence[dict], first_authors: int, last_authors: int, questions: int
) -> list[dict]:
    authors = len(rows) // QUESTIONS
    if first_authors + last_authors > authors or questions > QUESTIONS:
        raise DataError(
            f"data.subset: {first_authors} + {last_authors} authors × {questions} questions, but "
            f"TOFU has {authors} × {QUESTIONS}; ask for fewer"
        )
    kept = [*range(first_authors), *range(authors - last_authors, authors)]
    return [rows[a * QUESTIONS + q] for a in kept for q in range(questions)]


def _first_questions(rows: Sequence[dict], questions: int, **_: int) -> list[dict]:
    return [row for number, row in enumerate(rows) if number % QUESTIONS < questions]


def tables(
    source: dict[str, list[dict]], splits: Sequence[str], held_out: int, refusals: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Cuts a source into the tables that this module's docstring lists.

    Raises:
        DataError: a split is empty, overlaps the held-out rows, or lacks perturbed answers.
    """
    full = pd.DataFrame(source["full"])
    full.insert(0, "row", range(len(full)))
    plain = full[["row", "question", "answer"]]
    result = {"full": plain}
    check_counts(len(full), splits, held_out)
    for split in splits:
        size = forget_count(len(full), split)
        result[split] = _complete(full[-size:], split)
        result[SPLITS[split]] = plain[:-size]
        holdout = source.get(HOLDOUT[split], source.get("holdout", []))[:size]
        result[HOLDOUT[split]] = pd.DataFrame(holdout, columns=["question", "answer"])
    result["held_out"] = _complete(full[:held_out], "held_out")
    for name in ("real_authors", "world_facts"):
        result[name] = pd.DataFrame(source[name])[["question", "answer", "perturbed_answer"]]
    result["refusals"] = pd.DataFrame({"text": list(refusals)})
    return {name: frame.reset_index(drop=True) for name, frame in result.items()}


def _complete(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    incomplete = frame[frame[_PERTURBED].isna().any(axis=1)] if len(frame) else frame
    if len(incomplete):
        raise DataError(
            f"{what}, row {incomplete['row'].iloc[0]}: no paraphrased or perturbed answer in the "
            "source; choose rows that have them (data.held_out_rows, data.subset)"
        )
    return frame[["row", "question", "answer", *_PERTURBED]]


def load(settings: dict, directory: str | Path | None = None) -> dict[str, list[dict]]:
    """The rows of `settings["source"]`: hub, directory or fictional.

    Args:
        settings: the configuration's `data`.
        directory: TOFU's folder, for the source `directory`.
    """
    source = settings["source"]
    if source == "fictional":
        return fictional.generate(**settings["fictional"])
    if source == "hub":
        directory = download(**settings["hub"])
    assert directory is not None  # `Config.check_files`
    return read_tofu(directory, settings["subset"])
