"""Running text from files to pages: a tiny model forgets texts that nobody asks about."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from checkout import Checkout

pytestmark = pytest.mark.slow

WORDS = "The river ran past old mills where people sold bread and salt, and wool; then it froze."
CELL = "cells/small/river/npo+kl/seed3"
CHUNK = 20  # words
TEXTS = {"forget": 3, "retain": 5, "held_out": 3, "holdout": 2}
ABSENT = ("es_perturb", "fq", "mu", "rouge", "truth_ratio")


def columns(main):
    """The columns of the main table that the metrics which running text lacks stand in."""
    return [name for name in main if name.startswith(ABSENT)]


@pytest.fixture
def run(tiny_model, tokenizer, checkout, rng, tmp_path):
    """A finished run, and the texts that were forgotten."""
    made = Checkout(checkout(tmp_path))
    tiny_model(tokenizer=tokenizer, dtype=torch.float32).save_pretrained(made.folder / "small")
    tokenizer.save_pretrained(made.folder / "small")
    texts = {
        role: [
            " ".join(rng.choice(WORDS.split(), size=rng.integers(25, 50))) for _ in range(number)
        ]
        for role, number in TEXTS.items()
    }
    for role, rows in texts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in rows)
        (made.folder / f"{role}.jsonl").write_text(lines, encoding="utf-8")
    loop = {"epochs": 1, "batch_size": 4, "micro_batch_size": 4, "learning_rate": 1e-3}
    config = {
        "run": "nano",
        "data": {
            "source": "tables",
            "tables": {
                "columns": {"question": None, "answer": "text"},
                "splits": {"river": {role: f"{role}.jsonl" for role in TEXTS}},
                "chunk_words": CHUNK,
            },
        },
        "models": {
            "small": {
                "source": "path",
                "path": "small",
                "template": "phi",
                "resources": {"runtime": 60},
                "finetune": loop,
                "unlearn": {**loop, "batch_size": 3, "epochs": 2},
            }
        },
        "grid": [
            {
                "models": ["small"],
                "splits": ["river"],
                "objectives": ["npo"],
                "regularizers": ["kl"],
                "seeds": [3],
            }
        ],
        "geffect": {"probes": {"objectives": [], "regularizers": []}},
        "evaluation": {"bootstrap": 0},
        "matched": {"evaluate": False},
        "compute": {"device": "cpu"},
    }
    (made.folder / "texts.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    made.configuration = ("texts.yaml",)
    made.snakemake("--cores", 1)
    return made, texts["forget"]


def test_texts_are_cut_forgotten_measured_evaluated_and_shown(run):
    made, texts = run
    table = pd.read_parquet(made.path("data/river.parquet"))
    assert table["question"].eq("").all()
    assert table.groupby("source_row")["answer"].agg("".join).tolist() == texts
    assert table["answer"].str.split().str.len().max() == CHUNK
    assert len(table) > len(texts)

    tokens = pd.read_parquet(made.path(f"{CELL}/tokens.parquet"))
    start = tokens[tokens["step"].eq(tokens["step"].min())].sort_values(["sample", "token"])
    said = start.groupby("row")["string"].agg("".join)
    for row in table.itertuples():
        # Nothing is masked: all of a chunk, and the end of a text after its last one.
        found = said[row.row].replace("<|endoftext|>", "")
        assert found == row.answer and (found != said[row.row]) == row.last
    instances = pd.read_parquet(made.path(f"{CELL}/instances.parquet"))
    total = instances[instances["component"].eq("total")].set_index(["step", "sample"])
    for name in ("e_unlearn", "e_retain"):
        sums = tokens.groupby(["step", "sample"])[name].sum()
        size = tokens[name].abs().groupby([tokens["step"], tokens["sample"]]).sum()
        assert ((sums - total[name]).abs() <= 1e-3 * size.max()).all()
    effects = pd.read_parquet(made.path(f"{CELL}/geffect.parquet"))
    last = effects[effects["step"].eq(effects["step"].max()) & effects["component"].eq("total")]
    assert set(last["term"]) == {"objective", "regularizer", "combined"}
    assert np.isfinite(last[["geffect", "cosine"]]).all(axis=None)

    main = pd.read_csv(made.path("tables/main.csv"))
    assert main["objective"].tolist() == ["original", "retain_model", "npo"]
    assert main["status"].eq("ok").all() and main[columns(main)].isna().all(axis=None)
    there = ["es_exact_unlearn", "es_exact_retain", "prob_unlearn", "prob_retain"]
    assert main[there].notna().all(axis=None)
    of_cell = main[main["objective"].eq("npo")]
    assert of_cell[["e_unlearn", "e_retain", "change_unlearn"]].notna().all(axis=None)
    metrics = pd.read_csv(made.path("tables/metrics.csv"))
    missing = metrics["metric"].isin(ABSENT) | metrics["dataset"].isin(
        ["real_authors", "world_facts"]
    )
    missing |= metrics["metric"].eq("mia_reference") & metrics["objective"].eq("retain_model")
    assert (metrics["value"].isna() == missing).all()
    note = made.path("tables/main.md").read_text("utf-8")
    for what in ("ES perturb of D_u", "FQ and the truth ratio of D_u", "MU", "ROUGE of D_r"):
        assert f"{what} missing (river): the" in note
    assert "running text" in note and "Membership" not in note

    drawn = {path.stem for path in made.path("figures/small/river").glob("*.pdf")}
    assert {"geffect_npo", "layers_npo", "performance_npo", "trade_off"} <= drawn
    statements = pd.read_csv(made.path("tables/statements.csv"))
    assert "river" in set(statements["split"])
    page = made.path("report/small/river/tokens.html").read_text("utf-8")
    strings = set(tokens["string"]) - {"<|endoftext|>"}
    assert strings and all(json.dumps(string)[1:-1] in page for string in strings)
    assert made.path("report/index.html").stat().st_size > 1000
