"""The configuration: the paper's values, and one readable line for every mistake."""

import copy
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from geffect.config import CellKey, Config
from geffect.data import tofu
from geffect.errors import ConfigError, DataError, GeffectError
from geffect.losses import registry

ROOT = Path(__file__).parents[3]
OVERLAYS = sorted((ROOT / "config").glob("*.yaml"))
ON_TOP_OF = {
    "all_objectives.yaml": "demo.yaml",
    "full_size_tiny.yaml": "full_size.yaml",
    "relearning.yaml": "demo.yaml",
    "token_selection.yaml": "demo.yaml",
    "tofu_grid.yaml": "tofu_small.yaml",
}
MODELS = ("phi-1_5", "llama-2-7b")
SPLITS = ("forget01", "forget05", "forget10")


@cache
def parsed(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read(path):
    return copy.deepcopy(parsed(path))


def merge(base, over):
    """Snakemake's --configfile: mappings merge, everything else replaces."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {k: merge(base.get(k), over[k]) if k in over else base[k] for k in {**base, **over}}
    return over


def put(raw, path, value):
    """Sets a dotted path; a list's entry is named by its number."""
    *parents, last = path.split("/")
    for key in parents:
        raw = raw[int(key)] if isinstance(raw, list) else raw.setdefault(key, {})
    raw[last] = value


def rename(raw, path, new):
    *parents, last = path.split("/")
    for key in parents:
        raw = raw[int(key)] if isinstance(raw, list) else raw[key]
    raw[new] = raw.pop(last)


@pytest.fixture
def raw():
    return read(ROOT / "config.yaml")


@pytest.fixture
def scratch():
    return merge(read(ROOT / "config.yaml"), read(ROOT / "config" / "demo.yaml"))


def refused(raw, *fragments, kind=ConfigError, check=Config):
    with pytest.raises(GeffectError) as caught:
        check(raw)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert len(message.splitlines()) == 1
    for fragment in fragments:
        assert fragment in message
    return message


# What the repository ships


def test_the_papers_config_loads():
    Config(read(ROOT / "config.yaml"))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda p: p.name)
def test_every_shipped_overlay_loads(path):
    raw = read(ROOT / "config.yaml")
    if path.name in ON_TOP_OF:
        raw = merge(raw, read(ROOT / "config" / ON_TOP_OF[path.name]))
    config = Config(merge(raw, read(path)))
    assert config.cells
    if config.raw["data"]["source"] != "directory":
        config.check_files()


def test_all_objectives_are_compared_at_equal_settings(scratch):
    overlay = read(ROOT / "config" / "all_objectives.yaml")
    config = Config(merge(scratch, overlay))
    names = {cell.objective for cell in config.cells}
    variants = config.raw["objectives"]
    assert {variants[name]["objective"] for name in names} == set(registry.catalogue("objective"))
    assert {(c.objective, c.regularizer) for c in config.cells} == {
        (name, regularizer) for name in names for regularizer in ("none", "kl")
    }
    for cell in config.cells:
        training = config.training(cell.model, "unlearn", cell.objective)
        assert training["learning_rate"] == 1e-3, cell
    changed = [v for o in overlay["objectives"].values() for m in o["models"].values() for v in m]
    assert set(changed) == {"layer"}, "hyper-parameters stay at their published values"


def test_the_own_merge_does_what_snakemake_does(raw):
    update_config = pytest.importorskip("snakemake.utils").update_config
    for path in OVERLAYS:
        expected = copy.deepcopy(raw)
        update_config(expected, read(path))
        assert merge(raw, read(path)) == expected


# The paper's values

