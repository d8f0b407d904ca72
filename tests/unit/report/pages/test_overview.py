"""What the first page of a run says, and how it shows what is not there."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from geffect.names import COMPONENTS, RETAIN, UNLEARN, thirds
from geffect.report.pages import overview, tables
from geffect.report.pages.answers import Tables, answer_tag, groups, sentences
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
    said = place.said()
    harms = said["Which harms retention?"]
    assert "Where R_u has risen by 3 nats" in harms
    assert "R_r has risen least in ga (+1.5); most in npo (+4)" in harms
    assert "R_r has risen most in ga, by 10 nats" in said["How far do the runs go?"]
    assert "10 nats" not in harms, "one question has one answer"


def test_what_does_not_forget_or_is_too_fast_is_not_compared_at_an_equal_rise():
    place = Place().run("ga", unlearn=[1, 1, 1]).run("npo", unlearn=[1, 0.5, 1])
    place.run("po", unlearn=[0.01] * 3).run("fast", unlearn=[9, 0, 0])
    said = place.said()["Which harms retention?"]
    assert "Where R_u has risen by 2.5 nats" in said
    assert "Not compared there: po (its R_u rises by 0.03 nats only) and fast (it passes" in said


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_a_laggard_does_not_set_the_level_at_which_harm_is_compared(seeds):
    """At the 0.3 nats that po reaches, no other has harmed anything yet."""
    place = Place()
    for name, rises, harms in (
        ("ga", [0.5, 2, 4], [0, 1, 9]),
        ("wga", [0.5, 2, 2], [0, 0.5, 1]),
        ("npo", [0.5, 1.5, 1], [0, 0.6, 0.4]),
        ("tnpo", [0.5, 0.5, 0.5], [0, 0.1, 0.1]),
        ("po", [0.1, 0.1, 0.1], [0.2, 0.2, 0.2]),
    ):
        place.run(name, harms, rises, seeds=seeds)
    (group,) = place.groups()
    assert group.rise == pytest.approx(3), "which three of five reach: ga, wga and npo"
    table = rows_of(group)
    assert table.loc[("ga", "none"), "at_equal"] == pytest.approx(1 + 9 * 0.5 / 4)
    assert table.loc[("wga", "none"), "at_equal"] == pytest.approx(0.75)
    assert table["why"].tolist() == ["", "", "", "not reached", "not reached"]
    said = place.said()["Which harms retention?"]
    assert "R_r has risen least in wga (+0.75)" in said
    whose = "its" if len(seeds) == 1 else "with one seed its"
    assert f"Not compared there: tnpo ({whose} R_u rises by 1.5 nats only) and po (" in said
    page = place.page()
    assert '<td class="number gap">not reached: R_u +1.5</td>' in page
    assert '<td class="number gap">not reached: R_u +0.3</td>' in page


def test_what_hardly_forgets_does_not_count_among_the_half():
    """Else two of five would do, or the level would be the greatest rise of the least."""
    place = Place().run("ga", unlearn=[1, 1, 2]).run("npo", unlearn=[1, 1, 1])
    for name in ("a", "b", "c"):
        place.run(name, unlearn=[0.01, 0.01, 0.01])
    assert place.groups()[0].rise == pytest.approx(3)


def test_without_a_level_the_question_is_not_answered():
    place = Place().run("ga", unlearn=[1, 1, 2]).run("po", unlearn=[0.03, 0.03, 0.03])
    assert np.isnan(place.groups()[0].rise)
    assert place.said()["Which harms retention?"].startswith("Not answered")
    alone = Place().run("ga").said()["Which harms retention?"]
    assert alone == "There is no second objective to compare it with."


def test_every_seed_must_reach_the_level():
    place = Place().run("ga", unlearn=[[1, 1, 2], [1, 1, 8]], seeds=(1, 2))
    place.run("npo", unlearn=[[1, 1, 3], [1, 1, 4]], seeds=(1, 2))
    (group,) = place.groups()
    assert group.rise == pytest.approx(4), "what the lesser seed of the lesser run reaches"


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
    assert "Means over seeds 1, 2 and 3." in page and "not compared" not in page


def test_a_run_that_lacks_a_seed_is_compared_by_the_others(rng):
    place = Place().run("ga", unlearn=[[1] * 3, [5] * 3], seeds=(1, 2)).run("npo", seeds=(1,))
    (group,) = place.groups()
    assert group.seeds == [1]
    assert rows_of(group).loc[("ga", "none"), "change_unlearn"] == pytest.approx(3)
    alone = Place().run("ga", seeds=(1, 2)).run("npo", seeds=(2, 3)).run("po", seeds=(4,))
    (group,) = alone.groups()
    assert group.seeds == [2]
    assert np.isnan(rows_of(group).loc[("po", "none"), "change_unlearn"])
    assert "ok, not compared (seed 4)" in alone.page()


def test_variants_with_the_same_seeds_stand_in_one_table():
    place = Place().run("ga", seeds=(1, 2)).run("ga_b", seeds=(1, 2), unlearn=[9] * 3)
    page = place.page(base=["ga"])
    assert page.count('aria-label="Every run"') == 1 and "All variants" not in page
    assert '<th scope="row">ga_b</th>' in page and "ga has raised R_u most" in page


def test_seeds_are_averaged_before_a_step_is_named():
    place = Place().run("ga", retain=[[0.19, 0, 1], [-0.1, 0, 1]], seeds=(1, 2))
    assert place.groups()[0].rows["from_step"].tolist() == [30]


def test_at_matched_retention_the_least_that_is_recited_comes_first():
    place = Place().run("ga", matched=(0.6, 0.4)).run("ga", regularizer="kl", matched=(0.0, 0.1))
    place.run("npo", matched=(0.3, 0.2))
    said = place.said()["Which objective forgets?"]
    assert said == (
        "At matched retention (95% of the original's ES on D_r), ga+kl recites least of D_u (10%); "
        "ga most (40%)."
    ), "and no second winner, by last steps"
    assert Place().run("ga").said()["Which objective forgets?"].startswith("Not answered")
    page = place.page(tables="tables.html")
    assert 'href="tables.html#matched"' in page
    order = [
        page.index(f'<tr><th scope="row">{name}</th><td class') for name in ("ga+kl", "npo", "ga")
    ]
    assert order == sorted(order)
    without = Place().run("ga").page()
    assert "no table by which objectives could be ranked" in without.replace("\n", " ")


@pytest.mark.parametrize("lost", ["all diverged", "no search ended", "no seed in common"])
def test_where_nothing_is_left_at_matched_retention_the_page_says_so(lost):
    place = Place().run("ga", matched=(0.6, 0.4)).run("npo", matched=(0.3, 0.2))
    for row in place.matched if lost != "no seed in common" else []:
        row["value"] = np.nan
    if lost == "no seed in common":
        for row in place.matched:
            row["seed"] += 1
    elif lost == "all diverged":
        place.main = [row | {"status": "diverged"} for row in place.main]
        place.metrics = [row | {"value": np.nan} for row in place.metrics]
        place.risk = [row for row in place.risk if row["step"] == 0]
    (group,) = place.groups()
    assert group.matched.empty and list(group.matched["regularizer"]) == []
    said = place.said()["Which objective forgets?"]
    assert said == "Not answered: no run was evaluated at matched retention to the end."
    assert ">nan" not in place.page(tables="tables.html")


def test_more_blocks_are_not_taken_for_more_harm_in_each():
    """Four blocks are two, one and one: shallow has most, a block of deep has most."""
    shares = {"embed": 0.1, "shallow": 0.4, "middle": 0.1, "deep": 0.3, "lm": 0.1}
    said = Place(blocks=4).run("ga", shares=shares).said()["In which layers?"]
    assert "attributed change of R_r is greatest in the deep third in 1 of the 1 obj" in said
    assert "shallow, middle and deep have 2, 1, 1 blocks" in said
    assert "shallow 40% (20% a block)" in said and "deep 30%," in said


def test_an_objective_that_cannot_reach_a_layer_is_not_counted_there():
    shares = {"embed": 0.4, "shallow": 0.6, "middle": 0.0, "deep": 0.0, "lm": 0.0}
    above = ("middle", "deep", "layer.2", "layer.3")
    deep = {**EVEN, "deep": 0.3, "shallow": 0.1}
    place = Place().run("rmu", shares=shares, untouched=above, retain=[9] * 3)
    said = place.run("ga", shares=deep).said()["In which layers?"]
    assert "in the deep third in 1 of the 1 objectives" in said
    assert "Not counted: rmu (layers 1), which cannot change the layers above" in said
    assert "layer 1 (60%), moves layers 1 only" in place.page()


def test_what_harms_too_little_to_be_split_is_named_with_its_change():
    """In silence, `4 of 4 objectives` looks as if there were no others."""
    place = Place().run("ga", retain=[2] * 3).run("npo", retain=[0.01] * 3)
    said = place.run("po", retain=[-0.03] * 3).said()["In which layers?"]
    assert "1 of the 1 objectives that are counted" in said
    assert "Not counted: npo (+0.03) and po (−0.09), where the attributed change of R_r" in said
    assert '<td class="text">too little: −0.09</td>' in place.page()
    unknown = Place().run("ga", retain=[2] * 3).tables()
    risk = unknown.risk.assign(predicted_change=np.nan)
    (group,) = groups(dataclasses.replace(unknown, risk=risk))
    said = dict(sentences(group))["In which layers?"]
    assert said == "Not counted: ga, whose change of R_r was not attributed."


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("side", ["retain", "unlearn"])
def test_a_step_that_could_not_be_measured_leaves_a_run_without_whole_changes(side, order):
    """Whichever of its seeds it is of."""
    lost = [[2, np.nan, np.nan], [2, 2, 2]][::order]
    place = Place().run("ga", retain=[2] * 3).run("npo", retain=[1] * 3).run("po", retain=[1] * 3)
    place.run("wga", seeds=(1, 2), **{"unlearn": [1] * 3, "retain": [2] * 3, side: lost})
    for run in ("ga", "npo", "po"):
        place.run(run, seeds=(2,))
    (group,) = groups(place.tables(base=["ga", "npo", "po", "wga"]))
    row = group.rows.set_index("objective").loc["wga"]
    assert np.isnan(row[f"change_{side}"]) and np.isnan(row["at_equal"])
    assert np.isnan(row["rise"]) == (side == "unlearn") and row["why"] == "not measured"
    assert np.isnan(row["attributed_retain"]) == (side == "retain")
    assert row["from_step"] == 10 and not np.isnan(group.rise)
    assert "wga" not in " ".join(said for _, said in sentences(group))


def test_nothing_is_said_of_a_rise_after_a_step_that_could_not_be_measured():
    place = Place().run("ga", retain=[0.01, np.nan, np.nan])
    (group,) = groups(place.tables())
    assert group.rows["from_step"].isna().all()
    _, (question, answer) = sentences(group)
    assert question == "No further answers" and "all of its changes of risk known" in answer


def test_the_tokens_are_those_of_an_objective_that_weighs_tokens():
    place = Place().run("rmu", retain=[9] * 3).run("npo", retain=[0.1] * 3, tokens=[("n", 0.9)])
    place.run("ga", retain=[2] * 3, seeds=(1, 2), tokens=[("x", 0.3), ("y", 0.4)])
    said = place.said()["Through which tokens?"]
    assert said.startswith("In ga (seed 1, the mean over the measured steps 0 to 30)")
    assert "“y”, “x”." in said
    assert "rmu, which harms most, has no weights of answer tokens" in said
    assert "Not measured" in Place().run("ga").said()["Through which tokens?"]


def test_pieces_of_the_templates_own_words_are_named_as_such():
    """“swer” at the head of a list looks like a finding about answers; it is in each of them."""
    place = Place().run("wga", tokens=[("swer", 0.5), (":", 0.2), (" his", 0.1), (" ", 0.1)])
    own = "“swer” and “:” can be pieces of “Answer:”, the template's own words"
    group = groups(dataclasses.replace(place.tables(), tag="Answer: "))[0]
    assert own in dict(sentences(group))["Through which tokens?"]
    page = overview.page("r", {("m", "s"): [group]}, {}, STATEMENTS, {}, {}, None)
    assert page.count("the template&#39;s own words") == 2, "in the answer, and below the table"
    assert "own words" not in place.said()["Through which tokens?"], "without such words"
    template = {"answer_tag": "Answer: ", "label_answer_tag": True}
    records = [{"settings": {"template": template}}]
    assert answer_tag(records) == "Answer: " and answer_tag([]) == ""
    template["label_answer_tag"] = False
    assert answer_tag(records) == "", "then they are not in the loss"


def test_the_answers_name_the_right_objectives(shares):
    place = Place().run("ga", [0.05, 0.1, 4.35], [3, 3, 3], shares=shares)
    place.run("npo", [0.01] * 3, [0.5, 0.5, 1.0], shares=shares)
    place.run("ga", [99.0] * 3, [99.0] * 3, regularizer="kl")
    place.run("boom", status="diverged")
    found = place.said()
    assert "ga has raised R_u most, by 9 nats" in found["How far do the runs go?"]
    assert "npo least, by 2 nats" in found["How far do the runs go?"]
    step = found["From which step on?"]
    assert "first at step 20 (ga)" in step and "never does in npo" in step
    assert "diverged" in place.page()


def test_one_objective_alone_is_compared_with_nothing():
    said = Place().run("ga").said()
    assert "least" not in " ".join(said.values())
    assert "ranks nothing" not in said["How far do the runs go?"]


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
    assert list(place.said()) == ["Which objective forgets?", "No further answers"]
    page = place.page()
    assert "No run without a regularizer has finished" in page
    assert next(iter(run.values())) in page and ">nan" not in page


def test_a_grid_of_regularized_runs_says_which_forgets():
    place = Place().run("ga", regularizer="kl", matched=(0.6, 0.4))
    place.run("npo", regularizer="gd", matched=(0.3, 0.2))
    said = place.said()
    assert "npo+gd recites least of D_u (20%); ga+kl most (40%)" in said["Which objective forgets?"]
    assert "No run without a regularizer has finished" in said["No further answers"]
    assert "npo+gd recites least of D_u" in place.page()


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


def test_the_reasons_of_a_statement_read_as_sentences():
    row = {**KEY, "statement": 1, "name": "n", "part": "", "by": "change", "verdict": "holds"}
    row |= {"part_verdict": "holds", "claim": "it is so", "quantity": "a mean", "wanted": "> 1"}
    row |= {"reason": "the interval 2 to 4 lies above 1", "value": 3.0, "low": 2.0, "high": 4.0}
    rows = [row | {"interval": "seeds"}]
    rows += [row | {"by": "geffect", "value": np.nan, "low": np.nan, "high": np.nan}]
    rows[1] |= {"reason": "there is no run", "interval": "none", "part_verdict": "cannot be told"}
    page = " ".join(Place().run("ga").page(statements=pd.DataFrame(rows)).split())
    assert (
        'by the change of risk</strong>: it is so. <span class="soft">Quantity: a mean. It is 3 '
        "(95% interval 2 to 4, over seeds); wanted: &gt; 1. Why: the interval 2 to 4 lies above 1."
    ) in page
    assert 'by G-effects</strong>: it is so. <span class="soft">Why: there is no run.' in page


def test_a_long_table_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 3)
    frame = pd.DataFrame({"name": list("abcde"), "value": [1.0, np.nan, np.inf, -3.0, 5.0]})
    page = tables.page("r", [("mine", "What it is for.", frame)], "a: 1")
    assert "The first 3 of 5 rows" in page
    assert page.count("<tr>") == 1 + 3
    assert "What it is for." in page and "a: 1" in page
    monkeypatch.setattr(tables, "ROWS", 5)
    page = tables.page("r", [("mine", "", frame)], "")
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
    assert "R_r has risen least in npo" in said
    assert "which seeds 1 and 2 do not tell apart from ga; most in po" in said
