"""Chosen steps of a run: evaluated where they are not known, missing where the run never came."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from common import rows_of

from geffect.errors import DamagedError
from geffect.evaluation import summary
from geffect.evaluation.folder import evaluate
from geffect.evaluation.samples import EvaluationSettings
from geffect.evaluation.steps import evaluate_steps
from geffect.files import hash_folder
from geffect.models import adapters
from geffect.models.checkpoints import Checkpoints
from geffect.models.folder import load_model, save_model
from geffect.names import EVALUATION_SETS

SETTINGS = EvaluationSettings(4, None, "geometric", 8, False, 5)


def complete(rows):
    more = {"paraphrased_answer": "Some.", "perturbed_answer": ["None."]}
    return [{**row, **more, "paraphrased_question": row["question"]} for row in rows]


@pytest.fixture
def rows():
    few = complete(rows_of(50, 52))
    found = {"unlearn": complete(rows_of(30, 34)), "retain": complete(rows_of(0, 5))}
    return found | {"real_authors": few, "world_facts": few, "holdout": rows_of(60, 62)}


@pytest.fixture
def run(tiny_model, moved, tokenizer, encoder, rows, tmp_path):
    """A function: `evaluate_steps` along a run with checkpoints; the models by step."""
    start = tiny_model(tokenizer=tokenizer, dtype=torch.float32)
    original = tmp_path / "original"
    save_model(start, tokenizer, original)
    models = {0: start, 5: moved(start), 10: moved(start), 12: moved(start)}
    checkpoints = Checkpoints(tmp_path / "checkpoints", 12)
    for step, model in models.items():
        checkpoints.at(model, step, {})
    data = {}
    for name in EVALUATION_SETS:
        data[name] = tmp_path / f"{name}.parquet"
        pd.DataFrame(rows[name]).to_parquet(data[name])
    known = {s: pd.DataFrame({"metric": ["m"], "dataset": [f"known {s}"]}) for s in (0, 12)}

    def build(steps, done=12, retain_log=None):
        folder = tmp_path / "checkpoints"
        return evaluate_steps(
            steps, done, known, folder, original, encoder, data, SETTINGS, "cpu", retain_log
        )

    return build, models, original


def test_a_checkpoint_is_evaluated_as_its_model_is(run, encoder, rows, tmp_path):
    build, models, _ = run
    log = evaluate(models[0], encoder, rows, SETTINGS, is_retain=True).samples
    found, weights = build([5, 10], retain_log=log)
    assert list(found.columns) == ["step", "metric", "dataset", "value", "low", "high"]
    for step in (5, 10):
        mine = found[found["step"].eq(step)].drop(columns="step").reset_index(drop=True)
        expected = evaluate(models[step], encoder, rows, SETTINGS, log).metrics
        pd.testing.assert_frame_equal(mine, expected)
        folder = tmp_path / f"checkpoints/step-{step:05d}"
        assert weights[str(step)] == hash_folder(folder)
    fq = found.query("metric == 'fq'")["value"]
    assert np.isfinite(fq).all(), "the retain model's log is used"


def test_what_is_known_is_not_evaluated_again(run):
    found, weights = run[0]([0, 12])
    assert found["dataset"].tolist() == ["known 0", "known 12"] and weights == {}
    assert found["step"].tolist() == [0, 12]


def test_after_a_divergence_values_are_missing(run):
    found, weights = run[0]([5, 10, 12], done=9)
    assert list(weights) == ["5"]
    for step in (10, 12):
        mine = found[found["step"].eq(step)]
        assert mine["value"].isna().all()
        assert list(zip(mine["metric"], mine["dataset"], strict=True)) == summary.METRICS


def test_a_checkpoint_that_is_gone_is_an_error_that_names_it(run):
    with pytest.raises(DamagedError, match=r"step-00007: is not there"):
        run[0]([5, 7])


def test_a_checkpoint_of_adapters_is_evaluated_merged(run, encoder, rows, tmp_path):
    build, _, original = run
    model = adapters.adapt(load_model(original), 1, rank=2, alpha=8.0)
    with torch.no_grad():
        for parameter in adapters.weights(model).values():
            parameter.add_(0.1)
    folder = tmp_path / "checkpoints/step-00005"
    shutil.rmtree(folder)
    Checkpoints(tmp_path / "checkpoints", 12).at(model, 5, {})
    assert not list(folder.glob("model*")), "the adapters alone"
    found, weights = build([5])
    expected = evaluate(adapters.merge(model), encoder, rows, SETTINGS).metrics
    pd.testing.assert_frame_equal(found.drop(columns="step"), expected)
    assert weights["5"] == hash_folder(folder) and weights["5"]