PAPER = {
    "ga": {},
    "wga": {"alpha": 5},
    "npo": {"beta": 0.5},
    "tnpo": {"beta": 4},
    "wtnpo": {"alpha": 1.5, "beta": 5},
    "po": {},
}
PAPER_AT_10 = {"wga": {"alpha": 7}, "tnpo": {"beta": 5}, "wtnpo": {"alpha": 1.5, "beta": 7}}
PAPER_RMU = {
    "phi-1_5": {"normalize": False, "layer": 9, "c": 4},
    "llama-2-7b": {"normalize": False, "layer": 21, "c": 2},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("split", SPLITS)
def test_hyper_parameters_are_the_papers(raw, model, split):
    config = Config(raw)
    expected = {**PAPER, "rmu": PAPER_RMU[model]}
    if split == "forget10":
        expected |= PAPER_AT_10
    for name, hyper in expected.items():
        assert config.loss("objective", name, split, model) == {"name": name, "hyper": hyper}


@pytest.mark.parametrize("model", MODELS)
def test_regularizers_have_coefficient_one_and_rr_takes_rmus_layer(raw, model):
    config = Config(raw)
    layer = PAPER_RMU[model]["layer"]
    for name, hyper in {"nll": {}, "kl": {}, "rr": {"layer": layer}}.items():
        assert config.loss("regularizer", name, "forget05", model) == {
            "name": name,
            "hyper": hyper,
            "coefficient": 1,
            "positions": "labels",
        }
    assert config.loss("regularizer", "none", "forget05", model) is None


@pytest.mark.parametrize("positions", ["labels", "all"])
def test_positions_and_coefficient_of_a_regularizer_reach_its_loss(raw, positions):
    raw["regularizers"]["kl"] |= {"positions": positions, "coefficient": 0.25}
    kl = Config(raw).loss("regularizer", "kl", "forget05", "phi-1_5")
    assert kl == {"name": "kl", "hyper": {}, "coefficient": 0.25, "positions": positions}


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_whether_the_answer_tag_is_labelled_reaches_the_template(raw, model, label):
    raw["label_answer_tag"] = label
    name = raw["models"][model]["template"]
    expected = {**raw["templates"][name], "label_answer_tag": label}
    assert Config(raw).template(model) == expected


@pytest.mark.parametrize(("model", "rate"), [("phi-1_5", 2e-5), ("llama-2-7b", 1e-5)])
def test_training_settings_are_the_papers(raw, model, rate):
    config = Config(raw)
    common = {"epochs": 5, "learning_rate": rate, "warmup_epochs": 1, "schedule": "linear"}
    unlearn = config.training(model, "unlearn", "ga")
    finetune = config.training(model, "finetune")
    expected = common | {"batch_size": 16, "weight_decay": 0, "max_grad_norm": 1}
    assert {key: unlearn[key] for key in expected} == expected
    expected = common | {"batch_size": 32, "weight_decay": 0.01}
    assert {key: finetune[key] for key in expected} == expected
    assert raw["training"]["checkpoint_every"] == 5


@pytest.mark.parametrize("split", SPLITS)
def test_runs_are_looked_at_every_few_steps_and_at_their_end(raw, split):
    cell = CellKey("phi-1_5", split, "npo", "kl", 42)
    config = Config(raw)
    measured = config.measured_steps(cell)
    last = {"forget01": 12, "forget05": 62, "forget10": 125}[split]
    assert measured == [*range(0, last, 5), last]
    assert config.evaluated_steps(cell) == [], "at the end, which is always done"
    raw["evaluation"]["at"] = "measured"
    assert Config(raw).evaluated_steps(cell) == measured
    raw["evaluation"]["at"] = [10, 0]
    assert Config(raw).evaluated_steps(cell) == [0, 10]
    assert "at" not in Config(raw).evaluation
    assert Config(raw).evaluation | {"at": [10, 0]} == raw["evaluation"]


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ([5, 7], r"evaluation\.at: 7 is not a checkpoint of .* there are 0, 5, 10, 12 \(every"),
        ([15], r"15 is not a checkpoint of \w+ on forget01 of"),
        ("first", r"evaluation\.at: 'first' is not allowed; write last, measured, or a list"),
        ([], r"evaluation\.at: is empty"),
        ([5, 5], r"evaluation\.at: 5 is listed twice"),
        ([-5], r"evaluation\.at\[0\]"),
        (5, r"evaluation\.at: 5 is not text or a list"),
    ],
)
def test_steps_that_are_no_checkpoints_are_refused_with_those_that_are(raw, at, line):
    raw["evaluation"]["at"] = at
    with pytest.raises(ConfigError, match=line) as error:
        Config(raw)
    assert "\n" not in str(error.value)


def test_the_data_and_evaluation_are_the_papers(raw):
    assert raw["data"]["held_out_rows"] == 400
    assert raw["data"]["hub"] == {"repository": "locuslab/TOFU", "revision": tofu.REVISION}
    assert raw["data"]["subset"] is None
    assert raw["label_answer_tag"] is True
    assert raw["evaluation"]["max_rows"] is None
    assert raw["evaluation"]["truth_ratio"] == "geometric"
    assert raw["evaluation"]["generation_length"] == 200
    assert raw["geffect"]["retain_rows"] == "held_out"


@pytest.mark.parametrize(
    ("model", "identifier", "layers", "text"),
    [
        ("phi-1_5", "microsoft/phi-1_5", 24, "Question: {question}\nAnswer: {answer}"),
        ("llama-2-7b", "NousResearch/Llama-2-7b-chat-hf", 32, "[INST] {question} [/INST]{answer}"),
    ],
)
def test_the_models_are_the_papers(raw, model, identifier, layers, text):
    config = Config(raw)
    assert config.model(model)["id"] == identifier
    assert config.layers(model) == layers
    assert config.template(model)["text"] == text
    assert re.fullmatch("[0-9a-f]{40}", config.model(model)["revision"])


def test_the_papers_grid_has_2_3_7_2_cells(raw):
    config = Config({**raw, "grid": raw["grid"][:1]})
    assert len(config.cells) == len(set(config.cells)) == 2 * 3 * 7 * 2
    for position, names in enumerate([MODELS, SPLITS, (*PAPER, "rmu"), ("none", "kl"), (42,)]):
        assert {tuple(cell)[position] for cell in config.cells} == set(names)


def swept(raw, model):
    """What the sweeps' cells resolve to, as (objective, values): forget05, no regularizer."""
    config = Config(raw)
    cells = [
        c
        for c in config.cells
        if (c.model, c.split, c.regularizer, c.seed) == (model, "forget05", "none", 42)
    ]
    losses = [config.loss("objective", c.objective, c.split, c.model) for c in cells]
    return Counter((loss["name"], *sorted(loss["hyper"].items())) for loss in losses)


