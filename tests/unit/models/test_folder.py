"""Where a loaded model lies."""

import pytest
import torch

from geffect.errors import ModelError
from geffect.models import folder
from geffect.models.folder import load_model


@pytest.mark.parametrize(
    ("device", "gpus", "spread"),
    [("cpu", 2, False), ("cuda", 2, True), ("cuda:1", 2, False), ("cuda", 1, False)],
)
def test_blocks_are_spread_where_there_are_several_gpus_and_none_is_named(
    device, gpus, spread, tiny_model, tmp_path, monkeypatch
):
    model, placed, given = tiny_model(dtype=torch.float32), [], {}
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").touch()

    def from_pretrained(path, **arguments):
        given.update(arguments)
        nothing = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
        return model.train(), {name: [] for name in nothing}

    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(folder.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    monkeypatch.setattr(type(model), "to", lambda self, target: placed.append(target))
    loaded = load_model(tmp_path, device)
    assert given["device_map"] == ("auto" if spread else None)
    assert placed == ([] if spread else [torch.device(device)])
    assert not loaded.training
    safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    assert safe.items() <= given.items() and given["dtype"] == torch.float32


def test_a_model_whose_parts_are_not_understood_is_refused(tiny_model, tmp_path, monkeypatch):
    def refuse(model):
        raise folder.ModelError("belongs to no component")

    tiny_model(dtype=torch.float32).save_pretrained(tmp_path)
    monkeypatch.setattr(folder, "component_map", refuse)
    with pytest.raises(folder.ModelError, match="belongs to no component"):
        load_model(tmp_path)


def test_the_record_of_a_divergence_wins_over_weights_beside_it(tiny_model, tmp_path):
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path)
    folder.files.write_json({"step": 3, "reason": "broken"}, tmp_path / folder.DIVERGED)
    with pytest.raises(ModelError, match="the run diverged"):
        load_model(tmp_path)
