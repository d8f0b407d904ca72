"""What a grid costs: which jobs there are, and how their cost follows the configuration."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from geffect.config import Config
from geffect.cost import memory
from geffect.cost.cards import CARDS, GB, UTILISATION, own_card
from geffect.cost.command import configuration
from geffect.cost.plan import STAGES, Plan
from geffect.cost.work import Work
from geffect.names import NO_REGULARIZER

ROOT = Path(__file__).parents[3]
A100 = CARDS["A100-80GB"]


@pytest.fixture(scope="module")
def paper():
    return configuration([], [])


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module", autouse=True)
def _there():
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    yield
    patch.undo()


def changed(raw, **changes):
    """A configuration with other values at paths such as geffect__in_run."""
    raw = copy.deepcopy(raw)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = raw
        for key in parents:
            place = place[key]
        place[last] = value
    return raw


def one_cell(raw, model="llama-2-7b", split="forget10", objective="npo", regularizer="kl"):
    block = {"models": [model], "splits": [split], "objectives": [objective]}
    block |= {"regularizers": [regularizer], "seeds": [42]}
    unprobed = {"objectives": [], "regularizers": []}
    return changed(raw, grid=[block], geffect__probes=unprobed)


def jobs(raw, stage):
    return [job for job in Plan(Config(raw)).jobs if job.stage == stage]


def test_every_cell_and_every_reference_of_the_paper_is_a_job(paper):
    config = Config(paper)
    found = Plan(config).jobs
    counts = {stage: sum(job.count for job in found if job.stage == stage) for stage in STAGES}
    models, seeds = len(config.models), 1
    assert counts == {
        "base_training": 0,
        "finetune": models * seeds * (1 + 3),
        "evaluate_reference": models * seeds * 2 * 3,
        **dict.fromkeys(("unlearn", "geffect", "evaluate", "matched"), len(config.cells)),
        "evaluate_at": 0,
    }


def test_a_scratch_model_is_base_trained_and_measured_in_its_run():
    raw = configuration(["config/demo.yaml"], [])
    assert {job.stage for job in Plan(Config(raw)).jobs} == {
        *("base_training", "finetune", "evaluate_reference", "unlearn", "evaluate", "matched")
    }
    raw["evaluation"]["at"], raw["matched"]["evaluate"] = "measured", False
    stages = {job.stage for job in Plan(Config(raw)).jobs}
    assert "evaluate_at" in stages and "matched" not in stages


def test_hours_scale_with_the_card_and_its_utilisation(paper):
    job = replace(jobs(one_cell(paper), "geffect")[0], work=Work(flops=1e18))
    card = own_card(1e13, 80)
    fixed = replace(job, work=Work()).seconds(card)
    whole = job.seconds(card) - fixed
    assert whole == pytest.approx(1e18 / 1e13 / UTILISATION["bf16"])
    assert job.seconds(own_card(2e13, 80)) - fixed == pytest.approx(whole / 2)
    assert job.seconds(card, UTILISATION["bf16"] / 2) - fixed == pytest.approx(whole * 2)


def test_bf16_is_faster_and_tf32_between(paper):
    raw = one_cell(paper)
    full = changed(raw, **{"models__llama-2-7b__precision": "float32"})
    tf32 = changed(full, compute__tf32=True)
    took = [jobs(given, "geffect")[0].seconds(A100) for given in (raw, tf32, full)]
    assert took == sorted(took) and took[0] < took[1] < took[2]


@pytest.mark.parametrize(
    ("changes", "stage", "more"),
    [
        ({"geffect__instances": False}, "geffect", False),
        ({"geffect__tokens": False}, "geffect", False),
        ({"geffect__change": "simpson"}, "geffect", True),
        ({"training__checkpoint_every": 25}, "geffect", False),
        ({"training__unlearn__epochs": 10}, "unlearn", True),
        ({"models__llama-2-7b__unlearn__gradient_checkpointing": False}, "unlearn", False),
        ({"data__held_out_rows": 800}, "geffect", True),
        ({"evaluation__generation_length": 400}, "evaluate", True),
        ({"evaluation__gradient_norm": False}, "evaluate", False),
        ({"evaluation__max_rows": 100}, "evaluate", False),
    ],
)
def test_what_is_asked_for_costs_flops(changes, stage, more, paper):
    raw = one_cell(paper)
    before, after = (jobs(given, stage)[0].work.flops for given in (raw, changed(raw, **changes)))
    assert (after > before) if more else (after < before)


@pytest.mark.parametrize(
    ("objective", "regularizer", "units"),
    [("ga", NO_REGULARIZER, 4), ("npo", NO_REGULARIZER, 4), ("ga", "nll", 7), ("ga", "kl", 8),
     ("npo", "kl", 8), ("rmu", "rr", 8)],
)  # fmt: skip
def test_training_holds_what_the_page_on_clusters_says(objective, regularizer, units, paper):
    job = jobs(one_cell(paper, objective=objective, regularizer=regularizer), "unlearn")[0]
    held = {k: v for k, v in job.parts.items() if k not in ("activations", "rounded weights")}
    held.pop("in passing", None)
    assert sum(held.values()) / (4 * 6_738_415_616) == pytest.approx(units)


@pytest.mark.parametrize(
    ("in_run", "regularizer", "units"),
    [(False, NO_REGULARIZER, 7), (False, "kl", 9), (True, NO_REGULARIZER, 9), (True, "kl", 12)],
)
def test_measuring_holds_what_the_page_on_clusters_says(in_run, regularizer, units, paper):
    raw = changed(one_cell(paper, regularizer=regularizer), geffect__in_run=in_run)
    job = jobs(raw, "unlearn" if in_run else "geffect")[0]
    assert memory.total(job.parts) / (4 * 6_738_415_616) == pytest.approx(units, rel=0.02)


def test_cards_share_what_a_model_holds_but_not_its_activations(paper):
    one = jobs(one_cell(paper), "unlearn")[0]
    assert one.gpus == 4
    own = one.parts.get("activations", 0)
    assert 4 * (one.per_card() - own) + own == pytest.approx(memory.total(one.parts))
    assert one.per_card() < 80 * GB


def test_checkpoints_and_states_take_disk_unless_measured_in_the_run(paper):
    raw = one_cell(paper)
    stored, in_run = jobs(raw, "unlearn")[0], jobs(changed(raw, geffect__in_run=True), "unlearn")[0]
    one = 4 * 6_738_415_616
    assert stored.passing - in_run.passing == pytest.approx(2 * 24 * one)
    assert stored.files == one
    assert jobs(changed(raw, keep_models=False), "unlearn")[0].files == 0
    kept = jobs(changed(raw, keep_checkpoints=True), "unlearn")[0]
    assert kept.files == pytest.approx(49 * one)