@pytest.mark.parametrize(
    ("model", "layers"), [("phi-1_5", (5, 9, 16, 24)), ("llama-2-7b", (10, 21, 32))]
)
def test_every_sweep_is_there_and_no_point_is_run_twice(raw, model, layers):
    expected = [("wga", ("alpha", a)) for a in (0.5, 1, 2, 5, 7)]
    expected += [("npo", ("beta", b)) for b in (0.1, 0.5, 1, 2)]
    expected += [("tnpo", ("beta", b)) for b in (1, 2, 4, 5)]
    plain = ("normalize", False)
    expected += [("rmu", ("c", c), ("layer", layer), plain) for layer in layers for c in (1, 2, 4)]
    found = swept(raw, model)
    assert {point: found[point] for point in expected} == dict.fromkeys(expected, 1)
    rest = {("ga",), ("po",), ("wtnpo", ("alpha", 1.5), ("beta", 5))}
    assert set(found) - set(expected) == rest


@pytest.mark.parametrize("model", MODELS)
def test_retain_objectives_are_measured_along_gas_trajectory_and_their_own(raw, model):
    config = Config(raw)
    own = {c.regularizer for c in config.cells if tuple(c)[:3] == (model, "forget05", "ga")}
    assert own == {"none", "kl", "nll", "rr"}
    along = config.probes(CellKey(model, "forget05", "ga", "none", 42))
    assert set(along) == {"nll", "kl", "rr"}
    assert config.probes(CellKey(model, "forget05", "ga", "kl", 42)) == {}
    assert config.probes(CellKey(model, "forget05", "wga", "none", 42)) == {}


# Precedence


def test_a_models_override_wins_over_a_splits_which_wins_over_the_variant(raw):
    raw["objectives"]["wtnpo"] = {
        "objective": "wtnpo",
        "alpha": 1,
        "beta": 1,
        "splits": {"forget05": {"alpha": 2, "beta": 2}},
        "models": {"phi-1_5": {"beta": 3}},
    }
    config = Config(raw)

    def hyper(split, model):
        return config.loss("objective", "wtnpo", split, model)["hyper"]

    assert hyper("forget05", "phi-1_5") == {"alpha": 2, "beta": 3}
    assert hyper("forget01", "phi-1_5") == {"alpha": 1, "beta": 3}
    assert hyper("forget05", "llama-2-7b") == {"alpha": 2, "beta": 2}
    assert hyper("forget01", "llama-2-7b") == {"alpha": 1, "beta": 1}


def test_a_coefficient_can_be_overridden_like_a_hyper_parameter(raw):
    raw["regularizers"]["kl"]["splits"] = {"forget05": {"coefficient": 2}}
    raw["regularizers"]["kl"]["models"] = {"phi-1_5": {"coefficient": 3}}
    config = Config(raw)

    def coefficient(split, model):
        return config.loss("regularizer", "kl", split, model)["coefficient"]

    assert coefficient("forget05", "phi-1_5") == 3
    assert coefficient("forget05", "llama-2-7b") == 2
    assert coefficient("forget01", "llama-2-7b") == 1


def test_a_variants_training_settings_win_over_the_models(raw):
    raw["objectives"]["ga"]["unlearn"] = {"learning_rate": 7e-6}
    config = Config(raw)
    assert config.training("phi-1_5", "unlearn", "ga")["learning_rate"] == 7e-6
    assert config.training("phi-1_5", "unlearn", "npo")["learning_rate"] == 2e-5
    assert config.training("phi-1_5", "finetune", "ga")["learning_rate"] == 2e-5


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ({}, 127),
        ({"stages": ["evaluate"]}, 127),
        ({"objectives": ["npo"]}, 12),
        ({"objectives": ["npo", "wga"], "splits": ["forget05"], "regularizers": ["kl"]}, 4),
        ({"models": ["phi-1_5"], "objectives": ["ga"], "seeds": [42]}, 8),
    ],
)
def test_only_leaves_the_cells_that_it_names(raw, only, count):
    config = Config(raw | {"only": only})
    assert len(config.selected()) == count
    assert len(config.cells) == 127, "the grid, and so the tables, stay as they are"
    for cell in config.selected():
        assert all(getattr(cell, k[:-1]) in v for k, v in only.items() if k != "stages")


@pytest.mark.parametrize(
    "only", [{"seeds": [7]}, {"objectives": ["gaa"]}, {"objective": ["ga"]}, {"stages": ["train"]}]
)
def test_an_only_that_is_misspelt_is_an_error(raw, only):
    with pytest.raises(ConfigError, match="only"):
        Config(raw | {"only": only}).selected()


def test_an_only_of_which_no_cell_has_everything_is_an_error(raw):
    raw["grid"] = [
        raw["grid"][0] | {"objectives": ["ga"], "seeds": [1]},
        raw["grid"][0] | {"objectives": ["npo"], "seeds": [2]},
    ]
    with pytest.raises(ConfigError, match="selects no cell"):
        Config(raw | {"only": {"objectives": ["ga"], "seeds": [2]}}).selected()


def test_what_relearning_leaves_open_is_the_unlearning_of_the_model(raw):
    assert Config(raw).relearning("phi-1_5") is None
    raw["relearn"] = {"rows": 20, "epochs": 3, "learning_rate": 1e-4}
    raw["objectives"]["ga"]["unlearn"] = {"weight_decay": 0.5}
    raw["models"]["llama-2-7b"]["relearn"] = {"learning_rate": 5e-6, "micro_batch_size": 2}
    config = Config(raw)
    for model, own in (
        ("phi-1_5", {"epochs": 3, "learning_rate": 1e-4}),
        ("llama-2-7b", {"epochs": 3, "learning_rate": 5e-6, "micro_batch_size": 2}),
    ):
        assert config.relearning(model) == config.training(model, "unlearn") | own


