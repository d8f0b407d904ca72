"""The search on curves whose crossing is known; the line between two models; both on folders."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from common import rows_of

from geffect.data.batches import collate
from geffect.errors import DamagedError, ModelError
from geffect.evaluation import matched
from geffect.evaluation.folder import evaluate_folder
from geffect.evaluation.matched import Line, match_folders, search
from geffect.evaluation.samples import EvaluationSettings
from geffect.evaluation.summary import metrics as summarized
from geffect.evaluation.teacher_forcing import read_answers, strengths
from geffect.files import hash_folder, write_json
from geffect.models.folder import load_model, record_divergence, save_model
from geffect.names import EVALUATION_SETS

SETTINGS = EvaluationSettings(4, None, "geometric", 8, False, 0)
TEMPLATE = {"text": "Question: {question}\nAnswer: {answer}", "answer_tag": "Answer: "}


def holds(trace, target):
    """The tried points in order, and whether each one holds."""
    return [(a, value >= target) for a, value in sorted(trace)]


@pytest.mark.parametrize("tolerance", [0.1, 0.005, 1e-6])
def test_a_step_is_found_to_the_tolerance_and_from_above(tolerance, rng):
    for crossing in (*rng.uniform(0.001, 0.999, size=20), 0.5, 1 / 8, 1.0):
        calls = []

        def strength(a, crossing=crossing, calls=calls):
            calls.append(a)
            return 0.8 if a >= crossing else 0.3

        found = search(strength, 0.95, tolerance)
        assert found.target == 0.95 * 0.8
        assert 0 <= found.a - crossing <= tolerance
        assert [a for a, _ in found.trace] == calls, "the trace is what was tried, in its order"
        assert len(set(calls)) == len(calls), "no point is tried twice"
        assert all(value == (0.8 if a >= crossing else 0.3) for a, value in found.trace)
        ordered = holds(found.trace, found.target)
        below = [a for a, fine in ordered if not fine]
        assert found.a - max(below) <= tolerance, "a tried point just below does not hold"
        assert found.note is None


def test_the_number_of_passes_is_bounded(rng):
    for crossing in rng.uniform(0, 1, size=30):
        found = search(lambda a, c=crossing: float(a >= c), 0.95, 0.005)
        assert len(found.trace) <= 2 + matched.SCAN - 1 + math.ceil(math.log2(1 / 8 / 0.005))


def test_a_smooth_curve_is_matched_at_the_share_that_was_asked_for(rng):
    for share in rng.uniform(0.2, 1, size=20):
        found = search(lambda a: 0.4 * a, share, 1e-4)
        assert 0 <= found.a - share <= 1e-4


def test_a_model_that_keeps_retention_is_taken_as_it_is():
    found = search(lambda a: 0.9 - 0.01 * a, 0.95, 0.005)
    assert found.a == 0 and [a for a, _ in found.trace] == [1, 0]
    assert "at a = 0.0000, but only 0.8900 at a = 1.0000" in found.note


def test_what_holds_beyond_a_dip_does_not_count(rng):
    for end in rng.uniform(0.65, 0.99, size=10):
        dip = (end - 1.01 / matched.SCAN, end)  # no narrower one is promised to be found

        def strength(a, dip=dip):
            return 0.2 if dip[0] <= a < dip[1] or a < 0.01 else 0.9

        found = search(strength, 0.95, 0.005)
        assert 0 <= found.a - end <= 0.005


def test_a_trace_that_falls_names_its_greatest_fall():
    curve = {1.0: 1.0, 0.0: 0.5, 7 / 8: 0.99, 6 / 8: 0.97, 5 / 8: 0.98, 4 / 8: 0.4}
    found = search(lambda a: curve.get(a, 0.6), 0.95, 0.125)
    assert found.a == 5 / 8
    assert found.note == (
        "Not monotone: ES-exact on the held-out rows is 0.5000 at a = 0.0000, but only 0.4000 at "
        "a = 0.5000."
    )


def test_where_nothing_is_finite_nothing_holds():
    found = search(lambda a: math.nan if a < 0.5 else 1.0, 0.95, 0.005)
    assert 0 <= found.a - 0.5 <= 0.005
    with pytest.raises(ModelError, match="not finite"):
        search(lambda a: math.nan, 0.95, 0.005)


def test_without_any_retention_the_note_says_so():
    found = search(lambda a: 0.0, 0.95, 0.005)
    assert found.a == 0 and "ES is 0" in found.note


@pytest.mark.parametrize("architecture", ["phi", "llama"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_line_ends_in_both_models_bit_for_bit(architecture, tied, tiny_model, moved):
    original = tiny_model(architecture, tied=tied, dtype=torch.float32)
    with torch.no_grad():
        original.get_input_embeddings().weight[0, 0] = -0.0
    model = moved(original)
    ends = [{n: p.clone() for n, p in m.state_dict().items()} for m in (model, original)]
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    line = Line(original, model)
    for a in (1.0, 0.3, 0.0, 0.7, 1.0, 0.0):
        now = line.at(a).state_dict()
        if a in (0, 1):
            for name, tensor in now.items():
                same = tensor.view(torch.int32) == ends[int(a)][name].view(torch.int32)
                assert same.all(), (name, a)
        else:
            for name, tensor in now.items():
                u, o = (end[name].double() for end in ends)
                error = (tensor.double() - (a * o + (1 - a) * u)).abs()
                assert (error <= 1e-6 * (u.abs() + o.abs())).all(), name
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    assert (head.weight is embedding.weight) == tied
    assert all(torch.equal(b, buffers[n]) for n, b in model.named_buffers())
    assert all(torch.equal(p, ends[1][n]) for n, p in original.named_parameters())


def test_what_the_run_did_not_move_stays_as_it_is(tiny_model, moved, rng):
    original = tiny_model(dtype=torch.float32)
    model = moved(original)
    still = [name for name, _ in model.named_parameters()][::2]
    with torch.no_grad():
        for name in still:
            model.get_parameter(name).copy_(original.get_parameter(name))
    line = Line(original, model)
    for a in rng.uniform(size=5):
        line.at(float(a))
        for name in still:
            assert torch.equal(model.get_parameter(name), original.get_parameter(name))


def test_models_that_do_not_fit_one_another_are_refused(tiny_model):
    with pytest.raises(ModelError, match="parameters"):
        Line(tiny_model(), tiny_model(blocks=4))


def complete(rows):
    more = {"paraphrased_answer": "Some.", "perturbed_answer": ["None."]}
    return [{**row, **more, "paraphrased_question": row["question"]} for row in rows]


@pytest.fixture
def data(tmp_path):
    """The file of every data set."""
    few = complete(rows_of(50, 52))
    rows = {"unlearn": complete(rows_of(30, 34)), "retain": complete(rows_of(0, 6))}
    rows |= {"real_authors": few, "world_facts": few, "holdout": rows_of(60, 63)}
    for name, content in rows.items():
        pd.DataFrame(content).to_parquet(tmp_path / f"{name}.parquet")
    return {name: tmp_path / f"{name}.parquet" for name in EVALUATION_SETS}


@pytest.fixture
def pair(tiny_model, tokenizer, encoder, tmp_path):
    """The folders of a model that has learnt the held-out rows, and of one that has lost them."""
    model = tiny_model(tokenizer=tokenizer, dtype=torch.float32)
    batch = collate([encoder(row["question"], row["answer"]) for row in rows_of(0, 6)])

    def descend(sign, updates, rate):
        optimizer = torch.optim.Adam(model.parameters(), rate)
        for _ in range(updates):
            optimizer.zero_grad()
            loss = model(input_ids=batch.input_ids, labels=batch.labels).loss
            (sign * loss).backward()
            optimizer.step()

    folders = tmp_path / "original", tmp_path / "unlearned"
    descend(1, 80, 1e-2)
    save_model(model, tokenizer, folders[0])
    descend(-1, 12, 1e-2)
    save_model(model, tokenizer, folders[1])
    return folders


def found_for(folders, data, share=0.95, tolerance=0.005, settings=SETTINGS, **given):
    own = evaluate_folder(folders[1], TEMPLATE, data, settings, "cpu").metrics
    return match_folders(*folders, TEMPLATE, data, settings, share, tolerance, "cpu", own, **given)


def strength_at(folders, encoder, a):
    """ES of the held-out rows at a point of the line, from interpolated state dicts."""
    original, model = (load_model(folder) for folder in folders)
    start, end = original.state_dict(), model.state_dict()
    model.load_state_dict({n: (1 - a) * end[n] + a * start[n] for n in end})
    examples = [encoder(row["question"], row["answer"]) for row in rows_of(0, 6)]
    return float(np.mean(strengths(read_answers(model, examples, 3))))


def test_the_metrics_are_those_of_the_model_at_the_point_that_was_found(pair, data, encoder):
    # Of 95% these few rows lose more in a single step of the search now and then.
    found = found_for(pair, data, share=0.75)
    assert 0 < found.match.a < 1, "else this test shows nothing"
    value = found.metrics.set_index(["metric", "dataset"])["value"]["es_exact", "retain"]
    tried = dict(found.match.trace)
    assert value == tried[found.match.a] >= found.match.target == 0.75 * tried[1.0]
    other = [es for a, es in found.match.trace if abs(es - strength_at(pair, encoder, a)) > 1e-9]
    assert len(other) <= 1, "rounding may decide an arg max, but hardly ever does"
    assert found.weights == {
        "original": hash_folder(pair[0]),
        "unlearned": hash_folder(pair[1]),
    }
    record = found.record()
    assert [(p["a"], p["es_exact_retain"]) for p in record["trace"]] == found.match.trace
    assert record["a"] == found.match.a and record["target"] == found.match.target


def test_first_rows_alone_are_matched_where_they_alone_are_evaluated(pair, data):
    settings = EvaluationSettings(4, 2, "geometric", 8, False, 0)
    found = found_for(pair, data, settings=settings)
    value = found.metrics.set_index(["metric", "dataset"])["value"]["es_exact", "retain"]
    assert value == dict(found.match.trace)[found.match.a]


def test_a_model_that_keeps_retention_keeps_its_own_metrics(pair, data, monkeypatch):
    def never(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(matched, "evaluate", never)
    found = found_for((pair[0], pair[0]), data)
    own = evaluate_folder(pair[0], TEMPLATE, data, SETTINGS, "cpu").metrics
    assert found.match.a == 0 and len(found.match.trace) == 2
    pd.testing.assert_frame_equal(found.metrics, own)


def test_of_a_diverged_run_everything_is_missing(pair, data, tmp_path):
    record_divergence(tmp_path / "diverged", 3, "non-finite weights")
    found = found_for((pair[0], tmp_path / "diverged"), data)
    assert found.metrics["value"].isna().all() and len(found.metrics) > 10
    record = found.record()
    assert record["a"] is None and record["trace"] == [] and record["note"] is None


def test_weights_that_the_run_did_not_leave_are_refused(pair, data, tmp_path):
    hashes = {"original": hash_folder(pair[0]), "unlearned": {"model.safetensors": "another"}}
    write_json({"weights": hashes}, tmp_path / "provenance.json")
    with pytest.raises(DamagedError, match="not those that its run wrote"):
        found_for(pair, data, provenance=tmp_path / "provenance.json")


def test_the_retain_models_log_reaches_the_metrics(pair, data):
    log = evaluate_folder(pair[0], TEMPLATE, data, SETTINGS, "cpu").samples
    found = found_for(pair, data, retain_log=log)
    value = found.metrics.set_index(["metric", "dataset"])["value"]
    assert np.isfinite(value["fq", "unlearn"])
    assert (
        summarized(log, None, SETTINGS)
        .set_index(["metric", "dataset"])["value"][["fq"]]
        .isna()
        .all()
    )
