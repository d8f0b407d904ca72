"""Robustness to relearning and rounding on frames whose result is known."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up import name_cell, row_of, write

from geffect.names import CELL
from geffect.report.robustness import (
    KNOWS,
    relearning,
    relearning_robustness,
    rounding,
    rounding_robustness,
    speeds,
)
from geffect.report.tables import quantized, relearn

NAN = math.nan


def known(cell, metric, *values, dataset="other"):
    """The rows of a cell that relearned, epoch by epoch; in another order than that of epochs."""
    rows = [
        cell | {"epoch": k, "metric": metric, "dataset": dataset, "value": value}
        for k, value in enumerate(values)
    ]
    return rows[::-1]


@pytest.mark.parametrize(
    ("retain", "unlearned", "expected"),
    [
        (0.1, 0.4, 0.25),
        (0.4, 0.1, 1),
        (0.3, 0.3, 1),
        (0.1, 0, 1),  # nothing came back
        (0, 0, 1),
        (0.1, -0.2, 1),
        (-0.1, -0.2, 1),
        (0, 0.2, 0),  # what never knew does not gain, what forgot does
        (-0.1, 0.2, 0),
        (NAN, 0.2, NAN),
        (0.1, NAN, NAN),
        (NAN, -0.1, NAN),
        (math.inf, 0.1, NAN),
    ],
)
def test_robustness_to_relearning(retain, unlearned, expected):
    found = relearning_robustness(np.array([unlearned]), np.array([retain]))
    assert found == pytest.approx([expected], nan_ok=True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.1, 0.4, 0.25),
        (0.4, 0.1, 1),
        (0, 0.2, 0),
        (0, 0, 1),
        (0.3, 0, 1),
        (NAN, 0.1, NAN),
        (0.1, NAN, NAN),
    ],
)
def test_robustness_to_rounding(before, after, expected):
    found = rounding_robustness(np.array([before]), np.array([after]))
    assert found == pytest.approx([expected], nan_ok=True)


@pytest.fixture
def frame():
    """Two seeds of one variant with a retain model each, and a variant without numbers."""
    rows = []
    for seed, gained in ((1, 0.4), (2, 0.1)):
        own, beside = name_cell("npo", seed=seed), name_cell("retain_model", seed=seed)
        rows += known(own, "es_exact", 0.1, 0.9, 0.1 + gained)
        rows += known(own, "es_exact", 0.5, 0.5, 0.5, dataset="retain")
        rows += known(own, "truth_ratio", 0.8, 0.7, 0.6) + known(own, "risk", 5.0, 4.0, 3.0)
        rows += known(beside, "es_exact", 0.1, 0.2, 0.3)
        rows += known(beside, "truth_ratio", 0.9, 0.9, 0.95) + known(beside, "risk", 3.0, 2.0, 2.5)
    rows += known(name_cell("ga", seed=1), "es_exact", 0.1, NAN, NAN)
    return pd.DataFrame(rows)


def test_gains_are_of_the_first_and_last_epoch_and_count_knowledge(frame):
    found = relearning(frame).set_index(["objective", "seed", "metric"])
    one = found.loc["npo", 1, "es_exact"]
    assert (one["start"], one["end"]) == (0.1, 0.5), "of the other forget rows alone"
    assert one["gain"] == pytest.approx(0.4) and one["gain_retain_model"] == pytest.approx(0.2)
    assert one["robustness"] == pytest.approx(0.5)
    assert found.loc[("npo", 2, "es_exact"), "robustness"] == 1
    ratio = found.loc["npo", 1, "truth_ratio"]
    assert ratio["gain"] == pytest.approx(0.2) and ratio["robustness"] == 0, "the other way round"
    risk = found.loc["npo", 1, "risk"]
    assert (risk["gain"], risk["robustness"]) == (2, 0.25)
    assert found.loc["ga", 1, "es_exact"][["end", "gain", "robustness"]].isna().all()
    beside = found.loc["retain_model", 1, "es_exact"]
    assert beside["gain"] == pytest.approx(0.2) and math.isnan(beside["robustness"])
    assert list(KNOWS) == ["es_exact", "em", "truth_ratio", "risk"]
    alone = relearning(frame[frame["objective"].ne("retain_model")])
    assert alone["robustness"].isna().all() and alone["gain"].notna().any()
    assert relearning(pd.DataFrame()).empty


def effects(cell, step, norm, **changes):
    place = {"term": "objective", "dataset": "unlearn", "component": "total"} | changes
    return cell | {"step": step, "norm_risk": norm} | place


def test_the_speed_is_that_of_the_last_measured_step():
    cell = name_cell("npo")
    rows = [effects(cell, 5, 3.0), effects(cell, 0, 2.0)]
    rows += [effects(cell, 5, 9.0, dataset="retain"), effects(cell, 5, 9.0, component="deep")]
    rows += [effects(name_cell("ga"), 2, 0.5)]
    found = speeds(pd.DataFrame(rows)).set_index("objective")["speed"]
    assert found.to_dict() == {"npo": 9.0, "ga": 0.25}
    with_adapters = {tuple(cell[name] for name in CELL)}
    found = speeds(pd.DataFrame(rows), with_adapters).set_index("objective")["speed"]
    assert np.isnan(found["npo"]) and found["ga"] == 0.25


@pytest.fixture
def asked():
    """Cells, their status and records."""
    cells = [name_cell("npo", seed=1), name_cell("npo", seed=2), name_cell("ga", seed=1)]
    cells.append(name_cell("wga", seed=1))
    states = ["ok", "ok", "ok", "diverged"]
    status = pd.DataFrame([c | {"status": s} for c, s in zip(cells, states, strict=True)])
    settings = {"rows": 8, "training": {"epochs": 2}}
    records = [
        (c, {"learning_rate_sum": rates, "missing": {}, "settings": settings})
        for c, rates in zip(cells, (0.5, 0.25, 0.5, 0), strict=True)
    ]
    records[2][1]["missing"] = {"later epochs": "diverged at update 3: non-finite weights"}
    return status, records


def test_the_table_averages_seeds_and_shows_what_is_missing(frame, asked, tmp_path):
    status, records = asked
    geffect = [effects(name_cell("npo", seed=s), 4, norm) for s, norm in ((1, 2.0), (2, 4.0))]
    table = relearn.relearn_table(frame, pd.DataFrame(geffect), records, status)
    assert table["objective"].tolist() == ["retain_model", "npo", "ga", "wga"]
    npo = row_of(table, "npo")
    assert npo["es_exact_gain"] == pytest.approx(0.25) and npo["n_seeds"] == 2
    assert npo["es_exact_gain_sd"] == pytest.approx(np.std([0.4, 0.1], ddof=1))
    assert npo["es_exact_robustness"] == pytest.approx(0.75)
    assert npo["speed"] == 10 and npo["predicted"] == pytest.approx((0.5 * 4 + 0.25 * 16) / 2)
    assert npo["status"] == "ok" and math.isnan(npo["em_gain"])
    ga, wga = row_of(table, "ga"), row_of(table, "wga")
    assert ga["es_exact_start"] == 0.1 and math.isnan(ga["es_exact_gain"])
    assert (wga["status"], wga["n_seeds"]) == ("diverged", 0)
    said = relearn.about(records, frame, status)
    assert said.startswith("Relearned: 8 rows, 2 epochs.")
    assert "Missing in 1 of 4 cells: later epochs: diverged at update 3" in said
    assert "retain model beside" not in said
    lonely = frame[frame["objective"].ne("retain_model")]
    assert "No R in 2 cells" in relearn.about(records, lonely, status)
    assert (
        row_of(relearn.relearn_table(lonely, pd.DataFrame(), records, status), "npo")[
            ["es_exact_gain_retain_model", "es_exact_robustness", "predicted"]
        ]
        .isna()
        .all()
    )
    paths = write(table, tmp_path, said, relearn.COLUMNS)
    pd.testing.assert_frame_equal(pd.read_csv(paths[0]), table, check_dtype=False)
    assert "ES gain retain model" in paths[1].read_text()


def bits_of(cell, bits, values):
    return [
        cell | {"bits": bits, "metric": metric, "dataset": dataset, "value": value}
        for (metric, dataset), value in values.items()
    ]


def test_rounding_is_compared_with_the_weights_as_they_are(tmp_path):
    names = [(m, d) for m in ("es_exact", "em", "truth_ratio") for d in ("unlearn", "retain")]
    start = dict(zip(names, (0.1, 0.9, 0.5, 0.9, 0.8, 0.3), strict=True))
    after = dict(zip(names, (0.2, 0.8, 0.4, 0.8, 0.6, 0.2), strict=True))
    cell, lost, original = name_cell("npo"), name_cell("ga"), name_cell("original")
    rows = [r for c in (cell, original) for r in bits_of(c, 32, start) + bits_of(c, 4, after)]
    rows += [r for b in (4, 32) for r in bits_of(lost, b, dict.fromkeys(names, NAN))]
    frame = pd.DataFrame(rows[::-1])
    found = rounding(frame).set_index(["objective", "metric"])["robustness"]
    assert found["npo", "es_exact"] == pytest.approx(0.5) and found["npo", "em"] == 1
    assert found["npo", "truth_ratio"] == pytest.approx(0.2 / 0.4), "known is 1 less the ratio"
    assert found["ga"].isna().all()
    status = pd.DataFrame([cell | {"status": "ok"}, lost | {"status": "diverged"}])
    table = quantized.quantized_table(frame, status)
    places = list(zip(table["objective"], table["bits"], strict=True))
    assert places == [(o, b) for o in ("original", "npo", "ga") for b in (32, 4)]
    npo = table[table["objective"].eq("npo")].set_index("bits")
    assert npo["em_retain"].to_dict() == {32: 0.9, 4: 0.8}
    assert npo.loc[4, "es_exact_robustness"] == pytest.approx(0.5)
    assert math.isnan(npo.loc[32, "es_exact_robustness"])
    assert table.loc[table["objective"].eq("original"), quantized.ROBUSTNESS].isna().all(axis=None)
    assert table.loc[table["objective"].eq("ga"), "status"].eq("diverged").all()
    records = [{"rounded": {"4": 0.5}, "missing": {"truth_ratio of unlearn": "row 2 has no x"}}]
    said = quantized.about(records)
    assert said.startswith("Rounded: 50% of all weights.") and "row 2 has no x" in said
    paths = write(table, tmp_path, said, quantized.COLUMNS)
    assert len(pd.read_csv(paths[0])) == 6 and set(CELL[:-1]) <= set(table)
    assert quantized.quantized_table(pd.DataFrame(), status)["status"].eq("missing").sum() == 1