def test_what_a_token_selection_leaves_open_has_defaults(raw):
    raw["objectives"]["ga"]["tokens"] = {"drop": 0.25, "rows": 7}
    config = Config(raw)
    assert config.selection("ga") == {"drop": 0.25, "by": "e_retain", "every": 1, "rows": 7}
    assert config.selection("npo") is None
    assert "tokens" not in config.loss("objective", "ga", "forget01", "phi-1_5")["hyper"]


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ({"drop": 1}, ["objectives.ga.tokens.drop"]),
        ({"by": "logp"}, ["objectives.ga.tokens.drop", "missing"]),
        ({"drop": 0.1, "by": "e_retian"}, ["tokens.by", "e_retain"]),
        ({"drop": 0.1, "every": 3}, ["tokens.every", "training.checkpoint_every, 5", "divisor"]),
        ({"drop": 0.1, "rows": 3201}, ["tokens.rows", "forget10", "3200 at most"]),
        ({"drop": 0.1, "row": 1}, ["tokens.row", "rows"]),
    ],
)
def test_a_token_selection_that_cannot_be_run_is_named(raw, given, fragments):
    raw["objectives"]["ga"]["tokens"] = given
    refused(raw, *fragments)


def test_all_rows_that_may_be_trained_on_may_rank_tokens(raw):
    raw["objectives"]["ga"]["tokens"] = {"drop": 0.1, "rows": 3200}
    Config(raw)


def test_tokens_of_a_regularizer_or_of_a_loss_without_token_effects_are_refused(raw, tmp_path):
    raw["regularizers"]["kl"]["tokens"] = {"drop": 0.1}
    refused(raw, "regularizers.kl.tokens")
    del raw["regularizers"]["kl"]["tokens"]
    file = tmp_path / "sums.py"
    file.write_text('REDUCTION = "sample"\n\n\ndef loss(view):\n    return view.logp.sum(1)\n')
    raw["objectives"]["ga"] = {"objective": str(file), "tokens": {"drop": 0.1}}
    refused(raw, "objectives.ga.tokens.by", "weight()")
    for by in ("logp", "entropy", "random"):
        raw["objectives"]["ga"]["tokens"]["by"] = by
        Config(raw)


def test_a_stage_may_ask_for_other_resources_than_its_model(raw):
    usual = {"gpus": 4, "mem_mb": 128000, "runtime": 1440}
    raw["models"]["llama-2-7b"]["resources"] = {**usual, "stages": {"evaluate": {"gpus": 1}}}
    config = Config(raw)
    assert config.resources("llama-2-7b", "unlearn") == usual
    assert config.resources("llama-2-7b", "evaluate") == usual | {"gpus": 1}
    phi = config.resources("phi-1_5", "evaluate")
    assert phi == config.resources("phi-1_5", "geffect") | {"runtime": 120}
    stages = {"unlearn": {"runtime": 7, "mem_mb": 70}, "unlearn_in_run": {"runtime": 9}}
    raw["models"]["llama-2-7b"]["resources"]["stages"] = stages
    found = Config(raw).resources("llama-2-7b", "unlearn_in_run")
    assert (found["runtime"], found["mem_mb"], found["gpus"]) == (9, 70, usual["gpus"])
    assert Config(raw).resources("llama-2-7b", "unlearn")["runtime"] == 7
    raw["models"]["phi-1_5"]["resources"]["stages"] = {"train": {"gpus": 2}}
    with pytest.raises(ConfigError, match="train"):
        Config(raw)


def test_what_a_model_leaves_open_is_what_is_counted_unless_a_stage_names_it(raw):
    stages = {"evaluate": {"gpus": 3}}
    raw["models"]["llama-2-7b"]["resources"] = {"runtime": 10, "stages": stages}
    config = Config({**raw, "limits": {"mem_mb": 5500}})
    assert config.leaves_open("llama-2-7b") and not config.leaves_open("phi-1_5")
    assert config.uses_gpus("llama-2-7b")
    assert config.resources("llama-2-7b", "unlearn") == {"runtime": 10}
    counted = {"gpus": 2, "mem_mb": 2000}
    asked = [config.resources("llama-2-7b", "evaluate", n, counted) for n in (1, 2, 3)]
    assert asked == [
        {"gpus": 3, "mem_mb": min(2000 * n, 5500), "runtime": 10 * n} for n in (1, 2, 3)
    ]
    assert config.resources("llama-2-7b", "unlearn", 1, counted)["gpus"] == 2
    for device, used in (("cpu", False), ("auto", True)):
        own = {**raw["models"]["llama-2-7b"], "resources": {"runtime": 10}}
        models, compute = {**raw["models"], "llama-2-7b": own}, {**raw["compute"], "device": device}
        assert Config(raw | {"models": models, "compute": compute}).uses_gpus("llama-2-7b") == used


def test_what_a_retry_asks_for_grows_up_to_the_limits_of_the_site(raw):
    first, third = (Config(raw).resources("llama-2-7b", "unlearn", n) for n in (1, 3))
    assert third == first | {name: 3 * first[name] for name in ("mem_mb", "runtime")}
    limited = Config({**raw, "limits": {"runtime": first["runtime"] + 1}})
    assert limited.resources("llama-2-7b", "unlearn", 3) == third | {
        "runtime": first["runtime"] + 1
    }
    limited = Config({**raw, "limits": {"mem_mb": 10}})
    assert limited.resources("llama-2-7b", "unlearn")["mem_mb"] == 10


