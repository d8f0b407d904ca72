"""The per-row log, with a model that gives every text numbers of its own."""

import dataclasses
import hashlib
import math
import zlib

import numpy as np
import pytest
from common import rows_of

from geffect.evaluation import samples as module
from geffect.evaluation.metrics.rouge import rouge_l_recall
from geffect.evaluation.passes import Score
from geffect.evaluation.samples import SAMPLES, EvaluationSettings, samples
from geffect.names import EVALUATION_SETS

SETTINGS = EvaluationSettings(micro_batch_size=5, generation_length=77, bootstrap=0)
DATASETS = ("unlearn", "retain", "real_authors", "world_facts", "holdout")


def number_of(ids, purpose):
    """A number in (0, 1) of its own for every text and purpose."""
    digest = hashlib.sha256(f"{purpose} {tuple(ids)}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def score_of(example):
    names = [field.name for field in dataclasses.fields(Score)]
    return Score(**{name: number_of(example.ids, name) for name in names})


def text_of(prompt):
    return " ".join(
        np.array(["It", "is", "not", "7", "of", "them"])[list(prompt[-3:] % np.array(6))]
    )


@pytest.fixture
def asked(monkeypatch):
    """What the model was asked, by the name of the pass."""
    asked = {}

    def score(model, examples, micro_batch_size):
        asked["score"] = (model, len(examples), micro_batch_size)
        return [score_of(example) for example in examples]

    def generate(model, tokenizer, prompts, length, micro_batch_size):
        asked["generate"] = (model, len(prompts), length, micro_batch_size)
        return [text_of(prompt) for prompt in prompts]

    def gradient_norms(model, examples):
        asked["gradient_norms"] = (model, len(examples))
        return [number_of(example.ids, "norm") for example in examples]

    for function in (score, generate, gradient_norms):
        monkeypatch.setattr(module, function.__name__, function)
    return asked


@pytest.fixture
def data(rng):
    """Rows of different numbers of texts, whose `row` is not their place."""
    result = {}
    for start, (name, number) in enumerate(zip(DATASETS, (5, 4, 3, 2, 4), strict=True)):
        result[name] = rows_of(100 * start + 40, 100 * start + 40 + number)
        for row in result[name]:
            if name != "holdout":
                wrong = rows_of(row["row"] + 2000, row["row"] + 2001 + int(rng.integers(1, 4)))
                row["perturbed_answer"] = [other["answer"] for other in wrong]
            if name in ("unlearn", "retain"):
                row["paraphrased_question"] = f"Say what number {row['row']} is."
                row["paraphrased_answer"] = f"That is {row['row']}."
            if name in ("real_authors", "world_facts"):
                del row["row"]
    return result


def test_every_number_is_that_of_its_own_text(asked, data, encoder):
    log = samples("model", encoder, data, SETTINGS)
    rows = [(name, place, row) for name in DATASETS for place, row in enumerate(data[name])]
    assert len(log) == len(rows)
    for found, (dataset, place, row) in zip(log.to_dict("records"), rows, strict=True):
        own = encoder(row["question"], row["answer"])
        exact, tofu = score_of(own), dataset in ("unlearn", "retain")
        expected = {
            "dataset": dataset,
            "row": row.get("row", place),
            "question": row["question"],
            "answer": row["answer"],
            "nll": exact.nll,
        }
        missing = set(log.columns) - set(expected) - {"nll_perturbed", "nll_paraphrased"}
        if dataset != "holdout":
            wrong = [score_of(encoder(row["question"], w)).nll for w in row["perturbed_answer"]]
            assert found["nll_perturbed"] == wrong
            text = text_of(own.prompt)
            expected |= {"generated": text, "rouge": rouge_l_recall(text, row["answer"])}
            missing -= {"generated", "rouge", "probability"}
            missing -= {"truth_ratio_geometric", "truth_ratio_arithmetic"}
        if tofu:
            para = score_of(encoder(row["question"], row["paraphrased_answer"]))
            perturb = score_of(encoder(row["paraphrased_question"], row["answer"]))
            expected |= {
                "nll_paraphrased": para.nll,
                "es_exact": exact.extraction_strength,
                "es_perturb": perturb.extraction_strength,
                "em": exact.exact_memorization,
                "probability": pytest.approx(math.exp(-exact.nll)),
            }
            missing -= {"es_exact", "es_perturb", "em"}
        if dataset in ("unlearn", "holdout"):
            expected |= {
                "mia_loss": exact.nll,
                "mia_zlib": pytest.approx(exact.nll / len(zlib.compress(row["answer"].encode()))),
                "mia_min_k": exact.min_k,
                "mia_min_k_plus_plus": exact.min_k_plus_plus,
                "mia_gradient_norm": number_of(own.ids, "norm"),
            }
            missing -= {name for name in missing if name.startswith("mia_")}
        assert {name: found[name] for name in expected} == expected
        for name in missing:
            assert found[name] is None or math.isnan(found[name]), name


def test_the_columns_of_the_log_are_these_in_this_order(asked, data, encoder):
    expected = ["dataset", "row", "question", "answer", "generated"]
    expected += ["nll", "nll_paraphrased", "nll_perturbed", "es_exact", "es_perturb", "em"]
    expected += ["probability", "rouge", "truth_ratio_geometric", "truth_ratio_arithmetic"]
    expected += ["mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus", "mia_gradient_norm"]
    assert list(samples("model", encoder, data, SETTINGS)) == expected == SAMPLES


def test_the_passes_are_asked_for_what_is_needed_and_no_more(asked, data, encoder):
    samples("model", encoder, data, SETTINGS)
    texts = sum(1 + len(r.get("perturbed_answer", ())) for rows in data.values() for r in rows)
    assert asked["score"] == ("model", texts + 2 * 9, 5)
    assert asked["generate"] == ("model", 5 + 4 + 3 + 2, 77, 5)
    assert asked["gradient_norms"] == ("model", 5 + 4)


@pytest.mark.parametrize("left_out", ["gradient_norm", "holdout"])
def test_gradient_norms_cost_nothing_where_nobody_compares_them(left_out, asked, data, encoder):
    settings = dataclasses.replace(SETTINGS, gradient_norm=left_out != "gradient_norm")
    if left_out == "holdout":
        del data["holdout"]
    log = samples("model", encoder, data, settings)
    assert "gradient_norms" not in asked
    assert log["mia_gradient_norm"].isna().all()
    assert log.loc[log["dataset"].eq("unlearn"), "mia_loss"].notna().all()


@pytest.mark.parametrize("number", [1, 3, None])
def test_the_first_rows_of_every_data_set_are_taken(number, asked, data, encoder):
    log = samples("model", encoder, data, dataclasses.replace(SETTINGS, max_rows=number))
    expected = [row["question"] for name in EVALUATION_SETS for row in data[name][:number]]
    assert log["question"].tolist() == expected
