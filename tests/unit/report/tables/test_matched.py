"""The table at matched retention, and the traces, on frames whose result is known."""

import math

import numpy as np
import pandas as pd
import pytest

from geffect.report import writing
from geffect.report.tables import matched
from geffect.report.tables.main import MAIN_COLUMNS
from geffect.report.tables.matched_trace import traces

OTHERS = {"model": "m", "split": "s", "regularizer": "none"}


def cell(objective, seed):
    return {**OTHERS, "objective": objective, "seed": seed}


def record(a, target=0.5):
    trace = [] if a is None else [{"a": 1.0, "es_exact_retain": 0.6}]
    if a is not None:
        trace += [{"a": 0.0, "es_exact_retain": None}, {"a": a, "es_exact_retain": 0.5}]
    settings = {"es_retain": 0.95}
    return {"a": a, "target": None if a is None else target, "trace": trace, "settings": settings}


@pytest.fixture
def inputs(rng):
    """Cells of two objectives and three seeds, one of them diverged, and their reference models."""
    cells = [cell(o, seed) for o in ("ga", "npo") for seed in (1, 2, 3)]
    status = pd.DataFrame([{**c, "status": "ok"} for c in cells])
    lost = status["objective"].eq("ga") & status["seed"].eq(3)
    status.loc[lost, "status"] = "diverged"
    references = [cell("original", 1), cell("retain_model", 1)]
    names = list(MAIN_COLUMNS.values())
    metrics = pd.DataFrame(
        [
            {**c, "metric": m, "dataset": d, "value": math.nan if c == cells[2] else rng.uniform()}
            for c in [*references, *cells]
            for m, d in names
        ]
    )
    shares = [0.25, 0.75, None, 0.0, 0.5, 0.125]
    return metrics, list(zip(cells, map(record, shares), strict=True)), status


def test_a_and_metrics_are_averaged_over_the_seeds_that_count(inputs):
    metrics, records, status = inputs
    table = matched.matched_table(metrics, records, status)
    assert table["objective"].tolist() == ["original", "retain_model", "ga", "npo"]
    by_name = table.set_index("objective")
    assert by_name.loc[["original", "retain_model"], ["a", "a_sd"]].isna().all(axis=None)
    assert by_name.loc["ga", "a"] == 0.5 and by_name.loc["ga", "n_seeds"] == 2
    assert by_name.loc["ga", "a_sd"] == pytest.approx(np.std([0.25, 0.75], ddof=1))
    assert by_name.loc["npo", "a"] == pytest.approx(np.mean([0, 0.5, 0.125]))
    assert by_name["status"].to_dict() == {
        "original": "ok",
        "retain_model": "ok",
        "ga": "diverged",
        "npo": "ok",
    }
    means = metrics.groupby(["objective", "metric", "dataset"])["value"].mean()
    for name, key in MAIN_COLUMNS.items():
        assert by_name.loc["npo", name] == pytest.approx(means["npo", *key])
    assert not {"e_unlearn", "change_unlearn"} & set(table), "those are of the run's own end"


def test_a_seed_without_metrics_has_no_part_in_a_either(inputs):
    """It has finished and was searched, but its evaluation has not a single finite number."""
    metrics, records, status = inputs
    lost = metrics["objective"].eq("npo") & metrics["seed"].eq(2)
    metrics = metrics.assign(value=metrics["value"].mask(lost))
    row = matched.matched_table(metrics, records, status).set_index("objective").loc["npo"]
    assert (row["n_seeds"], row["status"]) == (2, "missing")
    assert row["a"] == pytest.approx(np.mean([0.0, 0.125]))
    assert row["a_sd"] == pytest.approx(np.std([0.0, 0.125], ddof=1))
    for nothing in (metrics[~lost], metrics[:0], pd.DataFrame()):
        table = matched.matched_table(nothing, [], status)
        assert {"ga", "npo"} <= set(table["objective"]) and table["a"].isna().all()


def test_the_table_can_be_written_for_readers(inputs, tmp_path):
    table = matched.matched_table(*inputs)
    paths = [tmp_path / f"matched.{suffix}" for suffix in ("csv", "md", "tex")]
    note = matched.about(inputs[1])
    writing.write(table, *paths, caption=note, columns=matched.COLUMNS, mark_best=True)
    read = pd.read_csv(paths[0])
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    text = paths[1].read_text()
    assert "95%" in text and "0.5 ± 0.35" in text


def test_a_table_of_diverged_cells_alone_has_no_share(inputs):
    metrics, records, status = inputs
    table = matched.matched_table(
        metrics[metrics["objective"].eq("ga") & metrics["seed"].eq(3)],
        records[2:3],
        status.iloc[2:3],
    )
    assert table["status"].tolist() == ["diverged"] and table["a"].isna().all()


def test_a_trace_has_every_point_in_order(inputs):
    frame = traces(inputs[1])
    mine = frame.query("objective == 'ga' and seed == 2")
    assert mine["order"].tolist() == [1, 2, 3] and mine["a"].tolist() == [1.0, 0.0, 0.75]
    assert mine["holds"].tolist() == [True, False, True]
    assert mine["chosen"].tolist() == [False, False, True]
    assert frame.query("objective == 'ga' and seed == 3").empty
    assert list(traces([]).columns) == list(frame.columns)


def test_the_caption_counts_the_searches_that_are_not_monotone(inputs):
    records = inputs[1]
    assert "monotone" not in matched.about(records)
    assert "is 0 in" not in matched.about(records)
    falling = record(0.5)
    falling["trace"][2]["es_exact_retain"] = 0.625
    without = record(0.0, target=0.0)
    records = [(records[0][0], falling), (records[1][0], without), *records[2:]]
    text = matched.about(records)
    assert "not monotone along the line in 1 of 5 cells" in text
    assert "falls by 0.025 at most" in text
    assert "is 0 in 1 of 5 cells" in text and "95%" in text