def test_hub_models_compute_in_bf16_unless_told_otherwise(raw, scratch):
    asked = {"device": "auto", "threads": 1, "tf32": False}
    raw["models"]["llama-2-7b"].pop("offload", None)
    assert Config(raw).compute("llama-2-7b") == asked | {"precision": "bf16", "offload": []}
    assert Config(scratch).compute("tiny-phi")["precision"] == "float32"
    raw["models"]["llama-2-7b"] |= {"precision": "float32", "offload": ["measurement"]}
    raw["compute"]["tf32"] = True
    config = Config(raw)
    assert config.compute("llama-2-7b") == asked | {
        "precision": "float32",
        "tf32": True,
        "offload": ["measurement"],
    }
    assert config.compute("phi-1_5")["precision"] == "bf16"


@pytest.mark.parametrize("stage", ["finetune", "unlearn"])
def test_batches_whose_micro_batches_count_are_divided_evenly(stage, raw, rng):
    rows = raw["training"][stage]["batch_size"]
    uneven = int(rng.choice([n for n in range(2, rows) if rows % n]))
    raw["training"][stage]["micro_batch_size"] = uneven
    raw["models"]["llama-2-7b"][stage].pop("micro_batch_size", None)
    Config(raw)
    raw["training"][stage]["reduction"] = "microbatch"
    key = f"training.{stage}.micro_batch_size: {uneven} does not divide the batch_size {rows}"
    refused(raw, key, f"the {rows % uneven} rows that are left over")
    for model in ("phi-1_5", "llama-2-7b"):
        raw["models"][model][stage]["micro_batch_size"] = rows // 2
    Config(raw)
    raw["models"]["phi-1_5"][stage]["micro_batch_size"] = rows + 1  # a single one
    Config(raw)
    raw["models"]["phi-1_5"][stage]["micro_batch_size"] = uneven
    refused(raw, f"models.phi-1_5.{stage}.micro_batch_size: {uneven}")
    raw["models"]["phi-1_5"][stage]["micro_batch_size"] = rows // 2
    raw["objectives"]["ga"]["unlearn"] = {"micro_batch_size": uneven}
    if stage == "unlearn":
        refused(raw, f"objectives.ga.unlearn.micro_batch_size: {uneven}")


def test_the_card_of_a_plan_is_no_argument_of_jobs(raw, scratch):
    before = Config(raw).compute("phi-1_5")
    raw["compute"]["card"] = "H200"
    assert Config(raw).compute("phi-1_5") == before
    raw["compute"]["card"] = "H300"
    refused(raw, "compute.card", "H200")


def test_a_model_uses_gpus_where_any_of_its_jobs_requests_one(raw, scratch):
    assert Config(raw).uses_gpus("llama-2-7b")
    assert not Config(scratch).uses_gpus("tiny-phi")
    scratch["models"]["tiny-phi"]["resources"]["stages"] = {"matched": {"gpus": 1}}
    assert Config(scratch).uses_gpus("tiny-phi")


def test_a_cell_named_twice_is_run_once(raw):
    once = Config(raw).cells
    raw["grid"] = [*raw["grid"], *raw["grid"]]
    assert Config(raw).cells == once


# Mistakes: one line, the key, the mend


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("grid", "gird"),
        ("data/held_out_rows", "heldout"),
        ("data/hub/revision", "revison"),
        ("data/fictional/questions", "question"),
        ("training/unlearn/epochs", "epoch"),
        ("models/phi-1_5/template", "templat"),
        ("models/phi-1_5/unlearn/learning_rate", "learning_rat"),
        ("templates/phi/answer_tag", "answer_tags"),
        ("grid/0/seeds", "seed"),
        ("geffect/probes/objectives", "objective"),
        ("evaluation/max_rows", "max_row"),
    ],
)
def test_a_misspelt_key_is_named_with_its_correction(raw, path, new):
    rename(raw, path, new)
    place = re.sub(r"/(\d+)/", r"[\1].", "/".join([*path.split("/")[:-1], new])).replace("/", ".")
    refused(raw, f"{place}: unknown key", f"did you mean {path.split('/')[-1]!r}?")


def test_a_misspelt_key_of_the_subset_is_named(raw):
    raw["data"]["subset"] = {"first_authors": 2, "last_author": 2, "questions": 2}
    refused(raw, "data.subset.last_author: unknown key", "did you mean 'last_authors'?")


def test_a_misspelt_key_of_a_variants_training_settings_is_named(raw):
    raw["objectives"]["ga"]["unlearn"] = {"learning_rat": 7e-6}
    refused(raw, "objectives.ga.unlearn.learning_rat: unknown key", "'learning_rate'")


def test_a_key_that_is_far_from_all_gets_the_list_of_known_ones(raw):
    raw["compute"]["xyzzy"] = 1
    refused(raw, "compute.xyzzy: unknown key; known: card, check_memory, device, tf32, threads")


