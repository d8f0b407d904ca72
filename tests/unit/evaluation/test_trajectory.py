"""What is read along a run is what the evaluation would have said, at no pass more than needed."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from common import rows_of

from geffect.data.batches import collate
from geffect.effects.measurement import Measurement
from geffect.evaluation import teacher_forcing
from geffect.evaluation.samples import EvaluationSettings, samples
from geffect.evaluation.summary import metrics
from geffect.evaluation.teacher_forcing import read_answers
from geffect.evaluation.trajectory import Trajectory

METRICS = ["es_exact", "probability", "nll"]


def complete(rows):
    """Rows that an evaluation takes, answers as they are."""
    more = {"paraphrased_answer": "Some.", "perturbed_answer": ["None."]}
    return [{**row, **more, "paraphrased_question": row["question"]} for row in rows]


@pytest.fixture
def known(tiny_model, tokenizer, encoder):
    """A function: a model that has learnt some rows in a number of updates."""

    def build(rows, updates=60):
        model = tiny_model(tokenizer=tokenizer, dtype=torch.float32)
        examples = [encoder(row["question"], row["answer"]) for row in rows]
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        batch = collate(examples)
        for _ in range(updates):
            optimizer.zero_grad()
            model(input_ids=batch.input_ids, labels=batch.labels).loss.backward()
            optimizer.step()
        return model.eval()

    return build


@pytest.fixture
def followed(cell_of, tmp_path):
    """A function: the measurement of a job whose trajectory is read, from its settings."""
    pd.DataFrame(rows_of(0, 7)).to_parquet(tmp_path / "held_out.parquet")
    files = SimpleNamespace(held_out=tmp_path / "held_out.parquet")

    def build(objective="ga", **changes):
        settings = {
            "probes": {},
            "retain_rows": "held_out",
            "micro_batch_size": 3,
            "instances": False,
            "tokens": False,
            "change": "trapezoid",
            "parameters": "adapter",
            "selection": None,
            "max_rows": None,
        }
        settings = SimpleNamespace(**settings | changes)
        cell = cell_of(objective, None)
        onlooker = Trajectory.of_job(cell, files, settings)
        return Measurement.of_job(cell, cell.draw(16), files, settings, onlooker)

    return build


def evaluated(model, encoder, max_rows):
    """(metric, data set) -> what the evaluation says of the same rows."""
    data = {"unlearn": complete(rows_of(30, 40)), "retain": complete(rows_of(0, 7))}
    few = complete(rows_of(0, 2))
    data |= {"real_authors": few, "world_facts": few, "holdout": []}
    settings = EvaluationSettings(5, max_rows, "geometric", 4, False, 0)
    log = samples(model, encoder, data, settings)
    found = metrics(log, None, settings).set_index(["metric", "dataset"])["value"]
    nll = log.groupby("dataset")["nll"].mean()
    return found.to_dict() | {("nll", name): nll[name] for name in data if name != "holdout"}


@pytest.mark.parametrize("objective", ["ga", "po"])
@pytest.mark.parametrize("retain_rows", ["held_out", "train"])
@pytest.mark.parametrize("max_rows", [None, 4])
def test_every_value_is_the_evaluations(objective, retain_rows, max_rows, followed, known, encoder):
    half = known([*rows_of(30, 35), *rows_of(0, 3)])
    models = {0: known(rows_of(0, 1), 1), 5: half, 9: known(rows_of(2, 3), 3)}
    found = followed(objective, retain_rows=retain_rows, max_rows=max_rows)
    found.begin(models[0], models[0])
    for step, model in models.items():
        found.at(model, step)
    table = found.tables()["trajectory"]
    assert list(table.columns) == ["step", "metric", "dataset", "value"]
    assert table["value"].dtype == np.float64
    assert list(table["step"].unique()) == list(models)
    strengths = table.query("metric == 'es_exact' and step == 5")["value"]
    assert strengths.gt(0).all(), "a model that knows nothing would not show a wrong row"
    for step, model in models.items():
        mine = table[table["step"].eq(step)].set_index(["metric", "dataset"])["value"]
        assert set(mine.index) == {(m, d) for m in METRICS for d in ("unlearn", "retain")}
        expected = evaluated(model, encoder, max_rows)
        for key, value in mine.items():
            assert value == pytest.approx(expected[key], rel=1e-5), (step, *key)


def test_no_pass_is_added_where_the_measurement_runs_over_the_held_out_rows(
    followed, known, monkeypatch
):
    passes = []
    real = teacher_forcing.forced

    def counted(model, examples, size):
        passes.append(len(examples))
        return real(model, examples, size)

    monkeypatch.setattr(teacher_forcing, "forced", counted)
    model = known(rows_of(0, 1), 1)
    for retain_rows, expected in (("held_out", []), ("train", [7, 7])):
        passes.clear()
        found = followed(retain_rows=retain_rows)
        found.begin(model, model)
        found.at(model, 0)
        found.at(model, 1)
        assert passes == expected


def test_reading_along_changes_nothing_else(followed, cell_of, known):
    model = known(rows_of(30, 33), 5)
    watched = followed(instances=True, tokens=True)
    cell = cell_of("ga", None)
    alone = Measurement(cell, cell.draw(16), {}, cell.held_out, 3)
    for found in (watched, alone):
        found.begin(model, model)
        found.at(model, 0)
        found.at(model, 4)
    tables = watched.tables()
    del tables["trajectory"]
    assert list(tables) == list(alone.tables())
    for name, frame in alone.tables().items():
        pd.testing.assert_frame_equal(tables[name], frame, check_exact=True)


def test_a_resumed_measurement_has_the_same_trajectory_bit_for_bit(followed, known, tmp_path):
    models = {step: known(rows_of(30, 33), step) for step in (0, 3, 6)}
    whole, killed, again = followed(), followed(), followed()
    for found, steps in ((whole, [0, 3, 6]), (killed, [0, 3])):
        found.begin(models[0], models[0])
        for step in steps:
            found.at(models[step], step)
    state = {}
    for name, frame in killed.state().items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        state[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    again.begin(models[0], models[0])
    again.resume(models[3], state)
    again.at(models[6], 6)
    expected = whole.tables()["trajectory"]
    pd.testing.assert_frame_equal(again.tables()["trajectory"], expected, check_exact=True)


def test_where_a_loss_is_not_finite_there_is_no_value(followed, known):
    model = known(rows_of(30, 31), 1)
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.get_input_embeddings().weight.fill_(math.nan)
    found = followed()
    found.begin(model, model)
    found.at(model, 0)
    found.at(broken, 1)
    table = found.tables()["trajectory"].set_index("step")["value"]
    assert table[0].notna().all() and table[1].isna().all() and len(table[1]) == 6


def test_answers_are_read_one_by_one_as_from_the_model_alone(known, encoder):
    model = known(rows_of(0, 6), 10)
    examples = [encoder(row["question"], row["answer"]) for row in rows_of(0, 9)]
    for example, answer in zip(examples, read_answers(model, examples, 4), strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([example.ids])).logits[0].double()
        own = logits[example.prompt_length - 1 : -1]
        logp = own.log_softmax(dim=-1)[range(len(example.labels)), example.labels]
        assert answer.nll == pytest.approx(-logp.mean().item(), rel=1e-5)
        assert answer.target == example.labels[:-1]
        assert answer.predicted == tuple(own.argmax(dim=-1)[:-1].tolist())
