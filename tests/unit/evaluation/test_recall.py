"""What a model knows of some rows is what the evaluation says of them."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from common import rows_of

from geffect.errors import DataError
from geffect.evaluation.recall import METRICS, Recall, nothing, write
from geffect.evaluation.samples import EvaluationSettings, samples
from geffect.evaluation.summary import metrics
from geffect.losses.loss import RISK


def complete(rows):
    """Rows that an evaluation takes."""
    return [
        {
            **row,
            "paraphrased_question": f"Tell me: {row['question']}",
            "paraphrased_answer": f"There are {row['row']}.",
            "perturbed_answer": [f"None of {k}." for k in range(row["row"] % 3 + 1)],
        }
        for row in rows
    ]


@pytest.fixture
def model(tiny_model, tokenizer, encoder):
    """A model that has learnt some of the rows."""
    found = tiny_model(tokenizer=tokenizer, dtype=torch.float32)
    optimizer = torch.optim.Adam(found.parameters(), 1e-2)
    examples = [encoder(row["question"], row["answer"]) for row in rows_of(0, 3)]
    for _ in range(40):
        optimizer.zero_grad()
        for example in examples:
            ids = torch.tensor([example.ids])
            found(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return found.eval()


def values(table):
    return table.set_index(["metric", "dataset"])["value"]


def test_every_value_is_the_evaluations(model, encoder):
    data = {"unlearn": complete(rows_of(0, 5)), "retain": complete(rows_of(20, 24))}
    few = complete(rows_of(0, 2))
    whole = data | {"real_authors": few, "world_facts": few, "holdout": []}
    log = samples(model, encoder, whole, EvaluationSettings(4, None, "geometric", 4, False, 0))
    expected = values(metrics(log, None, EvaluationSettings(bootstrap=0)))
    recall = Recall(encoder, data, ["unlearn", "retain"], 3)
    assert recall.why == {}
    table = recall.table(model)
    assert list(table.columns) == ["metric", "dataset", "value"]
    assert table["value"].dtype == np.float64
    found = values(table)
    assert set(found.index) == {(m, d) for m in METRICS for d in data}
    for key, value in found.items():
        if key[0] != "risk":
            assert value == pytest.approx(expected[key], rel=1e-4), key
    assert 0 < found["em", "unlearn"] < 1, "a model that knows nothing shows no wrong row"
    for name, rows in data.items():
        sums, count = 0.0, 0
        for row in rows:
            example = encoder(row["question"], row["answer"])
            logp = model(input_ids=torch.tensor([example.ids])).logits[0].log_softmax(-1)
            for t in range(example.prompt_length, len(example)):
                sums, count = sums - logp[t - 1, example.ids[t]].item(), count + 1
        assert found["risk", name] == pytest.approx(sums / count, rel=1e-4)


def test_the_risk_of_running_text_is_that_of_a_geffect(model, encoder):
    """A chunk that is not its text's last one has no EOS."""
    texts = [row["answer"] for row in rows_of(0, 6)]
    rows = [
        {"question": "", "answer": text, "last": n % 3 == 2, "row": n}
        for n, text in enumerate(texts)
    ]
    table = Recall(encoder, {"unlearn": rows}, [], 4).table(model)
    batches = RISK.batches(encoder.rows(rows), 6)
    with torch.no_grad():
        total = sum(float(RISK.total(RISK.view(model, batch))) for batch in batches)
    expected = total / sum(batch.label_count for batch in batches)
    assert values(table)["risk", "unlearn"] == pytest.approx(expected, rel=1e-6)


def test_rows_without_the_fields_of_the_truth_ratio_lack_it_and_say_why(model, encoder):
    rows = complete(rows_of(0, 4))
    for name, lost in (("paraphrased_answer", None), ("perturbed_answer", [])):
        there = [dict(row) for row in rows]
        there[2][name] = lost
        recall = Recall(encoder, {"other": there}, ["other"], 4)
        assert recall.why == {"other": f"row 2 has no {name}"}
        found = values(recall.table(model))
        assert math.isnan(found["truth_ratio", "other"])
        assert found.drop(("truth_ratio", "other")).notna().all()
    plain = Recall(encoder, {"other": rows_of(0, 4)}, [], 4)
    assert "truth_ratio" not in set(plain.table(model)["metric"])
    with pytest.raises(DataError, match="other rows, row 0: its answer is missing"):
        Recall(encoder, {"other": [{"question": "Who?"}]}, [], 4)


def test_a_broken_model_has_no_values(model, encoder):
    rows = complete(rows_of(0, 3))
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    recall = Recall(encoder, {"other": rows, "relearned": rows[:1]}, ["other"], 4)
    found = recall.table(model)
    assert found["value"].isna().all(), "an extraction strength of 0 would pass for forgetting"
    absent = nothing(["other", "relearned"], ["other"])
    assert absent[["metric", "dataset"]].equals(found[["metric", "dataset"]])
    assert absent["value"].isna().all()


def test_tables_of_several_weights_are_written_as_one(tmp_path):
    missing = nothing(["other"], [])
    known = missing.assign(value=[0.1, 0.2, 0.3])
    key = {"model": "m", "split": "s", "objective": "o", "regularizer": "none", "seed": "3"}
    write({0: known, 2: known}, "epoch", [2, 1, 0], missing, key, tmp_path / "a.parquet")
    found = pd.read_parquet(tmp_path / "a.parquet")
    assert list(found) == [*key, "epoch", "metric", "dataset", "value"]
    assert found["epoch"].tolist() == [2] * 3 + [1] * 3 + [0] * 3
    expected = [0.1, 0.2, 0.3, math.nan, math.nan, math.nan, 0.1, 0.2, 0.3]
    assert found["value"].tolist() == pytest.approx(expected, nan_ok=True)
    assert found["seed"].eq(3).all() and found["dataset"].eq("other").all()
