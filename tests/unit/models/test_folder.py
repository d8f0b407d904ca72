"""Where a loaded model lies, and what a folder has to hold."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer

from geffect.errors import ModelError
from geffect.models import folder
from geffect.models.folder import load_model, load_tokenizer, save_model

SCRIPT = Path(__file__).resolve().parents[3] / "workflow/scripts/take_model.py"


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


class Params(dict):
    """As Snakemake has them: what is in it by attribute too."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize("other_format", [True, False])
def test_a_model_that_is_taken_has_a_tokenizer_that_the_pages_can_read(
    other_format, tiny_model, tokenizer, tmp_path
):
    """Everything else reads vocab.json and merges.txt too."""
    own, taken = tmp_path / "own", tmp_path / "run/models/taken"
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, own)
    if other_format:
        tokenizer.backend_tokenizer.model.save(str(own))
        (own / "tokenizer.json").unlink()
        config = json.loads((own / "tokenizer_config.json").read_text())
        config["tokenizer_class"] = "GPT2Tokenizer"
        (own / "tokenizer_config.json").write_text(json.dumps(config))
    before = {path: path.read_bytes() for path in own.iterdir()}
    spec = importlib.util.spec_from_file_location("take_model_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(
        SimpleNamespace(downloaded=[]),
        SimpleNamespace(model=taken, record=tmp_path / "run/record.json"),
        Params(given={"path": str(own)}, code="c"),
        {},
        tmp_path / "run/logs/take.log",
    )
    assert {path: path.read_bytes() for path in own.iterdir()} == before
    assert (taken / "tokenizer.json").is_symlink() == (not other_format)
    text = "Who wrote „Élise“?\nNobody  knows."
    read = Tokenizer.from_file(str(taken / "tokenizer.json"))
    ids = tokenizer(text)["input_ids"]
    assert read.encode(text).ids == ids and read.decode(ids, skip_special_tokens=False) == text
    loaded, given = load_tokenizer(taken), load_tokenizer(own)
    assert loaded(text, return_offsets_mapping=True) == given(text, return_offsets_mapping=True)
    assert loaded.eos_token_id == given.eos_token_id == tokenizer.eos_token_id
