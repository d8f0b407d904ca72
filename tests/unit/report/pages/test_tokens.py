"""The token page: what it holds, how large it gets, and what it says where something lacks."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from geffect.report.pages import tokens
from geffect.report.pages.tokens import CellTables, halves, keep, page, pieces

STEPS = [0, 10, 20]
SMALL = tokens.FRAME / tokens.MEGABYTE


def decode(ids):
    """A token is a byte."""
    return bytes(ids).decode("utf-8", "replace")


def answers(rng, samples):
    letters = ["a", "b", "é", "漢", " ", "<", "🙂", "&"]
    return [list("".join(rng.choice(letters, 12)).encode()) for _ in range(samples)]


def token_table(rng, ids, steps=STEPS, weight=True):
    rows = [
        {"step": step, "text": "answer", "sample": sample, "token": n, "id": token}
        for step in steps
        for sample, of in enumerate(ids)
        for n, token in enumerate(of)
    ]
    table = pd.DataFrame(rows)
    for name in ("logp", "e_unlearn", "e_retain", *(["weight"] if weight else [])):
        table[name] = rng.normal(size=len(table))
    table["logp_ref"] = np.tile(rng.normal(size=len(table) // len(steps)), len(steps))
    return table


def instance_table(table):
    sums = table.groupby(["step", "sample"])[["e_unlearn", "e_retain"]].sum().reset_index()
    return sums.assign(component="total", weight=1.0)


def cell(table, name="ga", diverged=False, instances=None):
    key = {"model": "m", "split": "s", "objective": name, "regularizer": "none", "seed": 1}
    given = [None if t is None else lambda t=t: t for t in (table, instances)]
    return CellTables(key, diverged, *given)


def questions(number, text="What is it?"):
    table = pd.DataFrame({"row": range(360, 360 + number), "question": [text] * number})
    return table.assign(answer="?")


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text)


def unpacked(block):
    flat = np.frombuffer(base64.b64decode(block["data"]), "<f2").astype(float)
    return flat.reshape(len(block["scale"]), -1) * np.array(block["scale"])[:, None]


def test_the_texts_of_tokens_add_up_to_the_text(rng):
    for ids in answers(rng, 50):
        texts = pieces(ids, decode)
        assert len(texts) == len(ids)
        assert "".join(texts) == decode(ids)
        assert not any("\N{REPLACEMENT CHARACTER}" in text for text in texts)


def test_numbers_keep_three_digits(rng):
    values = rng.normal(size=(4, 100)) * 10.0 ** rng.uniform(-9, 9, (4, 1))
    values[1, :2] = np.nan, -np.inf
    values[2] = 0
    found = unpacked(halves(values))
    finite = np.isfinite(values)
    size = np.abs(np.where(finite, values, 0)).max(axis=1, keepdims=True)
    error = np.abs(found - values)[finite]
    assert (error <= (1e-3 * np.abs(values) + 1e-7 * size)[finite]).all()
    assert np.isnan(found[1, 0]) and found[1, 1] == -np.inf


def test_the_page_holds_what_the_tables_hold(rng):
    ids = answers(rng, 6)
    table = token_table(rng, ids)
    refusals = token_table(rng, answers(rng, 6)).assign(text="refusal")
    both = pd.concat([refusals, table]).sample(frac=1, random_state=3)
    html = page("m, s", questions(6), [cell(both)], decode, 1, 0)
    data = data_of(html)
    (entry,) = data["cells"]
    assert entry["steps"] == STEPS
    ordered = table.sort_values(["step", "sample", "token"])
    for name in ("e_retain", "e_unlearn", "logp", "weight"):
        expected = ordered[name].to_numpy().reshape(len(STEPS), -1)
        np.testing.assert_allclose(unpacked(entry["values"][name]), expected, rtol=1e-2, atol=1e-3)
    assert [s["tokens"] for s in data["samples"]] == [pieces(i, decode) for i in ids]
    assert [s["row"] for s in data["samples"]] == list(range(360, 366))
    sums = table.groupby(["step", "sample"])["e_retain"].sum().unstack("sample")
    np.testing.assert_allclose(entry["samples"]["e_retain"], sums, rtol=1e-3)
    assert "All 6 samples" in html


def test_sums_of_samples_come_from_the_instances_where_there_are_any(rng):
    table = token_table(rng, answers(rng, 3), weight=False)
    instances = instance_table(table).assign(e_retain=-7.0)
    data = data_of(page("m, s", questions(3), [cell(table, instances=instances)], decode, 1, 0))
    assert np.unique(data["cells"][0]["samples"]["e_retain"]) == [-7.0]
    assert "weight" in data["cells"][0]["samples"]
    assert "weight" not in data["cells"][0]["values"]


def test_texts_cannot_leave_their_place(rng):
    evil = "</script><img src=x onerror=alert(1)>"
    table = token_table(rng, [list(evil.encode())])
    named = cell(table, name=evil)
    html = page(evil, questions(1, evil), [named, cell(None, name=evil)], decode, 1, 0)
    assert "<img" not in html
    assert html.count("</script>") == 2
    assert data_of(html)["samples"][0]["question"] == evil


@pytest.mark.parametrize("extra_mb", [0.03, 0.1, 0.3])
def test_a_page_stays_under_its_bound_and_says_what_it_left_out(extra_mb, rng):
    table = token_table(rng, answers(rng, 120))
    limit = SMALL + extra_mb
    table = table.assign(entropy=1.0, logp_runner_up=-2.0)
    table["runner_up"] = rng.integers(0, 128, len(table))
    cells = [cell(table, name=name) for name in ("ga", "npo", "wga")]
    html = page("m, s", questions(120), cells, decode, limit, 5)
    assert len(html.encode()) <= limit * tokens.MEGABYTE
    held = len(data_of(html)["samples"])
    assert 1 < held < 120
    assert f"This page holds {held} of 120 samples" in " ".join(html.split())
    assert "drawn at random (seed 5)" in " ".join(html.split())
    # and it uses its room
    assert len(html.encode()) > 0.5 * limit * tokens.MEGABYTE


def test_the_worst_are_kept_first(rng):
    number = 40
    damage = pd.Series(rng.permutation(number).astype(float))
    lengths = dict.fromkeys(range(number), 10)
    size = tokens.SAMPLE + 10 * (tokens.TOKEN + 2 * tokens.NUMBER)
    kept = keep(lengths, damage, 2, 8.5 * size, 1)
    order = damage.sort_values().index.tolist()
    assert len(kept.samples) == 8 == sum(kept.chosen.values())
    assert set(order[:4]) <= set(kept.samples)
    assert set(order[-2:]) <= set(kept.samples)
    assert kept.chosen == {"worst": 4, "best": 2, "random": 2}
    assert keep(lengths, damage, 2, 8.5 * size, 1) == kept
    others = {tuple(keep(lengths, damage, 2, 8.5 * size, seed).samples) for seed in range(6)}
    assert len(others) > 1
    assert keep(lengths, damage, 2, 1e9, 1) == tokens.Kept(list(range(number)), number, {})
    # One sample is always there, however small the page should be.
    assert len(keep(lengths, damage, 2, 1, 1).samples) == 1


def test_all_samples_can_be_chosen_one_by_one(rng):
    lengths = {0: 10, 1: 10, 2: 1000}
    damage = pd.Series([0.0, 1.0, 2.0])
    for limit in range(500, 40_000, 500):
        assert 1 <= len(keep(lengths, damage, 2, limit, 1).samples) <= 3


def test_tokens_of_the_template_are_told_from_the_answer():
    texts = ["An", "swer", ":", " The", " end", ".", "<end>"]
    assert tokens.of_answer(texts, "The end.") == [3, 6]
    assert tokens.of_answer(texts, " The end. ") == [3, 6]
    assert tokens.of_answer(texts[3:], "The end.") == [0, 3]
    assert tokens.of_answer(texts, "Another end.") is None
    assert tokens.of_answer(["Answer", ":", " Answer", "<end>"], "Answer") == [2, 3]


def test_the_page_holds_entropies_and_runners_up(rng):
    table = token_table(rng, answers(rng, 4))
    table["entropy"] = rng.uniform(0, 3, len(table))
    table["logp_runner_up"] = -rng.uniform(0, 9, len(table))
    table["runner_up"] = rng.choice(list(b"abcxyz"), len(table))
    data = data_of(page("m, s", questions(4), [cell(table)], decode, 1, 0))
    (entry,) = data["cells"]
    ordered = table.sort_values(["step", "sample", "token"])
    places = np.frombuffer(base64.b64decode(entry["runners_up"]), "<u2")
    assert [data["others"][n] for n in places] == [chr(n) for n in ordered["runner_up"]]
    for name in ("entropy", "logp_runner_up"):
        expected = ordered[name].to_numpy().reshape(len(STEPS), -1)
        np.testing.assert_allclose(unpacked(entry["values"][name]), expected, rtol=1e-2)
    old = data_of(
        page("m, s", questions(4), [cell(token_table(rng, answers(rng, 4)))], decode, 1, 0)
    )
    assert old["cells"][0]["runners_up"] is None and old["others"] == []


def test_a_run_without_tokens_says_so(rng):
    html = page("m, s", questions(3), [cell(None)], None, 1, 0)
    assert "measured without tokens" in " ".join(html.split())
    assert "ga + none, seed 1" in html
    assert "<form" not in html
    table = token_table(rng, answers(rng, 3))
    html = page("m, s", questions(3), [cell(None), cell(table, name="npo")], decode, 1, 0)
    assert "not shown here: ga + none, seed 1" in html
    assert "<form" in html and "measured without tokens" not in html


def test_a_diverged_run_is_shown_as_far_as_it_went(rng):
    ids = answers(rng, 3)
    short = token_table(rng, ids, steps=STEPS[:1])
    short.loc[0, "e_retain"] = np.nan
    full = cell(token_table(rng, ids), name="npo")
    html = page("m, s", questions(3), [cell(short, diverged=True), full], decode, 1, 0)
    assert "Diverged" in html
    data = data_of(html)
    assert [c["steps"] for c in data["cells"]] == [STEPS[:1], STEPS]
    assert [c["diverged"] for c in data["cells"]] == [True, False]
    assert np.isnan(unpacked(data["cells"][0]["values"]["e_retain"])[0, 0])


def test_the_most_damaging_texts_are_those_of_the_greatest_share(rng):
    rows = [
        {"step": step, "text": "answer", "sample": 0, "token": n, "id": ord(letter)}
        | {"e_retain": e * scale, "weight": weight}
        for step, scale in ((0, 1.0), (10, 1e6))
        for n, (letter, e, weight) in enumerate(
            [("a", -1, 1), ("b", -3, 1), ("a", -1, 1), ("c", 9, 1), ("d", -99, 0)]
        )
    ]
    table = pd.DataFrame(rows)
    found = tokens.most_damaging([cell(table), cell(None, name="npo")], decode)
    assert found["text"].tolist() == ["b", "a"], "neither help nor what has no weight"
    assert found["share"].tolist() == pytest.approx([0.6, 0.4]), "whatever the scale of a step"
    assert found["times"].tolist() == [1, 2]
    assert set(found["objective"]) == {"ga"}
    assert set(found["first_step"]) == {0} and set(found["last_step"]) == {10}
    plain = tokens.most_damaging([cell(table.drop(columns="weight"))], decode)
    assert plain.empty, "without weights, e_retain is not what the objective does"
    assert tokens.most_damaging([cell(None)], decode).empty
