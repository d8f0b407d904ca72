"""A job that its GPUs cannot hold is refused before it computes."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from geffect.config import Config
from geffect.cost.cards import GB
from geffect.cost.check import check_gpus
from geffect.cost.command import configuration
from geffect.cost.plan import Plan
from geffect.errors import ConfigError
from geffect.jobs import engine
from geffect.models import compute

ROOT = Path(__file__).parents[3]
CELL = {"split": "forget05", "objective": "npo", "regularizer": "kl", "seed": "42"}
LLAMA = {"model": "llama-2-7b", **CELL}


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def raw():
    """The paper's grid, with one model over several cards and nothing parked."""
    found = configuration([], [])
    llama = found["models"]["llama-2-7b"]
    llama |= {"offload": [], "resources": {"gpus": 5, "mem_mb": 1000, "runtime": 10}}
    return found


def refusal(raw, stage, wildcards, gpus):
    with pytest.raises(ConfigError) as refused:
        check_gpus(raw, stage, wildcards, gpus)
    text = str(refused.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("in_run", [True, False])
@pytest.mark.parametrize("model", ["phi-1_5", "llama-2-7b"])
def test_the_job_that_wildcards_name_is_the_one_of_the_grid(model, in_run, raw):
    raw["geffect"]["in_run"] = in_run
    raw["grid"] = [{"models": [model], **{f"{k}s": [CELL[k]] for k in CELL}}]
    raw["grid"][0]["seeds"] = [42]
    raw["geffect"]["probes"] = {"objectives": [], "regularizers": []}
    raw["relearn"], raw["quantize"] = {"rows": 20}, [4]
    plan = Plan(Config(raw))
    added = ["relearn", "quantize"]
    stages = ["unlearn", "evaluate", "matched", *added, *([] if in_run else ["geffect"])]
    for stage in stages:
        (job,) = (job for job in plan.jobs if job.stage == stage)
        assert plan.job(stage, {"model": model, **CELL}) == job
    fitted = plan.job("finetune", {"model": model, "corpus": "retain95", "seed": "42"})
    for job in plan.jobs:
        assert job.stage != "finetune" or (job.parts, job.gpus) == (fitted.parts, fitted.gpus)


@pytest.mark.parametrize(
    "stage", ["finetune", "unlearn", "evaluate", "matched", "relearn", "quantize"]
)
def test_a_job_runs_on_cards_as_large_as_its_plan_and_on_none_that_is_smaller(stage, raw, rng):
    raw["relearn"], raw["quantize"] = {"rows": 20}, [4]
    job = Plan(Config(raw)).job(stage, LLAMA)
    size = int(job.per_card()) + 1
    larger = int(rng.integers(size, 2 * size))
    cards = [("a", larger)] * (job.gpus - 1)
    check_gpus(raw, stage, LLAMA, [*cards, ("b", size)])
    text = refusal(raw, stage, LLAMA, [*cards, ("b", size - 2)])
    assert text.startswith(f"models.llama-2-7b.resources: {stage} needs {size / GB:.1f} GB on ")
    assert f"but b has {size / GB:.1f} GB" in text and "use larger ones" in text
    largest = max(job.parts, key=job.parts.get)
    assert f"(together: {largest} {job.parts[largest] / GB:.2f}" in text
    # Everything that a model holds is spread over what there is.
    check_gpus(raw, stage, LLAMA, [("a", size)] * (job.gpus + 1))


def test_a_job_may_try_what_is_counted_to_be_too_much(raw):
    cards = [("small", int(GB))] * 5
    assert "if that counts too much, set compute.check_memory: false" in refusal(
        raw, "unlearn", LLAMA, cards
    )
    raw["compute"]["check_memory"] = False
    check_gpus(raw, "unlearn", LLAMA, cards)
    assert "sees 4" in refusal(raw, "unlearn", LLAMA, cards[1:])


def test_the_number_of_cards_that_is_advised_is_enough(raw, rng):
    size = int(rng.uniform(30, 50) * GB)
    text = refusal(raw, "unlearn", LLAMA, [("small", size)] * 5)
    enough = int(re.search(r"use (\d+) of them \(gpus\)", text)[1])
    check_gpus(raw, "unlearn", LLAMA, [("small", size)] * enough)
    refusal(raw, "unlearn", LLAMA, [("small", size)] * (enough - 1))
    assert "set geffect.in_run: false" in text


def test_activations_are_met_by_fewer_rows_at_once(raw):
    raw["models"]["phi-1_5"]["finetune"]["micro_batch_size"] = 512
    text = refusal(raw, "finetune", {"model": "phi-1_5"}, [("small", int(40 * GB))])
    assert "lower models.phi-1_5.finetune.micro_batch_size" in text
    raw["models"]["phi-1_5"]["finetune"]["micro_batch_size"] = 8
    check_gpus(raw, "finetune", {"model": "phi-1_5"}, [("small", int(40 * GB))])


def test_fewer_gpus_than_requested_are_refused_unless_the_cpu_is_asked_for(raw):
    whole = [("large", int(500 * GB))]
    text = refusal(raw, "unlearn", LLAMA, whole * 3)
    assert "requests 5 GPUs, but sees 3" in text and "CUDA_VISIBLE_DEVICES" in text
    assert "compute.device: cpu" in refusal(raw, "unlearn", LLAMA, [])
    raw["compute"]["device"] = "cpu"
    check_gpus(raw, "unlearn", LLAMA, [])
    raw["compute"]["device"] = "auto"
    raw["models"]["llama-2-7b"]["resources"] |= {"gpus": 0, "stages": {}}
    check_gpus(raw, "unlearn", LLAMA, [])


def test_what_cannot_be_counted_is_said_and_not_refused(caplog):
    raw = configuration(["config/demo.yaml"], [])
    raw["models"]["tiny-phi"]["architecture"] = "gpt_neox"
    with caplog.at_level(logging.INFO, "geffect"):
        check_gpus(raw, "unlearn", {**CELL, "model": "tiny-phi", "split": "forget10"}, [("x", 1)])
    assert "memory is not checked beforehand: " in caplog.text and "gpt_neox" in caplog.text


@pytest.mark.parametrize(("device", "count"), [("cuda", 5), ("cuda:2", 1)])
def test_jobs_prepare_their_device_and_ask_for_every_gpu_that_their_model_is_spread_over(
    device, count, raw, monkeypatch
):
    asked = []

    def properties(index):
        asked.append(index)
        return SimpleNamespace(name="a card", total_memory=int(70 * GB))

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    prepared = {}

    def prepare(name, **others):
        prepared.update(others)
        return torch.device(name)

    monkeypatch.setattr(compute, "prepare", prepare)
    given = SimpleNamespace(name=device, precision="bf16")
    script = SimpleNamespace(
        params=SimpleNamespace(compute=vars(given)), wildcards=LLAMA, config=raw
    )
    if count == 5:
        assert engine.prepared("unlearn", script) == torch.device(device)
    else:
        with pytest.raises(ConfigError, match="requests 5 GPUs, but sees 1"):
            engine.prepared("unlearn", script)
    assert prepared == {"precision": "bf16"}
    assert len(asked) == count and (count == 5 or asked == [2])
    raw["compute"]["device"] = given.name = "cpu"
    assert engine.prepared("unlearn", script) == torch.device("cpu")
