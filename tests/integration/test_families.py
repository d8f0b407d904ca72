"""A whole cell of models of other families: from a folder, trained, measured and evaluated."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from common import rows_of
from settings import PAPER

sys.path.append(str(Path(__file__).parents[1] / "unit/effects"))

import families

from geffect.config import checks
from geffect.effects.measurement import Measurement, check_model
from geffect.evaluation.folder import evaluate
from geffect.evaluation.samples import EvaluationSettings
from geffect.models.folder import load_model, save_model
from geffect.training.unlearning import Run

SETTINGS = dataclasses.replace(PAPER, batch_size=5, micro_batch_size=5, learning_rate=1e-3)
OFTEN = ("gpt2", "gemma2", "mixtral")


@pytest.mark.parametrize(
    "family",
    [
        family if family in OFTEN else pytest.param(family, marks=pytest.mark.trial)
        for family in families.FAMILIES
    ],
)
def test_a_folder_of_a_family_is_unlearned_measured_and_evaluated(
    family, rng, cell_of, encoder, tokenizer, tmp_path
):
    model = families.build(
        family, bool(rng.integers(2)), rng, torch.float32, len(tokenizer), tokenizer.eos_token_id
    )
    save_model(model, tokenizer, tmp_path / "model")
    checks.check_folder(tmp_path / "model", "models.m.path")
    cell = cell_of("npo", "kl")
    run = Run(cell, tmp_path / "model", "cpu")
    check_model(run.model, True, True)
    found = Measurement(cell, run.draws, {}, cell.held_out, 5)
    found.begin(run.model, run.original)
    run.train(SETTINGS, 10**6, found, "run")
    tables = found.tables()
    keys = ["step", "sample"]
    whole = tables["instances"].query("component == 'total'").set_index(keys).sort_index()
    by_token = tables["tokens"].groupby(keys)
    assert whole.index.get_level_values("step").nunique() == 2
    for name in ("e_unlearn", "e_retain"):
        size = tables["tokens"][name].abs().groupby([tables["tokens"][k] for k in keys]).sum()
        assert (np.abs(by_token[name].sum() - whole[name]) <= 1e-3 * size.max()).all()
    save_model(run.model, tokenizer, tmp_path / "after")
    more = {"paraphrased_answer": "Some.", "perturbed_answer": ["None."]}
    few = [{**r, **more, "paraphrased_question": r["question"]} for r in rows_of(0, 2)]
    data = dict.fromkeys(("unlearn", "retain", "real_authors", "world_facts"), few)
    settings = EvaluationSettings(4, None, "geometric", 8, False, 5)
    metrics = evaluate(load_model(tmp_path / "after"), encoder, data, settings).metrics
    assert np.isfinite(metrics.query("metric == 'probability'")["value"]).all()
