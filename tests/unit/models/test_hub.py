"""Models of the hub, with a hub that is a folder."""

import fnmatch
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from transformers import AutoConfig

from geffect.errors import ModelError
from geffect.files import hash_folder
from geffect.models.folder import load_model, load_tokenizer, save_model
from geffect.models.hub import download_model

SCRIPT = Path(__file__).resolve().parents[3] / "workflow/scripts/download_model.py"


@pytest.fixture
def hub(tiny_model, tokenizer, tmp_path, monkeypatch):
    """A repository of a model, and what it was asked for."""
    repository, asked = tmp_path / "repository", []
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, repository)
    for name in ("pytorch_model.bin", "code.py", "README.md"):
        (repository / name).write_text("x")

    def download(name, *, repo_type, revision, allow_patterns, local_dir):
        assert repo_type == "model"
        asked.append((name, revision, allow_patterns))
        for path in repository.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, local_dir)
        return local_dir

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return repository, asked


def test_weights_configuration_and_tokenizer_of_a_revision_are_fetched(hub, tmp_path):
    repository, asked = hub
    download_model("someone/model", "f00", 3, tmp_path / "model")
    assert {(name, revision) for name, revision, _ in asked} == {("someone/model", "f00")}
    assert hash_folder(tmp_path / "model") == hash_folder(repository)
    assert load_model(tmp_path / "model").config.num_hidden_layers == 3
    assert len(load_tokenizer(tmp_path / "model")) == len(load_tokenizer(repository))
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert not names & {"pytorch_model.bin", "code.py", "README.md"}


def test_a_repository_without_safetensors_leaves_nothing(hub, tmp_path):
    (hub[0] / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"someone/model at f00: .*safetensors"):
        download_model("someone/model", "f00", 3, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def nothing_but_the_config_was_fetched(hub, folder):
    return [patterns for *_, patterns in hub[1]] == [["config.json"]] and not folder.exists()


def test_a_repository_of_another_depth_is_refused_before_its_weights_are_fetched(hub, tmp_path):
    with pytest.raises(ModelError, match=r"someone/model: 3 blocks.*layers: 4"):
        download_model("someone/model", "f00", 4, tmp_path / "model")
    assert nothing_but_the_config_was_fetched(hub, tmp_path / "model")


@pytest.mark.parametrize("content", ["{", '{"model_type": "nonsense"}'])
def test_an_unusable_config_is_refused_before_its_weights_are_fetched(content, hub, tmp_path):
    (hub[0] / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"someone/model at f00: no usable config"):
        download_model("someone/model", "f00", 3, tmp_path / "model")
    assert nothing_but_the_config_was_fetched(hub, tmp_path / "model")


def test_what_is_checked_of_the_config_is_checked_before_the_weights_are_fetched(hub, tmp_path):
    def refuse(config):
        raise ModelError(f"{config.model_type} is of no use")

    with pytest.raises(ModelError, match="phi is of no use"):
        download_model("someone/model", "f00", 3, tmp_path / "model", refuse)
    assert nothing_but_the_config_was_fetched(hub, tmp_path / "model")


def test_the_job_fetches_no_weights_of_an_architecture_that_the_engine_refuses(
    hub, tmp_path, capsys, monkeypatch
):
    def fail(*arguments):
        raise ValueError("not understood")

    monkeypatch.setattr("geffect.effects.measurement.instance_effects", fail)
    AutoConfig.for_model("gemma").save_pretrained(hub[0])
    spec = importlib.util.spec_from_file_location("download_model_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    output = SimpleNamespace(model=tmp_path / "model", record=tmp_path / "record.json")
    params = SimpleNamespace(id="someone/gemma", revision="f00", layers=28)
    measured = {"instances": True, "tokens": True}
    with pytest.raises(SystemExit):
        script.main(output, params, SimpleNamespace(), tmp_path / "log.log", measured)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "geffect: {instances: false}" in told
    assert nothing_but_the_config_was_fetched(hub, tmp_path / "model")


def test_blocks_are_counted_by_whatever_name_the_family_has_for_them(hub, tmp_path):
    AutoConfig.for_model("gpt2", n_layer=5).save_pretrained(hub[0])
    with pytest.raises(ModelError, match=r"someone/model: 5 blocks.*layers: 4"):
        download_model("someone/model", "f00", 4, tmp_path / "model")
