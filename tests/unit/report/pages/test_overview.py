"""What the first page of a run says, and how it shows what is not there."""

import numpy as np
import pandas as pd
import pytest

from geffect.names import COMPONENTS, RETAIN, UNLEARN
from geffect.report.pages import overview, tables
from geffect.report.pages.overview import answers, sentences

STEPS = [0, 10, 20, 30]
KEY = {"model": "m", "split": "s"}
STATEMENTS = pd.DataFrame(columns=["model", "split", "statement", "by", "verdict", "name"])
NO_TOKENS = pd.DataFrame(columns=["model", "split", "objective", "regularizer", "text", "share"])


def risk_of(objective, changes, shares, regularizer="none", seed=1):
    """A run whose R_r changes so over its intervals, split between components."""
    key = {**KEY, "objective": objective, "regularizer": regularizer, "seed": seed}
    return [
        {**key, "step": step, "term": "objective", "dataset": dataset, "component": component}
        | {"predicted_change": change * share}
        | {"measured_change": change if component == "total" else np.nan}
        for dataset in (UNLEARN, RETAIN)
        for step, change in zip(STEPS, [*changes, np.nan], strict=True)
        for component, share in {**shares, "total": 1}.items()
    ]


def main_of(*rows):
    columns = ["objective", "regularizer", "status", "change_unlearn", "change_retain"]
    frame = pd.DataFrame(rows, columns=columns).assign(**KEY, n_seeds=1)
    return frame.assign(es_exact_unlearn=0.25, es_exact_retain=0.5)


@pytest.fixture
def shares(rng):
    """Component -> share of a change; one of them is clearly the greatest."""
    values = dict.fromkeys(COMPONENTS, 0.1)
    values[str(rng.choice(COMPONENTS))] = 0.6
    return values


def test_every_run_gets_its_numbers(shares):
    main = main_of(
        ("original", "none", "ok", np.nan, np.nan),
        ("ga", "none", "ok", 9.0, 4.5),
        ("npo", "none", "ok", 2.0, 0.03),
    )
    risk = pd.DataFrame(
        risk_of("ga", [0.05, 0.1, 4.35], shares) + risk_of("npo", [0.01] * 3, shares)
    )
    worst = pd.DataFrame(
        {**KEY, "regularizer": "none", "objective": "ga", "text": ["x", "y", "x"]}
        | {"seed": [1, 1, 2], "share": [0.3, 0.4, 0.3]}
    )
    table = answers(main, risk, worst).set_index("objective")
    assert list(table.index) == ["ga", "npo"], "references are no runs"
    ga, npo = table.loc["ga"], table.loc["npo"]
    assert ga["per_nat"] == pytest.approx(0.5)
    assert (ga["layer"], ga["layer_share"]) == (max(shares, key=shares.get), pytest.approx(0.6))
    assert ga["from_step"] == 20, "0.15 nats up to there"
    assert ga["tokens"] == ["x", "y"]
    assert pd.isna(npo["layer"]) and np.isnan(npo["from_step"]) and npo["tokens"] == []


def test_seeds_are_averaged_before_a_step_is_named(shares):
    main = main_of(("ga", "none", "ok", 9.0, 4.5))
    risk = pd.DataFrame(
        risk_of("ga", [0.19, 0, 1], shares) + risk_of("ga", [-0.1, 0, 1], shares, seed=2)
    )
    assert answers(main, risk, NO_TOKENS)["from_step"].tolist() == [30]


def said(main, risk, worst=NO_TOKENS):
    return dict(sentences(answers(main, risk, worst)))


def test_the_answers_name_the_right_objectives(shares):
    main = main_of(
        ("ga", "none", "ok", 9.0, 4.5),
        ("npo", "none", "ok", 2.0, 0.03),
        ("ga", "kl", "ok", 99.0, 99.0),
        ("boom", "none", "diverged", np.nan, np.nan),
    )
    risk = pd.DataFrame(
        risk_of("ga", [0.05, 0.1, 4.35], shares)
        + risk_of("ga", [99.0] * 3, shares, "kl")
        + risk_of("npo", [0.01] * 3, shares)
    )
    found = said(main, risk)
    assert found["Which objective forgets?"].startswith("ga most")
    assert "by 9 nats" in found["Which objective forgets?"]
    assert "npo least: 2 nats" in found["Which objective forgets?"]
    assert "npo harms least (0.015) and ga most (0.5)" in found["Which harms retention?"]
    assert f"through {max(shares, key=shares.get)} in 1 of 1" in found["In which layers?"]
    assert (
        "20 for ga" in found["From which step on?"] and "never: npo" in found["From which step on?"]
    )
    assert found["Through which tokens?"].startswith("not measured")


def test_one_objective_alone_is_compared_with_nothing(shares):
    found = said(
        main_of(("ga", "none", "ok", 9.0, 4.5)), pd.DataFrame(risk_of("ga", [1] * 3, shares))
    )
    assert "least" not in " ".join(found.values())


@pytest.mark.parametrize(
    "rows",
    [
        [("ga", "none", "diverged", np.nan, np.nan)],
        [("ga", "none", "missing", np.nan, np.nan)],
        [("ga", "kl", "ok", 1.0, 1.0)],
    ],
    ids=["diverged", "missing", "regularized alone"],
)
def test_where_no_run_can_answer_the_page_says_so(rows, shares):
    main = main_of(*rows)
    risk = pd.DataFrame(risk_of("ga", [1] * 3, shares, rows[0][1]))
    assert list(said(main, risk)) == ["No answers"]
    page = overview.page("r", answers(main, risk, NO_TOKENS), STATEMENTS, {}, {}, [])
    assert "no run without a regularizer has finished" in page
    assert rows[0][2] in page and ">nan" not in page


def test_a_long_table_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 3)
    frame = pd.DataFrame({"name": list("abcde"), "value": [1.0, np.nan, np.inf, -3.0, 5.0]})
    page = tables.page("r", [("main", "What it is for.", frame)], "a: 1")
    assert "The first 3 of 5 rows" in page
    assert page.count("<tr>") == 1 + 3
    assert "What it is for." in page and "a: 1" in page
    monkeypatch.setattr(tables, "ROWS", 5)
    page = tables.page("r", [("main", "", frame)], "")
    assert "rows; all of them" not in page
    assert 'data-number="-3.0"' in page and 'data-number="inf"' not in page
