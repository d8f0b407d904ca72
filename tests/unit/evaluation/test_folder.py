"""The evaluation of a folder: its record, what it refuses, and the command over it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from geffect.data import fictional
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.data.sources import tables
from geffect.errors import DamagedError, DataError, ModelError
from geffect.evaluation import command
from geffect.evaluation import folder as module
from geffect.evaluation.folder import check_moved, evaluate_folder
from geffect.evaluation.samples import EvaluationSettings
from geffect.evaluation.samples import samples as evaluation_samples
from geffect.evaluation.summary import metrics
from geffect.files import hash_folder, sha256
from geffect.models.folder import load_model, record_divergence, save_model
from geffect.models.scratch import train_tokenizer
from geffect.names import EVALUATION_SETS

SETTINGS = EvaluationSettings(16, None, "geometric", 40, True, 20)
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
    return folder, train_tokenizer([*texts, "Question: \nAnswer: "], 400)


@pytest.fixture
def model_folder(tiny_model, data_folder, tmp_path):
    """A function: the folder of a random model, by name."""

    def build(name):
        tokenizer = data_folder[1]
        model = tiny_model(dtype=torch.float32, tokenizer=tokenizer)
        model.config.max_position_embeddings = 256
        save_model(model, tokenizer, tmp_path / name)
        return tmp_path / name

    return build


def evaluated(folder, data, **arguments):
    files = command.data_files(data[0], "forget10")
    return evaluate_folder(folder, TEMPLATE, files, SETTINGS, "cpu", **arguments)


def test_the_record_names_weights_template_and_data(model_folder, data_folder, tmp_path):
    folder = model_folder("model")
    found = evaluated(folder, data_folder, is_retain=True)
    assert found.record["weights"] == {"model.safetensors": sha256(folder / "model.safetensors")}
    assert found.record["template"] == TEMPLATE
    assert found.record["data"] == {
        name: sha256(path) for name, path in command.data_files(data_folder[0], "forget10").items()
    }
    assert set(found.record["data"]) == set(EVALUATION_SETS)
    names = ("samples", "metrics", "record")
    output = SimpleNamespace(**{name: tmp_path / name for name in names})
    found.write(output, {"host": "here"})
    pd.testing.assert_frame_equal(pd.read_parquet(output.metrics), found.metrics)
    assert json.loads(output.record.read_text()) == {**found.record, "host": "here"}


def test_a_folder_is_evaluated_as_its_model_and_rows_are(model_folder, data_folder):
    files = command.data_files(data_folder[0], "forget10")
    model, retain = model_folder("model"), model_folder("retain")
    of_retain = evaluated(retain, data_folder, is_retain=True)
    found = evaluated(model, data_folder, retain_log=of_retain.samples)
    data = {name: read_rows(path) for name, path in files.items()}
    for result, folder, log in ((of_retain, retain, None), (found, model, of_retain.samples)):
        encoder = Encoder.of(folder, TEMPLATE)
        samples = evaluation_samples(load_model(folder), encoder, data, SETTINGS)
        pd.testing.assert_frame_equal(result.samples, samples)
        expected = metrics(samples, samples if log is None else log, SETTINGS)
        pd.testing.assert_frame_equal(result.metrics, expected)
    assert found.metrics.set_index("metric")["value"][["fq", "privleak"]].notna().all()
    assert found.record["settings"] == {
        "micro_batch_size": 16,
        "max_rows": None,
        "truth_ratio": "geometric",
        "generation_length": 40,
        "gradient_norm": True,
        "bootstrap": 20,
    }
    assert found.record["model"] == str(model)


@pytest.mark.parametrize("label", [True, False, None])
def test_the_command_labels_the_answer_tag_as_the_configuration_says(
    label, model_folder, data_folder, tmp_path
):
    config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    config.pop("label_answer_tag")
    config |= {} if label is None else {"label_answer_tag": label}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run_command(
        *(model_folder("model"), "--data", data_folder[0], "--split", "forget10"),
        *("--template", "phi", "--out", tmp_path, "--config", tmp_path / "config.yaml"),
        *("--set", "generation_length=30", "--set", "bootstrap=0", "--set", "max_rows=2"),
    )
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["template"]["label_answer_tag"] is (label is not False)
    assert record["settings"]["max_rows"] == 2
    assert len(pd.read_parquet(tmp_path / "samples.parquet").query("dataset == 'unlearn'")) == 2


@pytest.mark.parametrize("there", [True, False])
def test_that_membership_is_missing_is_said_where_it_is(there, monkeypatch, caplog):
    datasets = ["unlearn", "holdout"] if there else ["unlearn"]
    log = pd.DataFrame({"dataset": datasets})
    monkeypatch.setattr(module, "samples", lambda *_: log)
    monkeypatch.setattr(module.summary, "metrics", lambda *given: given)
    found = module.evaluate(None, None, {})
    assert ("no holdout rows" in caplog.text) == (not there)
    assert found.samples is log and found.record == {}
    assert found.metrics[1:] == (None, EvaluationSettings())
    assert module.evaluate(None, None, {}, is_retain=True).metrics[1] is log


def test_weights_that_did_not_move_or_are_another_runs_are_refused(
    model_folder, data_folder, tmp_path
):
    model, other = model_folder("model"), model_folder("other")
    hashes = {folder: hash_folder(folder) for folder in (model, other)}

    def provenance(original, unlearned):
        path = tmp_path / "provenance.json"
        weights = {"original": hashes[original], "unlearned": hashes[unlearned]}
        path.write_text(json.dumps({"weights": weights}))
        return path

    with pytest.raises(ModelError, match="although steps were taken"):
        evaluated(model, data_folder, provenance=provenance(model, model))
    with pytest.raises(DamagedError, match="damaged: they are not those that its run wrote"):
        evaluated(model, data_folder, provenance=provenance(model, other))
    check_moved(hashes[model], {"original": hashes[other], "unlearned": hashes[model]}, model)


def test_a_diverged_run_has_a_record_and_no_numbers(data_folder, tmp_path):
    record_divergence(tmp_path / "model", 3, "test")
    found = evaluated(tmp_path / "model", data_folder, provenance=tmp_path / "unread")
    assert found.metrics["value"].isna().all()
    assert found.record["weights"] == {}


def run_command(*arguments):
    command.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("option", ["--data", "--split", "--template", "--out"])
def test_the_command_says_which_option_it_lacks(option, tmp_path, capsys):
    given = {"--data": tmp_path, "--split": "forget10", "--template": "phi", "--out": tmp_path}
    del given[option]
    with pytest.raises(SystemExit) as ended:
        run_command("model", *(part for pair in given.items() for part in pair))
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


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
    few = tmp_path / "few.parquet"
    pd.read_parquet(out / "retain_samples.parquet")[list(command.LOG_COLUMNS)].to_parquet(few)
    run_command(model, *common, "--out", again, "--retain", few)
    pd.testing.assert_frame_equal(pd.read_parquet(again / "metrics.parquet"), found)
    alone = tmp_path / "alone"
    run_command(model, *common, "--out", alone)
    values = pd.read_parquet(alone / "metrics.parquet").set_index("metric")["value"]
    assert np.isnan(values["fq"]) and np.isnan(values["privleak"])
    record = json.loads((alone / "evaluation.json").read_text())
    assert record["weights"] and {"git", "packages", "host"} <= set(record)


def test_what_the_command_cannot_do_is_one_line(model_folder, data_folder, tmp_path):
    model = model_folder("model")
    wrong = [
        (["--split", "forget05", "--template", "phi"], "forget05"),
        (["--split", "forget10", "--template", "phy"], "phy"),
        (["--split", "forget10", "--template", "phi", "--set", "bach=3"], "bach"),
        (["--split", "forget10", "--template", "phi", "--config", "none.yaml"], "none.yaml"),
    ]
    for arguments, named in wrong:
        with pytest.raises(SystemExit) as ended:
            run_command(model, "--data", data_folder[0], "--out", tmp_path / "o", *arguments)
        line = str(ended.value.code)
        assert line.startswith("error: ") and named in line and "\n" not in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("harm", ["no tokenizer", "cut off", "a cell's folder"])
@pytest.mark.parametrize("out", ["logs/out", "out"])
def test_a_damaged_model_is_one_line_and_stays_where_it_is(
    harm, out, model_folder, data_folder, tmp_path, capsys
):
    given = model = model_folder("model")
    if harm == "no tokenizer":
        (model / "tokenizer.json").unlink()
    elif harm == "cut off":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        given = tmp_path / "cell"
        given.mkdir()
        (given / "provenance.json").write_text("{}")
    before = sorted(given.iterdir())
    with pytest.raises(SystemExit) as ended:
        run_command(
            *(given, "--data", data_folder[0], "--split", "forget10", "--template", "phi"),
            *("--out", tmp_path / out, "--set", "max_rows=1"),
        )
    said = (tmp_path / out / "evaluate.log").read_text().splitlines()
    assert ended.value.code == 1 and "Traceback" not in capsys.readouterr().err
    assert [f"error: {given}: " in line for line in said].count(True) == 1
    assert "renamed" not in "".join(said) and sorted(given.iterdir()) == before


def test_tofus_own_files_are_found_and_holdout_may_be_lacking(tmp_path):
    for name in ("forget05", "retain", "real_authors", "world_facts"):
        (tmp_path / f"{name}_perturbed.json").touch()
    assert set(command.data_files(tmp_path, "forget05")) == set(EVALUATION_SETS) - {"holdout"}
    (tmp_path / "holdout05.json").touch()
    assert command.data_files(tmp_path, "forget05")["holdout"].endswith("holdout05.json")
    (tmp_path / "retain_perturbed.json").unlink()
    with pytest.raises(DataError, match="held_out"):
        command.data_files(tmp_path, "forget05")