@pytest.mark.parametrize(
    "path", ["run", "data/held_out_rows", "grid/0/seeds", "models/phi-1_5/layers", "objectives/ga"]
)
def test_an_absent_key_is_named(raw, path):
    *parents, last = path.split("/")
    place = raw
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place[key]
    del place[last]
    refused(raw, last, *parents[:1])


@pytest.mark.parametrize(
    ("section", "known", "wrong", "right"),
    [
        ("models", "model", "phi-1.5", "phi-1_5"),
        ("splits", "split", "forget5", "forget05"),
        ("objectives", "objective", "wgaa", "wga"),
        ("regularizers", "regularizer", "kll", "kl"),
    ],
)
def test_an_unknown_name_in_the_grid_is_named(raw, section, known, wrong, right):
    raw["grid"][1][section] = [wrong]
    message = refused(raw, f"grid[1].{section}: unknown {known} {wrong!r}", "did you mean")
    assert right[:2] in message.split("did you mean")[1]


@pytest.mark.parametrize(
    ("kind", "wrong"), [("objective", "gaa"), ("regularizer", "kll"), ("objective", "zzz")]
)
def test_an_unknown_file_of_a_variant_is_named(raw, kind, wrong):
    raw[f"{kind}s"]["mine"] = {kind: wrong, **({"coefficient": 1} if kind[0] == "r" else {})}
    refused(raw, f"{kind}s.mine.{kind}: unknown {kind} {wrong!r}", "; ")


def test_an_unknown_template_is_named(raw):
    raw["models"]["phi-1_5"]["template"] = "pih"
    refused(raw, "models.phi-1_5.template: unknown template 'pih'", "did you mean 'phi'?")


@pytest.mark.parametrize("place", ["", "splits/forget05/", "models/phi-1_5/"])
def test_an_unknown_hyper_parameter_is_named_wherever_it_stands(raw, place):
    put(raw, f"objectives/wga/{place}alhpa", 3)
    dotted = f"objectives.wga.{place.replace('/', '.')}alhpa"
    refused(raw, f"{dotted}: objective 'wga' has no such", "did you mean 'alpha'?")


def test_a_hyper_parameter_of_an_objective_without_any_is_refused(raw):
    raw["objectives"]["ga"]["alpha"] = 3
    refused(raw, "objectives.ga.alpha: objective 'ga' has no such hyper-parameter; it has none")


@pytest.mark.parametrize("section", ["splits", "models"])
def test_overrides_for_something_unknown_are_named(raw, section):
    raw["objectives"]["wga"][section] = {"forgot": {"alpha": 3}}
    refused(raw, f"objectives.wga.{section}: unknown {section[:-1]} 'forgot'", "; ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("objectives/wga/alpha", -1),
        ("objectives/wga/splits/forget10/alpha", -1),
        ("objectives/npo/beta", 0),
        ("objectives/rmu/models/phi-1_5/layer", 0),
        ("regularizers/kl/coefficient", 0),
        ("regularizers/kl/models/phi-1_5/coefficient", 0),
        ("objectives/wga/alpha", "5"),
        ("objectives/wga/alpha", True),
        ("objectives/rmu/models/phi-1_5/layer", 9.5),
        ("objectives/wga/alpha", [1, 2]),
        ("objectives/wga/alpha", None),
        ("training/unlearn/epochs", 0),
        ("models/phi-1_5/unlearn/learning_rate", "2e-5"),
        ("grid/0/seeds", [-1]),
        ("grid/0/models", []),
        ("compute/device", "gpu"),
        ("run", "a/b"),
        ("data/held_out_rows", 0),
    ],
)
def test_a_value_out_of_range_or_of_a_wrong_type_is_named(raw, path, value):
    put(raw, path, value)
    where = re.sub(r"/(\d+)/", r"[\1].", path).replace("/", ".")
    refused(raw, where, "; ")


def test_a_hyper_parameter_missing_for_a_split_is_named_with_the_split(raw):
    raw["objectives"]["wga"] = {"objective": "wga", "splits": {"forget10": {"alpha": 7}}}
    refused(
        raw,
        "objectives.wga.alpha: missing for split forget01 of model phi-1_5",
        "objectives.wga.splits.forget01",
    )


def test_a_hyper_parameter_missing_for_a_model_is_named_with_the_model(raw):
    del raw["objectives"]["rmu"]["models"]["llama-2-7b"]
    refused(
        raw,
        "objectives.rmu.layer: missing for split forget01 of model llama-2-7b",
        "objectives.rmu.models.llama-2-7b",
    )


def test_a_hyper_parameter_missing_where_no_cell_needs_it_is_no_error(raw):
    raw["objectives"]["unused"] = {"objective": "wga"}
    Config(raw)


def test_a_hyper_parameter_with_a_default_may_be_missing(raw):
    assert "normalize" not in raw["objectives"]["rmu"]
    found = Config(raw).loss("objective", "rmu", "forget01", "phi-1_5")
    assert found["hyper"] == {"layer": 9, "c": 4, "normalize": False}
    raw["objectives"]["rmu"]["normalize"] = True
    found = Config(raw).loss("objective", "rmu", "forget01", "phi-1_5")
    assert found["hyper"] == {"layer": 9, "c": 4, "normalize": True}


