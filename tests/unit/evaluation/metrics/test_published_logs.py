"""TOFU's published evaluation logs of Phi-1.5, recomputed from their losses and texts."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from geffect.evaluation.metrics.forget_quality import forget_quality
from geffect.evaluation.metrics.model_utility import model_utility
from geffect.evaluation.metrics.probability import answer_probability, choice_probability
from geffect.evaluation.metrics.rouge import rouge_l_recall
from geffect.evaluation.metrics.truth_ratio import forget_score, retain_score, truth_ratio

FOLDER = os.environ.get("GEFFECT_TOFU_LOGS")

pytestmark = [
    pytest.mark.tofu,
    pytest.mark.skipif(
        not FOLDER, reason="set GEFFECT_TOFU_LOGS to a folder with phi_full and phi_retain90.json"
    ),
]

SECTIONS = {
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
    "forget": "eval_log_forget.json",
}
ROWS = {"retain": 300, "real_authors": 100, "world_facts": 117, "forget": 300}
MODELS = ["phi_full", "phi_retain90"]
MULTIPLE_CHOICE = {"real_authors", "world_facts"}


@cache
def load(model):
    return json.loads(Path(FOLDER, f"{model}.json").read_text(encoding="utf-8"))


def column(model, dataset, name):
    """One logged quantity in row order; the logs key every quantity by row number."""
    values = load(model)[SECTIONS[dataset]][name]
    assert set(values) == {str(row) for row in range(ROWS[dataset])}
    return [values[str(row)] for row in range(ROWS[dataset])]


def probabilities(model, dataset):
    nll = column(model, dataset, "avg_gt_loss")
    if dataset in MULTIPLE_CHOICE:
        return choice_probability(nll, column(model, dataset, "average_perturb_loss"))
    return answer_probability(nll)


@cache
def rouges(model, dataset):
    texts = column(model, dataset, "generated_text")
    return [rouge_l_recall(generated, reference) for _, generated, reference in texts]


def ratios(model, dataset, form):
    return truth_ratio(
        column(model, dataset, "avg_paraphrased_loss"),
        column(model, dataset, "average_perturb_loss"),
        form,
    )


def evaluate(model, dataset, form):
    score = forget_score if dataset == "forget" else retain_score
    return {
        ("rouge", dataset): np.mean(rouges(model, dataset)),
        ("probability", dataset): np.mean(probabilities(model, dataset)),
        ("truth_ratio", dataset): score(ratios(model, dataset, form)),
    }


@pytest.mark.parametrize(
    ("dataset", "rouge", "probability", "ratio"),
    [
        ("retain", "0.929", "0.926", "0.459"),
        ("real_authors", "0.416", "0.377", "0.404"),
        ("world_facts", "0.777", "0.409", "0.438"),
        ("forget", "0.925", "0.928", "0.501"),
    ],
)
def test_parts_of_the_full_model(dataset, rouge, probability, ratio):
    parts = evaluate("phi_full", dataset, "arithmetic")
    assert {metric: f"{value:.3f}" for (metric, _), value in parts.items()} == {
        "rouge": rouge,
        "probability": probability,
        "truth_ratio": ratio,
    }


@pytest.mark.parametrize(
    ("model", "form", "utility"),
    [
        ("phi_full", "arithmetic", "0.5034"),
        ("phi_full", "geometric", "0.5221"),
        ("phi_retain90", "arithmetic", "0.5130"),
        ("phi_retain90", "geometric", "0.5320"),
    ],
)
def test_model_utility(model, form, utility):
    parts = {}
    for dataset in SECTIONS:
        parts |= evaluate(model, dataset, form)
    assert f"{model_utility(parts):.4f}" == utility


def test_forget_quality_of_the_full_model():
    full, retain = (ratios(model, "forget", "geometric") for model in MODELS)
    assert f"{forget_quality(full, retain):.2e}" == "2.19e-16"


@pytest.mark.parametrize("model", MODELS)
def test_forget_quality_of_a_log_against_itself(model):
    own = ratios(model, "forget", "geometric")
    assert forget_quality(own, own) == 1


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", SECTIONS)
def test_rows_agree_with_the_logged_ones(model, dataset):
    assert rouges(model, dataset) == column(model, dataset, "rougeL_recall")
    # The logs were computed in float32.
    np.testing.assert_allclose(
        ratios(model, dataset, "geometric"),
        column(model, dataset, "truth_ratio"),
        rtol=1e-6,
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", sorted(MULTIPLE_CHOICE))
def test_choices_agree_with_the_logged_ones(model, dataset):
    logged = column(model, dataset, "normalized_gt_loss")
    np.testing.assert_allclose(-np.log(probabilities(model, dataset)), logged, rtol=1e-6)
    # Here TOFU's "paraphrased" answer is the answer itself. Its loss comes from a second forward
    # pass, which differs by up to 1.1 % on the last two real authors; the tokens are the same.
    tokens = column(model, dataset, "num_token_gt")
    assert column(model, dataset, "num_token_paraphrased") == tokens
