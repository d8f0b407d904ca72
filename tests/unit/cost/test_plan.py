"""What a grid costs: which jobs there are, and how their cost follows the configuration."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from geffect.config import Config
from geffect.cost import memory
from geffect.cost.cards import CARDS, GB, UTILISATION, own_card
from geffect.cost.command import configuration
from geffect.cost.plan import _REFUSAL, STAGES, Plan
from geffect.cost.work import Work
from geffect.data.refusals import read_refusals
from geffect.errors import ConfigError
from geffect.names import NO_REGULARIZER, OFFLOADED

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


def outside(raw):
    return changed(raw, geffect__in_run=False)


def jobs(raw, stage):
    return [job for job in Plan(Config(raw)).jobs if job.stage == stage]


def test_every_cell_and_every_reference_of_the_paper_is_a_job(paper):
    config = Config(outside(paper))
    found = Plan(config).jobs
    counts = {stage: sum(job.count for job in found if job.stage == stage) for stage in STAGES}
    models, seeds = len(config.models), 1
    assert counts == {
        "base_training": 0,
        "finetune": models * seeds * (1 + 3),
        "evaluate_reference": models * seeds * 2 * 3,
        **dict.fromkeys(("unlearn", "geffect", "evaluate", "matched"), len(config.cells)),
        "evaluate_at": 0,
        **dict.fromkeys(("relearn", "relearn_reference", "quantize", "quantize_reference"), 0),
    }
    asked = changed(outside(paper), relearn={"rows": 20}, quantize=[8, 4])
    found = Plan(Config(asked)).jobs
    more = {stage: sum(job.count for job in found if job.stage == stage) for stage in STAGES}
    cells = dict.fromkeys(("relearn", "quantize"), len(config.cells))
    beside = {"relearn_reference": models * seeds * 3, "quantize_reference": models * seeds * 2 * 3}
    assert more == {**counts, **cells, **beside}


def test_relearning_costs_its_updates_and_its_looks(paper):
    def hours(**relearn):
        job = jobs(changed(one_cell(paper), relearn={"rows": 20, **relearn}), "relearn")[0]
        return job.work.flops

    # 6 updates of 16 rows, and looks at 20 rows, 400 held-out ones, and 7 texts of 380 others.
    given, more = hours(epochs=5), hours(epochs=10)
    assert 1.9 * given > more > 1.7 * given, "a look comes before the first epoch"
    assert hours(epochs=5, batch_size=20) < 1.05 * given
    only = jobs(changed(one_cell(paper), quantize=[8]), "quantize")[0].work
    both = jobs(changed(one_cell(paper), quantize=[8, 4]), "quantize")[0].work
    assert both.flops == pytest.approx(1.5 * only.flops) and both.disk > only.disk


def test_a_scratch_model_is_base_trained_and_measured_in_its_run():
    raw = configuration(["config/demo.yaml"], [])
    assert {job.stage for job in Plan(Config(raw)).jobs} == {
        *("base_training", "finetune", "evaluate_reference", "unlearn", "evaluate", "matched")
    }
    raw["evaluation"]["at"], raw["matched"]["evaluate"] = "measured", False
    stages = {job.stage for job in Plan(Config(raw)).jobs}
    assert "evaluate_at" in stages and "matched" not in stages


def test_hours_scale_with_the_card_and_its_utilisation(paper):
    job = replace(jobs(outside(one_cell(paper)), "geffect")[0], work=Work(flops=1e18))
    card = own_card(1e13, 80)
    fixed = replace(job, work=Work()).seconds(card)
    whole = job.seconds(card) - fixed
    assert whole == pytest.approx(1e18 / 1e13 / UTILISATION["bf16"])
    assert job.seconds(own_card(2e13, 80)) - fixed == pytest.approx(whole / 2)
    assert job.seconds(card, UTILISATION["bf16"] / 2) - fixed == pytest.approx(whole * 2)


def test_a_gpu_launches_while_it_computes_and_a_cpu_in_between(paper):
    job = replace(jobs(one_cell(paper), "unlearn")[0], work=Work(flops=7e13, launches=25000))
    card = own_card(1e13, 80)
    rest = replace(job, work=Work()).seconds(card)
    products = replace(job, work=Work(flops=7e13)).seconds(card) - rest
    launches = replace(job, work=Work(launches=25000)).seconds(card) - rest
    assert launches > 0
    assert job.seconds(card) - rest == pytest.approx(max(products, launches))
    on_cpu = replace(job, gpus=0)
    assert on_cpu.seconds(card) - rest == pytest.approx(products + launches)


@pytest.mark.parametrize("known", [True, False])
def test_base_training_reads_rows_of_a_third_of_the_length_unless_they_are_own_ones(known):
    plan = Plan(Config(configuration(["config/tofu_small.yaml"], [])))
    if not known:
        plan.sizes = replace(plan.sizes, background=(100, 117))
    per_pass = [
        job.work.flops / job.work.launches  # both train in the same batches
        for job in plan.jobs
        if job.stage in ("base_training", "finetune")
    ]
    assert per_pass[0] / per_pass[1] == pytest.approx(88 / 263 if known else 1)


@pytest.mark.parametrize(
    ("pair", "beside"), [(("dpo", "nll"), ("npo", "nll")), (("ga", "ap"), ("ga", "nll"))]
)
def test_refusals_beside_answers_are_passes_and_graphs_of_their_own(pair, beside, paper):
    def of(cell, stage, **changes):
        raw = outside(one_cell(paper, "phi-1_5", objective=cell[0], regularizer=cell[1]))
        raw["models"]["phi-1_5"]["precision"] = "float32"  # flops of products are all its work
        raw["models"]["phi-1_5"]["unlearn"]["gradient_checkpointing"] = False
        return jobs(changed(raw, **changes), stage)[0]

    # A question of 75 characters, a refusal of 38, and 18 of the template's, beside a row of 263.
    share = (75 + 38 + 18) / 263
    one = of(("ga", "none"), "unlearn").work.flops  # a pass of three products, and back
    more = of(pair, "unlearn").work.flops - of(beside, "unlearn").work.flops
    # The objective, and θ_o's log-probabilities, a third of it; or a regularizer of its own.
    passes = 4 / 3 if pair[0] == "dpo" else 1
    assert more == pytest.approx(share * passes * one)

    held = [of(cell, "unlearn").parts["activations"] for cell in (beside, pair)]
    assert 1.3 * held[0] < held[1] < 1.7 * held[0]
    without = {"geffect__tokens": False, "geffect__instances": False}
    counts = [of(cell, "geffect", **without).work.flops for cell in (beside, pair)]
    tokens = [of(cell, "geffect", geffect__instances=False).work.flops for cell in (beside, pair)]
    assert counts[1] > counts[0]
    # Their tokens are in the table if they are the objective's.
    ratio = (tokens[1] - counts[1]) / (tokens[0] - counts[0])
    assert ratio == pytest.approx(1 + share * (pair[0] == "dpo"))


def test_refusals_are_as_long_as_the_projects_own():
    own = read_refusals()
    assert pytest.approx(sum(map(len, own)) / len(own), abs=1) == _REFUSAL


def test_bf16_is_faster_and_tf32_between(paper):
    raw = outside(one_cell(paper))
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
    raw = outside(one_cell(paper))
    before, after = (jobs(given, stage)[0].work.flops for given in (raw, changed(raw, **changes)))
    assert (after > before) if more else (after < before)


@pytest.mark.parametrize("offload", [[], list(OFFLOADED)])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("objective", "regularizer", "more", "original"),
    [("ga", NO_REGULARIZER, 0, 0), ("npo", NO_REGULARIZER, 0, 0), ("ga", "nll", 12, 0),
     ("ga", "kl", 12, 1), ("npo", "kl", 12, 1), ("rmu", "rr", 12, 1)],
)  # fmt: skip
def test_a_job_holds_what_the_page_on_clusters_says(
    objective, regularizer, more, original, precision, offload, paper
):
    own = {"precision": precision, "offload": offload}
    raw = one_cell(paper, objective=objective, regularizer=regularizer)
    raw["models"]["llama-2-7b"] |= own
    beside = original * (2 if precision == "bf16" else 4)  # θ_o

    def per_parameter(raw, stage):
        (job,) = jobs(raw, stage)
        passing = ("activations", "rounded weights", "in passing")
        held = [size for name, size in job.parts.items() if name not in passing]
        return sum(held) / 6_738_415_616

    training = per_parameter(outside(raw), "unlearn")
    measuring, within = (
        per_parameter(r, s) for r, s in [(outside(raw), "geffect"), (raw, "unlearn")]
    )
    if offload:
        assert training == pytest.approx(8 + beside, rel=0.02)
        # In bf16 the tables' rounded weights, 2 more, make them the fullest moment.
        fullest = 8 if precision == "bf16" else 12
        assert measuring == within == pytest.approx(fullest, rel=0.02)
    else:
        shared = 4 if more else 0
        assert training == pytest.approx(16 + more + beside, rel=0.02)
        assert measuring == pytest.approx(24 + shared + beside, rel=0.02)
        assert within == pytest.approx(32 + 2 * shared + beside, rel=0.02)


def test_the_papers_grid_fits_cards_of_80_gb_one_by_one(paper):
    for job in Plan(Config(paper)).jobs:
        assert job.gpus == 1 and job.per_card() < 80 * GB
        assert job.seconds(A100) < 4 * 3600


def test_transfers_take_time(paper):
    cell = one_cell(paper)
    took = []
    for parts in ([], ["optimizer"], ["optimizer", "shares"], list(OFFLOADED)):
        cell["models"]["llama-2-7b"]["offload"] = parts
        took.append(jobs(cell, "unlearn")[0].work.host)
    assert took[0] == 0 and took == sorted(set(took))
    assert took[1] == 125 * 16 * 6_738_415_616
    assert took[2] == 125 * (16 + 40) * 6_738_415_616


@pytest.mark.parametrize("in_run", [True, False])
@pytest.mark.parametrize("parameters", ["adapter", "merged"])
def test_adapters_park_what_is_theirs_and_not_the_model(parameters, in_run, paper):
    lora = {"rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]}
    raw = changed(one_cell(paper), geffect__in_run=in_run, geffect__parameters=parameters)
    raw["models"]["llama-2-7b"]["offload"] = list(OFFLOADED)
    raw["models"]["llama-2-7b"]["unlearn"]["lora"] = lora
    trained = 32 * 2 * 8 * (4096 + 4096)
    measured = 32 * 2 * 4096**2 if parameters == "merged" else trained
    # The optimiser's moments, those of the regularizer's share, and the gradients of both losses
    # with the weights and gradients of the step before; or the latter with those of this step.
    gradients = 2 * measured
    training = trained * (2 + 2)
    moments = [training + trained * 2 + trained + gradients, training + trained + 2 * gradients]
    if in_run:
        assert jobs(raw, "unlearn")[0].parked == 4 * max(moments)
    else:
        assert jobs(raw, "unlearn")[0].parked == 4 * (training + 2 * trained)
        assert jobs(raw, "geffect")[0].parked == 4 * (trained * 3 + 2 * gradients)
    raw["models"]["llama-2-7b"]["offload"] = []
    raw = changed(raw, relearn={"rows": 20})
    assert {j.stage for j in Plan(Config(raw)).jobs if j.parked} == {"matched"}, "beside θ_o"


def test_relearning_parks_the_moments_of_the_optimiser(paper):
    raw = changed(one_cell(paper), relearn={"rows": 20})
    raw["models"]["llama-2-7b"]["offload"] = ["optimizer"]
    assert jobs(raw, "relearn")[0].parked == 2 * 4 * 6_738_415_616


def test_adapters_relearn_without_what_training_the_whole_model_takes(paper):
    raw = changed(one_cell(paper), relearn={"rows": 20})
    entry = raw["models"]["llama-2-7b"]
    entry["offload"] = ["optimizer"]
    whole = jobs(raw, "relearn")[0]
    entry["unlearn"]["lora"] = {"rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]}
    trained = 32 * 2 * 8 * (4096 + 4096)
    adapted = jobs(raw, "relearn")[0]
    assert adapted.parked == 2 * 4 * trained
    assert {parts.get("gradients", 0) for parts in adapted.moments.values()} == {0, 4 * trained}
    assert memory.total(adapted.parts) < memory.total(whole.parts) - 0.9 * 4 * 6_738_415_616
    assert adapted.work.flops < whole.work.flops


def test_a_search_at_matched_retention_keeps_both_models_in_the_machines_memory(paper):
    both = 2 * 4 * 6_738_415_616 / 2**20
    (found,) = jobs(one_cell(paper), "matched")
    assert both < found.mem_mb < 1.5 * both
    on_cpu = left_open(one_cell(paper), compute__device="cpu").jobs
    (found,) = (job for job in on_cpu if job.stage == "matched")
    assert 1.5 * both < found.mem_mb < 2.5 * both, "and the model that walks between them"


def test_cards_share_what_a_model_holds_but_not_its_activations(paper, rng):
    one = replace(jobs(outside(one_cell(paper)), "unlearn")[0], gpus=4)
    own = one.parts.get("activations", 0)
    assert 4 * (one.per_card() - own) + own == pytest.approx(memory.total(one.parts))
    held, activations = rng.uniform(1, 100, size=(2, 3))
    moments = {
        str(k): {"weights": h, "activations": a}
        for k, (h, a) in enumerate(zip(held, activations, strict=True))
    }
    for gpus in (0, 1, 3, 1000):
        expected = max(held / max(1, gpus) + activations)
        assert replace(one, gpus=gpus, moments=moments).per_card() == pytest.approx(expected)


def test_checkpoints_and_states_take_disk_unless_measured_in_the_run(paper):
    raw = one_cell(paper)
    in_run, stored = jobs(raw, "unlearn")[0], jobs(outside(raw), "unlearn")[0]
    one = 4 * 6_738_415_616
    steps = 5 * 400 // 16 // 5  # measured ones after the first
    # Weights at all but the last, and the regularizer's share at all of them.
    assert stored.passing - in_run.passing == pytest.approx((2 * steps - 1) * one)
    assert in_run.passing == pytest.approx((1 + 2 * 5) * one)
    assert stored.files == one
    assert jobs(changed(raw, keep_models=False), "unlearn")[0].files == 0
    kept = jobs(changed(outside(raw), keep_checkpoints=True), "unlearn")[0]
    assert kept.files == pytest.approx(2 * steps * one)


@pytest.mark.parametrize(("at", "written"), [("last", 0), ([5, 10, 125], 2), ("measured", 24)])
def test_in_a_run_only_checkpoints_that_are_evaluated_are_written(at, written, paper):
    raw = changed(one_cell(paper), evaluation__at=at)
    more = jobs(raw, "unlearn")[0].passing - jobs(one_cell(paper), "unlearn")[0].passing
    assert more == pytest.approx(written * 4 * 6_738_415_616)


@pytest.mark.parametrize("stage", ["unlearn", "finetune"])
def test_states_cost_time_by_the_minutes_between_them(stage, paper):
    raw, slow = one_cell(paper), own_card(1e13, 80, 1e4)

    def found(minutes):
        return jobs(changed(raw, training__resume_minutes=minutes), stage)[0]

    never, always = found(1e9), found(0)
    # 125 updates with a checkpoint every 5; 625 with an occasion every 25.
    assert never.occasions == always.occasions == 24
    took = never.seconds(slow)
    saved = always.seconds(slow) - took
    assert saved == pytest.approx(always.occasions * always.state / 1e9)
    a_few = found(took / 60 / 3.5)
    assert a_few.seconds(slow) - took == pytest.approx(3 * always.state / 1e9)


def test_the_papers_configuration_fits_its_cards_and_a_cell_takes_hours_not_days(paper):
    for job in Plan(Config(paper)).jobs:
        assert job.per_card() < 0.95 * A100.memory, (job.model, job.stage)
    raw = one_cell(paper)
    assert raw["geffect"]["instances"] and raw["geffect"]["tokens"]
    of_cell = [jobs(raw, stage)[0] for stage in ("unlearn", "evaluate", "matched")]
    assert sum(job.gpus * job.seconds(A100) / 3600 for job in of_cell) < 4


def left_open(raw, **changes):
    models = {name: {**own, "resources": {"runtime": 10}} for name, own in raw["models"].items()}
    return Plan(Config(changed(raw, models=models, **changes)))


def test_what_is_left_open_is_requested_as_the_largest_job_of_a_stage_needs_it(paper):
    plan, named = left_open(paper), Plan(Config(paper))
    for model in plan.config.models:
        for stage in ("finetune", "unlearn_in_run", "evaluate", "matched"):
            asked = plan.resources(model, stage)
            assert asked["gpus"] == named.resources(model, stage)["gpus"] == 1
            held = [
                j.parked + j.state for j in plan.jobs if (j.model, j.requests) == (model, stage)
            ]
            # MiB; beside it the driver and libraries, and a margin.
            assert max(held) / 2**20 < asked["mem_mb"] < 1.3 * max(held) / 2**20 + 45_000
    most = plan.resources("llama-2-7b", "unlearn_in_run")
    # What `config.yaml` names by hand.
    assert most["mem_mb"] == pytest.approx(450_000, rel=0.1)
    assert plan.resources("llama-2-7b", "unlearn_in_run", 2)["mem_mb"] == 2 * most["mem_mb"]


def test_smaller_cards_are_as_many_as_hold_a_job_and_the_cpu_holds_it_itself(paper):
    small = left_open(paper, compute__card="A100-40GB")
    jobs = {job.gpus: job for job in small.jobs if job.requests == "unlearn_in_run"}
    assert max(jobs) > 1 and small.resources("llama-2-7b", "unlearn_in_run")["gpus"] == max(jobs)
    size = 0.94 * 40 * GB
    for number, job in jobs.items():
        assert job.per_card() <= size
        assert number == 1 or replace(job, gpus=number - 1).per_card() > size
    gpus, cpu = left_open(paper), left_open(paper, compute__device="cpu")
    for stage in ("finetune", "evaluate"):
        on_gpu, on_cpu = (plan.resources("phi-1_5", stage) for plan in (gpus, cpu))
        assert on_cpu["gpus"] == 0 and on_cpu["mem_mb"] > on_gpu["mem_mb"]


def test_what_is_left_open_and_cannot_be_counted_is_asked_for():
    raw = configuration(["config/demo.yaml"], [])
    raw["models"]["tiny-phi"] |= {
        "architecture": "gpt_neox",
        "resources": {"gpus": 1, "runtime": 9},
    }
    plan = Plan(Config(raw))
    message = r"models.tiny-phi.resources.mem_mb: missing, and cannot .*gpt_neox.*; set it"
    with pytest.raises(ConfigError, match=message):
        plan.resources("tiny-phi", "finetune")
    raw["models"]["tiny-phi"]["resources"]["mem_mb"] = 10
    assert Plan(Config(raw)).resources("tiny-phi", "finetune")["mem_mb"] == 10
