"""What a job was made of: the hashes follow every input, and say which it was."""

import hashlib
import json
import subprocess
from types import SimpleNamespace

import pytest

from geffect.jobs import provenance
from geffect.jobs.provenance import made_of, record, run_record


class Named(dict):
    """What a rule gives its script: named values, as items and as attributes."""

    __getattr__ = dict.__getitem__


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def job(tmp_path):
    """Inputs (two files, a list, a model and an empty folder), settings and wildcards of a job."""
    model, kept = tmp_path / "model", tmp_path / "checkpoints"
    model.mkdir()
    kept.mkdir()
    contents = {"model.safetensors": b"w", "config.json": b"{}"}
    for name, content in contents.items():
        (model / name).write_bytes(content)
    for name in ("forget", "retain", "a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    inputs = {name: str(tmp_path / name) for name in ("forget", "retain", "model", "checkpoints")}
    inputs["both"] = [str(tmp_path / "a"), str(tmp_path / "b")]
    params = {"settings": {"alpha": 7}, "device": "cpu", "code": "c0de"}
    return (
        inputs,
        Named(params),
        Named({"model": "tiny", "seed": "3"}),
    )


def test_a_job_is_made_of_its_inputs_settings_code_and_wildcards(job):
    content = made_of(*job)
    assert content == {
        "wildcards": {"model": "tiny", "seed": "3"},
        "settings": {"settings": {"alpha": 7}, "device": "cpu"},
        "code": "c0de",
        "inputs": {
            "forget": sha(b"forget"),
            "retain": sha(b"retain"),
            "model": {"model.safetensors": sha(b"w"), "config.json": sha(b"{}")},
            "checkpoints": {},
            "both": [sha(b"a"), sha(b"b")],
        },
    }
    json.dumps(content)


def test_a_record_names_data_and_weights_by_their_roles(job, tmp_path):
    content = made_of(*job)
    found = record(content)
    assert found["cell"] == content["wildcards"]
    assert found["settings"] == content["settings"] and found["code"] == "c0de"
    assert found["data"] == {name: content["inputs"][name] for name in ("forget", "retain", "both")}
    assert found["weights"] == {"model": {"model.safetensors": sha(b"w")}}
    assert {"git", "packages", "python", "host", "device", "gpu", "wall_seconds"} <= set(found)


@pytest.mark.parametrize("diverged", [None, (3, "non-finite weights")])
def test_the_record_of_a_run_names_what_it_left(job, diverged, tmp_path):
    left = tmp_path / "left"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"moved")
    (left / "config.json").write_bytes(b"{}")
    found = run_record(made_of(*job), left, diverged)
    assert found["weights"]["model"] == {"model.safetensors": sha(b"w")}
    assert found["weights"]["unlearned"] == {"model.safetensors": sha(b"moved")}
    assert found["diverged"] == diverged


@pytest.mark.parametrize("status", ["", " M a.py"])
def test_the_commit_is_dirty_where_git_says_so(status, monkeypatch):
    answers = {"status": status, "rev-parse": "f00"}

    def run(command, **_):
        return SimpleNamespace(returncode=0, stdout=answers[command[3]] + "\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert provenance.provenance()["git"] == {"commit": "f00", "dirty": status != ""}


def test_outside_of_a_repository_there_is_no_commit(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=128))
    assert provenance.provenance()["git"] == {"commit": None, "dirty": None}


def test_git_answers_in_text():
    assert isinstance(provenance._git("--version"), str)
