"""A cell that trains adapters: the same whichever way it is run, merged at its end."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from settings import PAPER

from geffect.effects.measurement import Measurement, measure_checkpoints
from geffect.errors import ConfigError, DamagedError, ModelError
from geffect.jobs import engine
from geffect.models import adapters
from geffect.models.checkpoints import Checkpoints, moved_until, trajectory
from geffect.models.folder import load_model, save_model
from geffect.training.resume import Resume
from geffect.training.unlearning import Observers, Run

ROOT = Path(__file__).parents[3]
LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.1, "targets": ["q_proj", "v_proj", "fc1"]}
SETTINGS = dataclasses.replace(
    PAPER,
    epochs=4,
    batch_size=4,
    micro_batch_size=2,
    learning_rate=1e-2,
    weight_decay=0.1,
    lora=LORA,
)
LAST = 4


class Killed(Exception):
    pass


@pytest.fixture
def original(tiny_model, tokenizer, tmp_path):
    folder = tmp_path / "original"
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def finished(cell_of, original, tmp_path):
    """A function: runs a cell with adapters; returns its tables and its folder."""
    # Hyper-parameters are drawn anew for every cell.
    cells = {regularizer: cell_of("npo", regularizer, forget=4) for regularizer in ("kl", None)}

    def run(name, regularizer, parameters, in_run=True, killed_after=None, recompute=False):
        cell = cells[regularizer]
        folder = tmp_path / name
        settings = dataclasses.replace(SETTINGS, gradient_checkpointing=recompute)
        made = Run(cell, original, "cpu", LORA)
        measured = Measurement(cell, made.draws, {}, cell.held_out, 4, parameters=parameters)
        resume = Resume(folder / "work", "settings", 1)
        kept = Checkpoints(folder / "checkpoints", LAST, () if in_run else None)
        observer = kept
        if in_run:
            measured.begin(made.model, made.original if measured.looks_at_original else None)
            observer = Observers(kept, measured)
        if killed_after is not None:
            look = observer.at

            def at(model, step, moved):
                look(model, step, moved)
                if step == killed_after:
                    raise Killed

            observer.at = at
        outcome = made.train(settings, 1, observer, "run", resume)
        names = ("model", "draws", "training")
        made.save(outcome, SimpleNamespace(**{name: folder / name for name in names}))
        if not in_run:
            steps = trajectory(original, folder / "checkpoints", folder / "model", LAST)
            load = adapters.loader(original, "cpu", cell.seed, LORA)
            moved = partial(moved_until, folder / "checkpoints")
            measure_checkpoints(steps, measured, "cpu", "geffect", moved, recompute, load)
        return measured.tables(), folder

    return run


def assert_same(found, others):
    (tables, folder), (other_tables, other) = found, others
    assert set(tables) == set(other_tables)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, other_tables[name], check_exact=True)
    for name in ("training", "model/model.safetensors", "model/adapter/adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    config = "model/adapter/adapter_config.json"
    assert (folder / config).read_bytes() == (other / config).read_bytes()


@pytest.mark.parametrize(
    ("regularizer", "parameters"), [("kl", "adapter"), ("kl", "merged"), (None, "adapter")]
)
def test_a_killed_run_and_one_from_checkpoints_leave_the_same_bytes(
    finished, regularizer, parameters
):
    whole = finished("whole", regularizer, parameters)
    with pytest.raises(Killed):
        finished("killed", regularizer, parameters, killed_after=3)
    assert_same(finished("killed", regularizer, parameters), whole)
    later = finished("later", regularizer, parameters, in_run=False, recompute=True)
    assert_same(later, whole)
    geffect = whole[0]["geffect"]
    assert geffect["step"].unique().tolist() == [0, 1, 2, 3, 4]
    moved = geffect.query("component == 'total' and step > 1 and term == 'combined'")
    assert moved["geffect"].ne(0).all() and moved["geffect"].notna().all()
    risk = whole[0]["risk"].query("component == 'total' and step < 4")
    sums = risk.groupby(["step", "dataset"])["predicted_change"].sum()
    change = risk.groupby(["step", "dataset"])["measured_change"].first()
    pd.testing.assert_series_equal(sums, change, check_names=False, rtol=1e-9, atol=1e-12)


def test_the_run_leaves_merged_weights_and_the_adapter_as_peft_reads_it(
    finished, original, tmp_path
):
    from peft import PeftModel

    _, folder = finished("run", None, "adapter")
    base, merged = load_model(original), load_model(folder / "model")
    assert not adapters.is_adapted(merged)
    moved = {
        name
        for (name, p), q in zip(merged.named_parameters(), base.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert {name.split(".")[-2] for name in moved} == {"q_proj", "v_proj", "fc1"}
    assert len(moved) == 9, "in each of three blocks"
    ids = torch.tensor([[3, 7, 5, 11]])
    with torch.no_grad():
        wanted = merged(input_ids=ids).logits
        by_peft = PeftModel.from_pretrained(base, folder / "model/adapter")
        torch.testing.assert_close(by_peft(input_ids=ids).logits, wanted, rtol=1e-4, atol=1e-4)
    config = json.loads((folder / "model/adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 4.0)
    assert str(tmp_path) not in json.dumps(config)


def test_a_state_of_adapters_holds_no_frozen_weights(finished, tmp_path):
    with pytest.raises(Killed):
        finished("killed", None, "adapter", killed_after=2)
    state = next((tmp_path / "killed/work").glob("step-*/0.safetensors"))
    from safetensors.torch import load_file

    names = [name for name in load_file(state) if name.startswith("model.")]
    assert len(names) == 18 and all(".lora_" in name for name in names)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["q_pro"], "'q_pro' is no module of PhiForCausalLM; did you mean 'q_proj'"),
        (["embed_tokens"], "embed_tokens is a Embedding; adapters"),
        (["lm_head"], "the weight of lm_head is another module's as well"),
    ],
)
def test_targets_that_cannot_have_adapters_are_refused_in_a_line(targets, names, tiny_model):
    model = tiny_model(tied=True)
    with pytest.raises(ConfigError, match=names) as caught:
        adapters.adapt(model, 0, 2, 4.0, targets=targets)
    assert "\n" not in str(caught.value)


def test_they_are_refused_before_the_model_itself_is_trained(tiny_model):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    lora = {"rank": 2, "alpha": 4, "targets": ["w1"]}
    raw["models"]["phi-1_5"]["unlearn"]["lora"] = lora
    wildcards = SimpleNamespace(model="phi-1_5")
    with pytest.raises(ConfigError, match="'w1' is no module"):
        engine.check_adapters(tiny_model(), raw, wildcards)
    lora["targets"] = "all-linear"
    engine.check_adapters(tiny_model(), raw, wildcards)


def test_experts_of_one_weight_are_refused(rng):
    import families

    with pytest.raises(ModelError, match=r"PEFT also adds adapters to .*experts"):
        adapters.adapt(families.build("qwen3_moe", False, rng), 0, 2, 4.0)


def test_a_damaged_adapter_is_named(finished, original):
    _, folder = finished("run", None, "adapter", in_run=False)
    step = folder / "checkpoints/step-00002"
    (step / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(DamagedError, match=r"step-00002.*holds no adapter"):
        adapters.load_merged(step, original, "cpu")