def test_every_variant_that_is_there_can_be_in_a_grid(raw):
    raw["grid"] = [
        {
            "models": list(MODELS),
            "splits": list(SPLITS),
            "objectives": [name for name in raw["objectives"] if not name.startswith("rmu_l")],
            "regularizers": [*raw["regularizers"], "none"],
            "seeds": [42],
        }
    ]
    used = {raw["objectives"][name]["objective"] for name in raw["grid"][0]["objectives"]}
    assert used == set(registry.catalogue("objective")), "a variant for every objective"
    Config(raw)


@pytest.mark.parametrize("kind", ["objective", "regularizer"])
def test_a_layer_that_the_model_does_not_have_is_refused(raw, kind):
    variant = {"objective": "rmu", "regularizer": "rr"}[kind]
    raw[f"{kind}s"][variant]["models"]["phi-1_5"]["layer"] = 25
    refused(
        raw,
        f"{kind}s.{variant}: layer 25, but model phi-1_5 has 24",
        f"choose one of 1..24 (e.g. under {kind}s.{variant}.models.phi-1_5)",
    )


def test_the_last_layer_is_a_layer(raw):
    raw["objectives"]["rmu"]["models"]["phi-1_5"]["layer"] = 24
    Config(raw)


def test_a_hub_model_of_two_blocks_is_refused(raw):
    raw["models"]["phi-1_5"]["layers"] = 2
    refused(raw, "models.phi-1_5.layers: 2 blocks", "at least 3; use a deeper model")


def test_a_scratch_model_of_two_blocks_is_refused(scratch):
    scratch["models"]["tiny-phi"]["config"]["num_hidden_layers"] = 2
    key = "models.tiny-phi.config.num_hidden_layers"
    refused(scratch, f"{key}: 2 blocks", "at least 3; use a deeper model")


@pytest.fixture
def by_path(raw, tmp_path):
    """The paper's configuration with its Phi in a folder, and that folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 24}))
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).touch()
    entry = raw["models"]["phi-1_5"]
    for key in ("id", "revision", "layers"):
        del entry[key]
    entry |= {"source": "path", "path": str(folder)}
    return raw, folder


def test_a_model_folder_tells_its_number_of_blocks(by_path):
    raw, _ = by_path
    assert Config(raw).layers("phi-1_5") == 24


@pytest.mark.parametrize("name", ["n_layer", "n_layers", "num_layers"])
def test_a_model_folder_may_call_its_blocks_as_its_family_does(by_path, name):
    raw, folder = by_path
    (folder / "config.json").write_text(json.dumps({name: 24}))
    assert Config(raw).layers("phi-1_5") == 24


def test_a_model_folder_of_two_blocks_is_refused(by_path):
    raw, folder = by_path
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 2}))
    refused(raw, "models.phi-1_5.", "2 blocks", "at least 3; use a deeper model")


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json", "."])
def test_a_path_without_a_model_is_refused(by_path, lost):
    raw, folder = by_path
    if lost == ".":
        raw["models"]["phi-1_5"]["path"] = str(folder / "nowhere")
    else:
        (folder / lost).unlink()
    refused(raw, "models.phi-1_5.path: ", "not a model folder", "save_pretrained")


@pytest.mark.parametrize("content", ["{}", "{", '{"num_hidden_layers": null}'])
def test_a_model_folder_whose_config_says_no_number_of_blocks_is_refused(by_path, content):
    raw, folder = by_path
    (folder / "config.json").write_text(content)
    refused(raw, "models.phi-1_5.path: ")


@pytest.mark.parametrize("value", ["4", None, 4.5])
def test_a_scratch_models_number_of_blocks_has_to_be_an_integer(scratch, value):
    scratch["models"]["tiny-phi"]["config"]["num_hidden_layers"] = value
    refused(scratch, "models.tiny-phi.config.num_hidden_layers")


@pytest.mark.parametrize(
    ("text", "tag", "key"),
    [
        ("Answer: {answer}", "", "text"),
        ("{question}{question}{answer}", "", "text"),
        ("{question}", "", "text"),
        ("{question}{answer}.", "", "text"),
        ("{answer}{question}{answer}", "", "text"),
        ("{question} {answer}", "Answer: ", "answer_tag"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused(raw, text, tag, key):
    raw["templates"]["phi"] = {"text": text, "answer_tag": tag}
    refused(raw, f"templates.phi.{key}: must ")


@pytest.mark.parametrize("name", ["none", "original", "retain_model"])
@pytest.mark.parametrize("kind", ["objective", "regularizer"])
def test_reserved_names_are_refused(raw, kind, name):
    raw[f"{kind}s"][name] = raw[f"{kind}s"].pop({"objective": "ga", "regularizer": "kl"}[kind])
    refused(raw, f"{kind}s.{name}: the name is reserved; rename the variant")


@pytest.mark.parametrize("name", ["a+b", "a/b", "", "ü"])
def test_names_that_would_break_paths_are_refused(raw, name):
    raw["objectives"][name] = {"objective": "ga"}
    refused(raw, "objectives", "; ")


@pytest.mark.parametrize("key", ["objectives", "regularizers"])
def test_an_unknown_probe_is_named(raw, key):
    raw["geffect"]["probes"][key] = ["nlll"]
    refused(raw, f"geffect.probes.{key}: unknown {key[:-1]} 'nlll'", "; ")


def test_a_probe_that_lacks_its_layer_for_a_model_is_named(raw):
    raw["grid"] = raw["grid"][:1]
    del raw["regularizers"]["rr"]["models"]["llama-2-7b"]
    refused(raw, "regularizers.rr.layer: missing for", "model llama-2-7b")


# Files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that passes for TOFU's."""
    folder = tmp_path / "tofu"
    folder.mkdir()
    names = [f"{name}.json" for name in ("full", "forget01", "retain99")]
    for name in names:
        (folder / name).write_text(f"the rows of {name}\n")
    hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
    monkeypatch.setattr(tofu, "file_hashes", lambda: hashes)
    monkeypatch.delenv("GEFFECT_TOFU", raising=False)
    return folder


