"""The bench of full-size models, run with a tiny one: every part, and what is said of it."""

import dataclasses
import json
from types import SimpleNamespace

import full_size
import pandas as pd
import pytest
import torch
import yaml
from checkout import Checkout

from geffect.config import Config
from geffect.cost.cards import CARDS, USABLE
from geffect.cost.command import configuration
from geffect.cost.plan import Plan

KINDS = ("none", "kl")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(the JSON file's content, the Markdown file's)."""
    out = tmp_path_factory.mktemp("bench")
    full_size.main(["--tiny", "--seconds", "0", "--flops", "1e9", "--out", str(out)])
    text = (out / "full_size_tiny.json").read_text()
    return json.loads(text), (out / "full_size_tiny.md").read_text()


def test_every_part_runs_and_is_reported(written):
    found, text = written
    assert [row["part"] for row in found["parts"]] == list(full_size.PARTS)
    for row in found["parts"]:
        assert row["status"] == "ok"
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
        assert row["utilisation"] == pytest.approx(row["flops"] / row["seconds"] / 1e9)
        assert "peak_gib" not in row, "a CPU measures none"
        assert f"| {row['part'].strip()} " in text
    assert found["model"] == "tiny" and found["data"] == "fictional"
    assert {"git", "packages"} <= set(found)


def test_what_is_compared_does_the_same_useful_work(written):
    flops = {row["part"]: (row["flops"], row["tokens"]) for row in written[0]["parts"]}
    assert flops["fine-tuning"] == flops["fine-tuning by transformers' Trainer"]
    assert flops["unlearning, NPO"] == flops["unlearning, NPO, by the authors' habits"]
    parts = ["G-effects, data sets", "  of which instances", "  of which tokens"]
    whole = flops["G-effects, data sets, instances, tokens"][0]
    assert sum(flops[part][0] for part in parts) == pytest.approx(whole)


def test_memory_is_planned_for_what_jobs_do(written):
    planned = {row["part"] for row in written[0]["parts"] if "planned_gib" in row}
    others = {name for name in full_size.PARTS if "Trainer" in name or "habits" in name}
    others |= {name for name in full_size.PARTS if name.startswith("  ")}
    assert planned == set(full_size.PARTS) - others


def test_the_first_steps_and_repeats_do_not_count(monkeypatch):
    clock = iter([0, 10, 11, 13, 16, 20])
    monkeypatch.setattr(full_size, "now", lambda device: next(clock))
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)

    def run():
        parameter.grad = torch.ones(1)
        while True:
            optimizer.step()

    case = SimpleNamespace(device="cpu", seconds=5.5, repeats=3)
    assert full_size.steps_of(case, run) == [1, 2, 3]
    spent = iter([100, 1, 2, 4, 8])
    monkeypatch.setattr(full_size, "timed", lambda run, device: next(spent))
    assert full_size.repeats_of(case, None) == [1, 2, 4]


def test_what_does_not_fit_is_said_and_the_others_go_on(tmp_path, monkeypatch):
    def full(case):
        def seconds():
            raise torch.OutOfMemoryError("CUDA out of memory")

        return full_size.Part(seconds, 1, 1)

    parts = {"too large": full, "small": lambda case: full_size.Part(lambda: [2.0], 4, 1)}
    monkeypatch.setattr(full_size, "PARTS", parts)
    full_size.main(["--tiny", "--parts", *parts, "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "full_size_tiny.json").read_text())["parts"]
    assert rows[0] == {"part": "too large", "status": "does not fit"}
    assert rows[1]["tokens_per_second"] == 2 and "utilisation" not in rows[1]


@pytest.mark.parametrize(
    ("name", "gb", "card"),
    [
        ("NVIDIA A100-SXM4-80GB", 85.1, "A100-80GB"),
        ("NVIDIA A100-PCIE-40GB", 42.3, "A100-40GB"),
        ("NVIDIA H100 80GB HBM3", 85.0, "H100"),
        ("NVIDIA H200", 150.1, "H200"),
        ("NVIDIA L4", 24.0, None),
    ],
)
def test_a_card_is_known_by_its_name_and_memory(name, gb, card):
    found = full_size.card_named(name, gb * 1e9)
    assert (found and found.name) == card


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do():
    with pytest.raises(SystemExit, match=r"no CUDA device; --tiny"):
        full_size.main([])


@pytest.fixture(scope="module")
def chain():
    """The configuration of `make bench-chain`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(full_size.CONFIG.parent)
        return Config(configuration(["config/full_size.yaml"], []))


def test_the_chain_has_the_shape_of_phi_and_the_papers_objectives_and_fits_a_card(chain):
    (model,) = chain.models
    paper = Config(yaml.safe_load(full_size.CONFIG.read_text()))
    wanted, own = Plan(paper).shape("phi-1_5"), Plan(chain).shape(model)
    assert dataclasses.replace(own, vocabulary=wanted.vocabulary) == wanted
    assert chain.compute(model)["precision"] == paper.compute("phi-1_5")["precision"]
    keys = {(c.objective, c.regularizer) for c in paper.cells if c.split == "forget05"}
    assert {(c.objective, c.regularizer) for c in chain.cells} == {
        (objective, other) for objective, other in keys if "_" not in objective and other in KINDS
    }
    for job in Plan(chain).jobs:
        assert job.gpus == 1 and job.per_card() < USABLE * CARDS["A100-80GB"].memory


@pytest.mark.trial
def test_the_chain_runs_with_a_tiny_model(checkout, tmp_path):
    made = Checkout(checkout(tmp_path))
    made.configuration = ("config/full_size.yaml", "config/full_size_tiny.yaml")
    made.snakemake("--cores", 2, "cells", "results/full_size_tiny/tables/main.csv")
    main = pd.read_csv(tmp_path / "results/full_size_tiny/tables/main.csv")
    assert main["status"].eq("ok").all() and "ga" in set(main["objective"])
