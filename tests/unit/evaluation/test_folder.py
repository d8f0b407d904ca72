"""The evaluation of a folder: its record, what it refuses, and the command over it."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from geffect import evaluate, fictional, models, runtime
from geffect.data import tables
from geffect.errors import DamagedError, DataError, ModelError
from geffect.evaluation.folder import check_moved
from geffect.evaluation.folder import evaluate as evaluate_folder
from geffect.evaluation.samples import DATASETS, Settings

SETTINGS = Settings(16, None, "geometric", 40, True, 20)
TEMPLATE = {"text": "Question: {question}\nAnswer: {answer}", "answer_tag": "Answer: "}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """The tables of a small fictional run, and a tokenizer of its texts."""
    folder = tmp_path_factory.mktemp("data")
    source = fictional.generate(4, 10, 3, 3, seed=5)
    frames = tables(source, ["forget10"], 3, ["No idea."])
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    texts = [row[k] for row in source["full"] for k in ("question", "answer")]
    return folder, models.train_tokenizer([*texts, "Question: \nAnswer: "], 400)


@pytest.fixture
def model_folder(tiny_model, data_folder, tmp_path):
    """A function: the folder of a random model, by name."""

    def build(name):
        tokenizer = data_folder[1]
        model = tiny_model(dtype=torch.float32, tokenizer=tokenizer)
        model.config.max_position_embeddings = 256
        models.save(model, tokenizer, tmp_path / name)
        return tmp_path / name

    return build


def evaluated(folder, data, **arguments):
    files = evaluate.data_files(data[0], "forget10")
    return evaluate_folder(folder, TEMPLATE, files, SETTINGS, "cpu", **arguments)


def test_the_record_names_weights_template_and_data(model_folder, data_folder, tmp_path):
    folder = model_folder("model")
    found = evaluated(folder, data_folder, is_retain=True)
    assert found.record["weights"] == {
        "model.safetensors": runtime.sha256(folder / "model.safetensors")
    }
    assert found.record["template"] == TEMPLATE
    assert found.record["data"] == {
        name: runtime.sha256(path)
        for name, path in evaluate.data_files(data_folder[0], "forget10").items()
    }
    assert set(found.record["data"]) == set(DATASETS)
    names = ("samples", "metrics", "record")
    output = SimpleNamespace(**{name: tmp_path / name for name in names})
    found.write(output)
    pd.testing.assert_frame_equal(pd.read_parquet(output.metrics), found.metrics)
    assert json.loads(output.record.read_text())["weights"] == found.record["weights"]


def test_weights_that_did_not_move_or_are_another_runs_are_refused(
    model_folder, data_folder, tmp_path
):
    model, other = model_folder("model"), model_folder("other")
    hashes = {folder: runtime.hash_folder(folder) for folder in (model, other)}

    def provenance(original, unlearned):
        path = tmp_path / "provenance.json"
        weights = {"original": hashes[original], "unlearned": hashes[unlearned]}
        path.write_text(json.dumps({"weights": weights}))
        return path

    with pytest.raises(ModelError, match="although steps were taken"):
        evaluated(model, data_folder, provenance=provenance(model, model))
    with pytest.raises(DamagedError, match="damaged: not those that its run left"):
        evaluated(model, data_folder, provenance=provenance(model, other))
    check_moved(hashes[model], {"original": hashes[other], "unlearned": hashes[model]}, model)


def test_a_diverged_run_has_a_record_and_no_numbers(data_folder, tmp_path):
    models.record_divergence(tmp_path / "model", 3, "test")
    found = evaluated(tmp_path / "model", data_folder, provenance=tmp_path / "unread")
    assert found.metrics["value"].isna().all()
    assert found.record["weights"] == {}


def run_command(*arguments):
    evaluate.main([str(argument) for argument in arguments])


def test_the_command_evaluates_a_folder_and_its_retain_model(
    model_folder, data_folder, tmp_path, capsys
):
    model, retain, out = model_folder("model"), model_folder("retain"), tmp_path / "out"
    common = [
        "--data",
        data_folder[0],
        "--split",
        "forget10",
        "--template",
        "phi",
        "--device",
        "cpu",
    ]
    common += ["--set", "generation_length=40", "--set", "bootstrap=20"]
    run_command(model, *common, "--out", out, "--retain", retain)
    assert "privleak" in capsys.readouterr().out
    expected = evaluated(
        model, data_folder, retain_log=evaluated(retain, data_folder, is_retain=True).samples
    )
    found = pd.read_parquet(out / "metrics.parquet")
    pd.testing.assert_frame_equal(found, expected.metrics, rtol=1e-6)
    again = tmp_path / "again"
    run_command(model, *common, "--out", again, "--retain", out / "retain_samples.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(again / "metrics.parquet"), found)
    alone = tmp_path / "alone"
    run_command(model, *common, "--out", alone)
    values = pd.read_parquet(alone / "metrics.parquet").set_index("metric")["value"]
    assert np.isnan(values["fq"]) and np.isnan(values["privleak"])
    assert json.loads((alone / "evaluation.json").read_text())["weights"]


def test_what_the_command_cannot_do_is_one_line(model_folder, data_folder, tmp_path, capsys):
    model = model_folder("model")
    wrong = [
        (["--split", "forget05", "--template", "phi"], "forget05"),
        (["--split", "forget10", "--template", "phy"], "phy"),
        (["--split", "forget10", "--template", "phi", "--set", "bach=3"], "bach"),
        (["--split", "forget10", "--template", "phi", "--config", "none.yaml"], "none.yaml"),
    ]
    for arguments, named in wrong:
        with pytest.raises(SystemExit):
            run_command(model, "--data", data_folder[0], "--out", tmp_path / "o", *arguments)
        lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(lines) == 1 and named in lines[0]


def test_tofus_own_files_are_found_and_holdout_may_be_lacking(tmp_path):
    for name in ("forget05", "retain", "real_authors", "world_facts"):
        (tmp_path / f"{name}_perturbed.json").touch()
    assert set(evaluate.data_files(tmp_path, "forget05")) == set(DATASETS) - {"holdout"}
    (tmp_path / "holdout05.json").touch()
    assert evaluate.data_files(tmp_path, "forget05")["holdout"].endswith("holdout05.json")
    (tmp_path / "retain_perturbed.json").unlink()
    with pytest.raises(DataError, match="held_out"):
        evaluate.data_files(tmp_path, "forget05")
