"""What the first page of a run says, and how it shows what is not there."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from geffect.names import COMPONENTS, RETAIN, UNLEARN, thirds
from geffect.report.pages import overview, tables
from geffect.report.pages.answers import Tables, groups, sentences
from geffect.report.statements.verdict import counted

STEPS = [0, 10, 20, 30]
KEY = {"model": "m", "split": "s"}
STATEMENTS = pd.DataFrame(columns=["model", "split", "statement", "by", "verdict", "name"])
TOKENS = ["objective", "regularizer", "seed", "text", "share", "first_step", "last_step"]
EVEN = dict.fromkeys(COMPONENTS, 0.2)


class Place:
    """Collects the runs of one (model, split); `tables` are what the answers are read from."""

    def __init__(self, blocks=3):
        self.blocks = thirds(blocks)
        self.main, self.metrics, self.geffect, self.risk = [], [], [], []
        self.tokens, self.matched, self.shares = [], [], []

    def run(
        self,
        objective,
        retain=(1.0, 1.0, 1.0),
        unlearn=(1.0, 1.0, 1.0),
        regularizer="none",
        seeds=(1,),
        shares=EVEN,
        status="ok",
        es=(0.25, 0.5),
        untouched=(),
        tokens=(),
        matched=None,
    ):
        """A run of one or several seeds.

        retain, unlearn: changes of the risks over its intervals, the same for all seeds, or a list
        for each; shares: of the components; untouched: blocks without a gradient; matched: (a, ES
        on D_u) or None.
        """
        row = {**KEY, "objective": objective, "regularizer": regularizer}
        self.main.append({**row, "status": status})
        if status != "ok":
            return self
        parts = {**shares, "total": 1.0}
        for n, third in enumerate(self.blocks, start=1):
            parts[f"layer.{n}"] = shares[third] / self.blocks.count(third)
        for number, seed in enumerate(seeds):
            cell = {**row, "seed": seed}
            for dataset, value in zip((UNLEARN, RETAIN), es, strict=True):
                self.metrics.append(
                    {**cell, "metric": "es_exact", "dataset": dataset, "value": value}
                )
            for dataset, given in ((UNLEARN, unlearn), (RETAIN, retain)):
                changes = np.broadcast_to(given, (len(seeds), 3))[number]
                for component, share in parts.items():
                    zero = component in untouched
                    self.geffect.append(
                        {**cell, "term": "objective", "dataset": dataset, "component": component}
                        | {"cumulated": 0.0 if zero else -share}
                    )
                    for step, change in zip(STEPS, [*changes, np.nan], strict=True):
                        measured = change if component == "total" else np.nan
                        self.risk.append(
                            {**cell, "step": step, "term": "objective", "dataset": dataset}
                            | {"component": component, "measured_change": measured}
                            | {"predicted_change": 0.0 if zero else change * share}
                        )
            for text, share in tokens:
                self.tokens.append(
                    {**cell, "text": text, "share": share, "first_step": 0, "last_step": 30}
                )
            if matched:
                self.shares.append({**cell, "a": matched[0], "chosen": True})
                for metric, dataset, value in (
                    ("es_exact", UNLEARN, matched[1]),
                    ("es_exact", RETAIN, 0.9),
                    ("mu", "all", 0.4),
                ):
                    self.matched.append(
                        {**cell, "metric": metric, "dataset": dataset, "value": value}
                    )
        return self

    def tables(self, base=None):
        keys = ["objective", "regularizer", "seed"]
        frames = {
            name: pd.DataFrame(rows)
            if (rows := getattr(self, name))
            else pd.DataFrame(columns=[*KEY, *keys, "component"])
            for name in ("main", "metrics", "geffect", "risk")
        }
        found = Tables(
            **frames,
            tokens=pd.DataFrame(self.tokens, columns=[*KEY, *TOKENS]),
            base=base or list(dict.fromkeys(row["objective"] for row in self.main)),
        )
        if not self.matched:
            return found
        return dataclasses.replace(
            found,
            matched=pd.DataFrame(self.matched),
            shares=pd.DataFrame(self.shares),
            es_retain=0.95,
        )

    def groups(self, base=None):
        return groups(self.tables(base))

    def said(self, base=None):
        return dict(sentences(self.groups(base)[0]))

    def page(self, base=None, **given):
        places = {("m", "s"): self.groups(base)}
        values = {
            "setups": {},
            "statements": STATEMENTS,
            "figures": {},
            "links": {},
            "tables": None,
        }
        return overview.page("r", places, **{**values, **given})


def rows_of(group):
    return group.rows.set_index(["objective", "regularizer"])


@pytest.fixture
def shares(rng):
    """Component -> share of a change; one of them is clearly the greatest."""
    values = dict.fromkeys(COMPONENTS, 0.1)
    values[str(rng.choice(COMPONENTS))] = 0.6
    return values


def test_every_run_gets_its_numbers(shares):
    place = Place().run("original").run("ga", [0.05, 0.1, 4.35], [3, 3, 3], shares=shares)
    place.run("npo", [0.01] * 3, [0.5, 0.5, 1.0], shares=shares)
    (group,) = place.groups()
    table = rows_of(group)
    assert list(table.index) == [("ga", "none"), ("npo", "none")], "references are no runs"
    ga, npo = (table.loc[name, "none"] for name in ("ga", "npo"))
    assert (ga["change_unlearn"], ga["change_retain"]) == pytest.approx((9, 4.5))
    assert (ga["es_unlearn"], ga["es_retain"]) == (0.25, 0.5)
    most = max(shares, key=shares.get)
    where = {"shallow": "layer.1", "middle": "layer.2", "deep": "layer.3"}.get(most, most)
    assert (ga["most"], ga["share"]) == (where, pytest.approx(0.6))
    assert ga["from_step"] == 20, "0.15 nats up to there"
    assert npo["most"] == "" and np.isnan(npo["from_step"])


def test_harm_is_compared_where_both_have_forgotten_as_much():
    place = Place().run("ga", [1, 1, 8], [2, 2, 6]).run("npo", [1, 2, 1], [1, 1, 1])
    (group,) = place.groups()
    assert group.rise == pytest.approx(3)
    table = rows_of(group)["at_equal"]
    assert table["ga", "none"] == pytest.approx(1.5)
    assert table["npo", "none"] == pytest.approx(4)
    said = place.said()["Which harms retention?"]
    assert "risen by 3 nats, ga has changed R_r least (+1.5); npo most (+4)" in said
    assert "By its last step, ga has raised R_r most, by 10 nats" in said


def test_what_does_not_forget_or_is_too_fast_is_not_compared_at_an_equal_rise():
    place = Place().run("ga", unlearn=[1, 1, 1]).run("npo", unlearn=[1, 0.5, 1])
    place.run("po", unlearn=[0.01] * 3).run("fast", unlearn=[9, 0, 0])
    said = place.said()["Which harms retention?"]
    assert "Where R_u has risen by 2.5 nats" in said
    assert "Not compared: po, fast" in said


def test_runs_are_compared_by_the_seeds_that_they_share(rng):
    """A single seed, the hardest one, must not be ranked beside the mean over three."""
    place = Place()
    place.run("ga", unlearn=[[1] * 3, [2] * 3, [3] * 3], seeds=(1, 2, 3))
    place.run("npo", unlearn=[[0.5] * 3] * 3, seeds=(1, 2, 3))
    place.run("ga_b", unlearn=[2.5] * 3, seeds=(3,))
    first, every = place.groups(base=["ga", "npo"])
    assert (first.seeds, every.seeds) == ([1, 2, 3], [3])
    assert list(rows_of(first).index) == [("ga", "none"), ("npo", "none")]
    assert rows_of(first).loc[("ga", "none"), "change_unlearn"] == pytest.approx(6)
    table = rows_of(every)["change_unlearn"]
    assert table["ga", "none"] == pytest.approx(9) and table["ga_b", "none"] == pytest.approx(7.5)
    page = place.page(base=["ga", "npo"])
    assert "compared by seeds 1, 2 and 3." in page.replace("\n", " ")
    assert "Means over seed 3, which all runs have" in page
    assert page.count("<td>1, 2, 3</td>") == 2 and page.count("<td>3</td>") == 3


def test_a_run_that_lacks_a_seed_is_compared_by_the_others(rng):
    place = Place().run("ga", unlearn=[[1] * 3, [5] * 3], seeds=(1, 2)).run("npo", seeds=(1,))
    (group,) = place.groups()
    assert group.seeds == [1]
    assert rows_of(group).loc[("ga", "none"), "change_unlearn"] == pytest.approx(3)
    alone = Place().run("ga", seeds=(1, 2)).run("npo", seeds=(2, 3)).run("po", seeds=(4,))
    (group,) = alone.groups()
    assert group.seeds == [2]
    assert np.isnan(rows_of(group).loc[("po", "none"), "change_unlearn"])
    assert "<td>4 (not compared)</td>" in alone.page()


def test_variants_with_the_same_seeds_stand_in_one_table():
    place = Place().run("ga", seeds=(1, 2)).run("ga_b", seeds=(1, 2), unlearn=[9] * 3)
    page = place.page(base=["ga"])
    assert page.count('aria-label="Every run"') == 1 and "All variants" not in page
    assert "<td>ga_b</td>" in page and "ga has raised R_u most" in page


def test_seeds_are_averaged_before_a_step_is_named():
    place = Place().run("ga", retain=[[0.19, 0, 1], [-0.1, 0, 1]], seeds=(1, 2))
    assert place.groups()[0].rows["from_step"].tolist() == [30]


def test_at_matched_retention_the_least_that_is_recited_comes_first():
    place = Place().run("ga", matched=(0.6, 0.4)).run("ga", regularizer="kl", matched=(0.0, 0.1))
    place.run("npo", matched=(0.3, 0.2))
    said = place.said()["Which objective forgets?"]
    assert "At matched retention (95% of the original's ES on D_r)" in said
    assert "ga+kl recites least of D_u (10%); ga most (40%)" in said
    page = place.page(tables="tables.html")
    assert 'href="tables.html#matched"' in page
    order = [page.index(f"<tr><td>{name}</td><td class") for name in ("ga+kl", "npo", "ga")]
    assert order == sorted(order)
    without = Place().run("ga").page()
    assert "no table by which objectives could be ranked" in without.replace("\n", " ")


def test_more_blocks_are_not_taken_for_more_harm_in_each():
    """Four blocks are two, one and one: shallow has most, a block of deep has most."""
    shares = {"embed": 0.1, "shallow": 0.4, "middle": 0.1, "deep": 0.3, "lm": 0.1}
    said = Place(blocks=4).run("ga", shares=shares).said()["In which layers?"]
    assert "Per block, R_r rises most in the deep third in 1 of 1 objectives" in said
    assert "shallow, middle and deep have 2, 1, 1 blocks" in said
    assert "shallow 40% (20% a block)" in said and "deep 30%," in said


def test_an_objective_that_cannot_reach_a_layer_is_not_counted_there():
    shares = {"embed": 0.4, "shallow": 0.6, "middle": 0.0, "deep": 0.0, "lm": 0.0}
    above = ("middle", "deep", "layer.2", "layer.3")
    deep = {**EVEN, "deep": 0.3, "shallow": 0.1}
    place = Place().run("rmu", shares=shares, untouched=above, retain=[9] * 3)
    said = place.run("ga", shares=deep).said()["In which layers?"]
    assert "in the deep third in 1 of 1 objectives" in said
    assert "Not counted: rmu (layers 1), which cannot change the layers above" in said
    assert "layer 1 (60%), moves layers 1 only" in place.page()


def test_the_tokens_are_those_of_an_objective_that_weighs_tokens():
    place = Place().run("rmu", retain=[9] * 3).run("npo", retain=[0.1] * 3, tokens=[("n", 0.9)])
    place.run("ga", retain=[2] * 3, seeds=(1, 2), tokens=[("x", 0.3), ("y", 0.4)])
    said = place.said()["Through which tokens?"]
    assert said.startswith("In ga (seed 1, the mean over the measured steps 0 to 30)")
    assert "“y”, “x”." in said
    assert "rmu, which harms most, has no weights of answer tokens" in said
    assert "Not measured" in Place().run("ga").said()["Through which tokens?"]


def test_the_answers_name_the_right_objectives(shares):
    place = Place().run("ga", [0.05, 0.1, 4.35], [3, 3, 3], shares=shares)
    place.run("npo", [0.01] * 3, [0.5, 0.5, 1.0], shares=shares)
    place.run("ga", [99.0] * 3, [99.0] * 3, regularizer="kl")
    place.run("boom", status="diverged")
    found = place.said()
    assert "ga has raised R_u most, by 9 nats" in found["Which objective forgets?"]
    assert "npo least, by 2 nats" in found["Which objective forgets?"]
    step = found["From which step on?"]
    assert "first at step 20 (ga)" in step and "never does in npo" in step
    assert "diverged" in place.page()


def test_one_objective_alone_is_compared_with_nothing():
    assert "least" not in " ".join(Place().run("ga").said().values())


@pytest.mark.parametrize(
    "run",
    [
        {"status": "diverged"},
        {"status": "missing"},
        {"regularizer": "kl"},
    ],
    ids=["diverged", "missing", "regularized alone"],
)
def test_where_no_run_can_answer_the_page_says_so(run):
    place = Place().run("ga", **run)
    assert list(place.said()) == ["No answers"]
    page = place.page()
    assert "No run without a regularizer has finished" in page
    assert next(iter(run.values())) in page and ">nan" not in page


def test_a_badge_of_several_parts_counts_them():
    rows = [
        {**KEY, "statement": 6, "name": "n", "part": part, "by": by, "verdict": "does not hold"}
        | {"part_verdict": verdict, "claim": "", "quantity": "", "wanted": "", "reason": ""}
        | {"value": 1.0, "low": np.nan, "high": np.nan, "interval": "none"}
        for by in ("geffect", "change")
        for part, verdict in zip("abc", ("holds", "does not hold", "cannot be told"), strict=True)
    ]
    page = Place().run("ga").page(statements=pd.DataFrame(rows))
    badge = '<span class="verdict does-not-hold" title="does not hold">'
    assert page.count(f"{badge}1 of 3 hold, 1 cannot be told</span>") == 2
    assert counted(["cannot be told"] * 3) == counted(["cannot be told"]) == "cannot be told"
    assert counted(["holds"] * 2) == "2 of 2 hold" and counted(["holds"]) == "holds"


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


def test_what_seeds_do_not_tell_apart_is_said_and_references_stand_beside():
    place = Place()
    for name, strengths in (("ga", (0.1, 0.2)), ("npo", (0.11, 0.18)), ("po", (0.6, 0.71))):
        for seed, strength in enumerate(strengths):
            place.run(name, seeds=(seed,), matched=(0.5, strength))
    said = place.said()["Which objective forgets?"]
    assert "npo recites least of D_u (14%), which seeds 0 and 1 do not tell apart from ga" in said
    assert "; po most" in said
    harm = Place().run("ga", retain=[[1] * 3, [1.1] * 3], seeds=(1, 2))
    harm.run("npo", retain=[[1.05] * 3, [1] * 3], seeds=(1, 2))
    harm.run("po", retain=[[9] * 3, [9] * 3], seeds=(1, 2))
    said = harm.said()["Which harms retention?"]
    assert "npo has changed R_r least" in said
    assert "which seeds 1 and 2 do not tell apart from ga; po most" in said