def check_files(raw):
    Config(raw).check_files()


def test_an_intact_folder_passes(raw, folder):
    raw["data"] |= {"source": "directory", "directory": str(folder)}
    check_files(raw)


def test_the_environment_wins_over_the_configured_folder(raw, folder, tmp_path, monkeypatch):
    raw["data"] |= {"source": "directory", "directory": str(tmp_path / "nowhere")}
    refused(raw, "nowhere: no such folder; set data.directory", kind=DataError, check=check_files)
    monkeypatch.setenv("GEFFECT_TOFU", str(folder))
    check_files(raw)


def test_a_folder_that_is_not_named_is_asked_for(raw, folder):
    raw["data"]["source"] = "directory"
    refused(raw, "data.directory: not set", "GEFFECT_TOFU", check=check_files)


@pytest.mark.parametrize("harm", ["missing", "truncated", "altered"])
def test_a_harmed_file_is_named(raw, folder, harm):
    raw["data"] |= {"source": "directory", "directory": str(folder)}
    path = folder / "retain99.json"
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "truncated" else b"T" + content[1:])
    refused(raw, "retain99.json: ", harm, "copy it", kind=DataError, check=check_files)


def test_files_are_not_touched_before_they_are_checked(raw):
    raw["data"] |= {"source": "directory", "directory": "nowhere", "refusals": "nowhere.txt"}
    Config(raw)


def test_a_missing_file_of_refusals_is_named(raw, tmp_path):
    raw["data"]["refusals"] = str(tmp_path / "nowhere.txt")
    refused(raw, "nowhere.txt: no such file", "data.refusals", kind=DataError, check=check_files)


def test_an_empty_file_of_refusals_is_named(raw, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    raw["data"]["refusals"] = str(tmp_path / "empty.txt")
    refused(raw, "empty.txt: contains no refusals", kind=DataError, check=check_files)


# Cost


def test_importing_the_config_stays_cheap():
    heavy = ("torch", "transformers", "datasets", "pandas")
    code = f"import sys, geffect.config; print([m for m in {heavy} if m in sys.modules])"
    environment = {"PYTHONPATH": str(ROOT / "workflow")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_only_a_regularizer_that_knows_them_pools_all_positions(raw):
    raw["regularizers"]["kl"]["positions"] = "all"
    Config(raw)
    raw["regularizers"]["nll"]["positions"] = "all"
    refused(raw, "regularizers.nll.positions", "labels only")


@pytest.mark.parametrize("results", ["my results", "größe/x", "/scratch/お", "a-b_c.d/e"])
def test_results_may_lie_under_any_ordinary_name(raw, results):
    Config(raw | {"results": results})


def test_results_that_cannot_be_written_are_refused(raw, tmp_path, monkeypatch):
    Config(raw | {"results": str(tmp_path / "new/results")}).check_results()
    (tmp_path / "file").touch()
    for name in ("file", "file/results"):
        config = Config(raw | {"results": str(tmp_path / name)})
        with pytest.raises(ConfigError, match=r"results: .*file is a file; name another folder"):
            config.check_results()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="is read-only; name another folder"):
        Config(raw | {"results": str(tmp_path / "results")}).check_results()


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", "1.0e-3"), ("1E3", "1.0e+3"), ("-2.5e4", "-2.5e+4"), ("3.e-1", "3.0e-1"), ("7", "7")],
)
def test_a_number_that_yaml_reads_as_text_is_written_so_that_it_is_one(raw, text, number):
    raw["models"]["phi-1_5"]["unlearn"]["learning_rate"] = text
    refused(raw, "models.phi-1_5.unlearn.learning_rate", f"write {number}")
    assert isinstance(yaml.safe_load(number), int | float)


def test_a_batch_may_be_as_large_as_what_is_forgotten_and_no_larger(scratch):
    scratch["models"]["tiny-phi"]["unlearn"]["batch_size"] = 40
    Config(scratch)
    scratch["models"]["tiny-phi"]["unlearn"]["batch_size"] = 41
    refused(scratch, "models.tiny-phi.unlearn.batch_size: 41 rows", "has only 40; lower it to 40")
    del scratch["models"]["tiny-phi"]["unlearn"]["batch_size"]
    scratch["training"]["unlearn"]["batch_size"] = 41
    refused(scratch, "training.unlearn.batch_size: 41 rows")


def test_rows_are_counted_as_the_source_makes_them():
    fictional = {"source": "fictional", "fictional": {"authors": 7, "questions": 3}}
    assert tofu.row_count(fictional) == 21
    whole = {"source": "hub", "subset": None}
    assert tofu.row_count(whole) == 4000
    part = {"first_authors": 2, "last_authors": 1, "questions": 5}
    assert tofu.row_count({**whole, "subset": part}) == 15
    assert [tofu.forget_count(4000, split) for split in tofu.SPLITS] == [40, 200, 400]
