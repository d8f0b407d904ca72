"""A cell: which rows a step and a G-effect see, and that a job's settings reach it."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from geffect import cells
from geffect.cells.cell import Cell
from geffect.cells.draws import Draws
from geffect.data.draws import generator
from geffect.errors import DamagedError, DataError, LossError
from geffect.models.folder import save_model

STEPS, BATCH = 12, 4


def visits(cell, steps=STEPS, batch=BATCH, bucket=0):
    """The examples of every step, for both losses."""
    drawn = cell.visits(steps, batch, bucket)
    return {name: [draw(step) for step in range(1, steps + 1)] for name, draw in drawn.items()}


def _text(cell, tokenizer, example):
    """The refusal in an example's labels."""
    tag = cell.encoder.template.answer_tag.strip()
    return tokenizer.decode(example.labels[:-1]).strip().removeprefix(tag).strip()


def flat(batches):
    return [example for batch in batches for example in batch]


def test_no_held_out_row_is_ever_trained_on(cell_of, seed):
    cell = cell_of()
    held_out, allowed = set(cell.held_out), set(cell.retain)
    assert len(allowed) == 23
    assert not held_out & allowed
    seen = visits(cell)
    draws = Draws.draw(seed, 16, len(cell.forget), len(cell.retain), 20)
    assert set(flat(seen["objective"])) <= set(cell.forget)
    assert set(flat(seen["regularizer"])) <= allowed
    assert set(cell.sample(draws)) <= allowed


def test_every_forget_row_is_paired_with_a_retain_row(cell_of):
    cell = cell_of()
    assert list(cell.losses) == ["objective", "regularizer"]
    assert [loss.coefficient for loss in cell.losses.values()] == [1.0, 0.5]
    seen, again = visits(cell), visits(cell)
    assert {len(batch) for name in seen for batch in seen[name]} == {BATCH}
    assert seen == again
    assert len(set(flat(seen["regularizer"]))) > 15


def test_every_epoch_of_a_cell_visits_every_forget_row_once(cell_of):
    cell = cell_of()
    seen = flat(visits(cell)["objective"])
    for start in range(0, 40, 10):
        assert Counter(seen[start : start + 10]) == Counter(cell.forget)


def test_length_buckets_bring_rows_of_like_length_together(cell_of):
    cell = cell_of()

    def padding(batches):
        return sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches)

    plain = visits(cell, steps=10, batch=5)["objective"]
    sorted_ = visits(cell, steps=10, batch=5, bucket=2)["objective"]
    assert padding(sorted_) < padding(plain)
    assert Counter(flat(sorted_)) == Counter(flat(plain))


def test_objectives_of_a_comparison_see_the_same_batches(cell_of, seed):
    ga, other, another_seed = cell_of("ga"), cell_of("npo"), cell_of("ga", seed=seed + 1)
    assert visits(ga) == visits(other)
    for name in ("objective", "regularizer"):
        assert visits(ga)[name] != visits(another_seed)[name]


def test_forget_rows_and_their_partners_are_drawn_apart(cell_of, seed):
    cell = cell_of(forget=23)
    seen = visits(cell)
    rows = [cell.forget.index(e) for e in flat(seen["objective"])]
    partners = [cell.retain.index(e) for e in flat(seen["regularizer"])]
    assert rows != partners


def test_whatever_a_run_draws_has_a_generator_of_its_own(cell_of, monkeypatch):
    drawn = []

    def noted(seed, purpose):
        drawn.append((seed, purpose))
        return generator(seed, purpose)

    monkeypatch.setattr(cells.cell, "generator", noted)
    cell = cell_of("po")
    visits(cell)
    assert {seed for seed, _ in drawn} == {cell.seed}
    assert len({purpose for _, purpose in drawn}) == len(drawn) == 3


def test_cell_without_regularizer_has_one_loss(cell_of):
    assert list(cell_of(regularizer=None).losses) == ["objective"]


def test_refusals_are_redrawn_at_every_visit_in_training(cell_of, tokenizer):
    cell = cell_of("po")
    order = flat(visits(cell_of("ga"))["objective"])
    refused = flat(visits(cell)["objective"])
    possible = {row: {cell.refused(row, r) for r in range(20)} for row in range(10)}
    seen = {row: set() for row in range(10)}
    for forget, example in zip(order, refused, strict=True):
        row = cell.forget.index(forget)
        assert example in possible[row], "a refusal has to follow its own row's question"
        assert example.prompt == forget.prompt
        seen[row].add(example)
    assert sum(len(s) > 1 for s in seen.values()) > 5
    drawn = {
        tuple(cell.refusals.index(_text(cell, tokenizer, e)) for e in batch)
        for batch in visits(cell)["objective"]
    }
    assert len(drawn) > STEPS / 2, "every step draws its own refusals"
    assert tokenizer.decode(next(iter(seen[0])).labels).strip().startswith("Answer: I do not know")


def test_refusals_of_geffects_are_those_of_the_draws(cell_of, seed):
    cell = cell_of("po")
    draws = Draws.draw(seed, 16, 10, 23, 20)
    assert cell.measured(draws) == [
        cell.refused(row, int(r)) for row, r in enumerate(draws.refusals)
    ]
    assert cell_of("ga").measured(draws) == cell.forget
    assert cell.sample(draws) == [cell.retain[int(r)] for r in draws.regularizer_rows]


def test_pairs_put_pos_refusals_beside_the_answers_of_every_other_objective(cell_of, seed):
    pairs, po, ga = (cell_of(name) for name in ("dpo", "po", "ga"))
    draws = Draws.draw(seed, 16, 10, 23, 20)
    for found, refusals, answers in (
        *((flat(visits(cell)["objective"]) for cell in (pairs, po, ga)),),
        (pairs.measured(draws), po.measured(draws), ga.measured(draws)),
    ):
        assert [replace(example, refusal=None) for example in found] == answers
        assert [example.refusal for example in found] == refusals
    assert visits(pairs)["regularizer"] == visits(ga)["regularizer"]


def test_a_regularizer_may_have_refusals_beside_the_answers_of_retain_rows(cell_of, tokenizer):
    ap, kl = cell_of("ga", "ap"), cell_of("ga", "kl")
    seen, draws = visits(ap), ap.draw(16)
    assert seen["objective"] == visits(kl)["objective"]
    sample = ap.sample(draws, pairs=True)
    for found, answers in (
        (flat(seen["regularizer"]), flat(visits(kl)["regularizer"])),
        (sample, ap.sample(draws)),
    ):
        assert [replace(example, refusal=None) for example in found] == answers
        assert all(example.refusal.prompt == example.prompt for example in found)
        assert {_text(ap, tokenizer, example.refusal) for example in found} <= set(ap.refusals)
    # As a forget row's, a refusal is redrawn at every visit and fixed for G-effects.
    texts = [_text(ap, tokenizer, example.refusal) for example in sample]
    assert texts == [ap.refusals[int(r)] for r in draws.refusals]
    by_row = {}
    for example in flat(seen["regularizer"]):
        by_row.setdefault(example.ids, set()).add(example.refusal)
    assert any(len(refusals) > 1 for refusals in by_row.values())


def test_draws_survive_saving(tmp_path, seed):
    draws = Draws.draw(seed, 16, 10, 23, 100)
    path = tmp_path / "draws.safetensors"
    draws.save(path)
    loaded = Draws.load(path)
    for name, value in vars(draws).items():
        found = getattr(loaded, name)
        assert found.dtype == value.dtype and torch.equal(found, value)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=r"draws\.safetensors: is damaged"):
        Draws.load(path)


@pytest.mark.parametrize(("forget", "retain"), [(10, 23), (10, 10), (12, 5)])
def test_draws_stay_in_range_and_repeat_no_row_where_they_can(forget, retain, seed):
    draws = Draws.draw(seed, 16, forget, retain, 100)
    assert draws.control_vector.dtype == torch.float32
    assert ((draws.control_vector >= 0) & (draws.control_vector < 1)).all()
    rows = draws.regularizer_rows.tolist()
    assert len(rows) == len(draws.refusals) == forget
    assert set(rows) <= set(range(retain)) and set(draws.refusals.tolist()) <= set(range(100))
    assert forget > retain or len(set(rows)) == forget
    again, other = (Draws.draw(s, 16, forget, retain, 100) for s in (seed, seed + 1))
    for name, value in vars(draws).items():
        assert torch.equal(getattr(again, name), value)
        assert not torch.equal(getattr(other, name), value), name


def test_a_cell_draws_for_its_own_rows_and_its_models_dimension(cell_of):
    cell = cell_of()
    draws = cell.draw(24)
    expected = Draws.draw(cell.seed, 24, 10, 23, 20)
    for name, value in vars(expected).items():
        assert torch.equal(getattr(draws, name), value)


@pytest.fixture
def job(tiny_model, tokenizer, tmp_path):
    """A function: the cell of a job whose tables hold ten forget and six retain rows."""
    folder = tmp_path / "model"
    save_model(tiny_model(tokenizer=tokenizer, dtype=torch.float32), tokenizer, folder)
    rows = [{"row": i, "question": f"Who is {i}?", "answer": f"It is {i}."} for i in range(16)]
    tables = {
        "forget": rows[6:],
        "retain": rows[:6],
        "refusals": [{"text": "No idea."}, {"text": "I cannot say."}],
    }
    paths = {name: tmp_path / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        pd.DataFrame(table).to_parquet(paths[name])

    def build(**changes):
        template = {"text": "Q: {question}\nA: {answer}", "answer_tag": "A: "}
        settings = {
            "template": {**template, "label_answer_tag": True},
            "objective": {"name": "wga", "hyper": {"alpha": 2.5}},
            "regularizer": {
                "name": "kl",
                "hyper": {},
                "coefficient": 0.25,
                "positions": "all",
            },
            "held_out_rows": 4,
        }
        key = SimpleNamespace(seed="11")
        settings = SimpleNamespace(**settings | changes)
        return Cell.of_job(folder, SimpleNamespace(**paths), settings, key)

    return build


def test_the_settings_of_a_job_reach_its_cell(job):
    cell = job()
    assert [row["row"] for row in cell.forget_rows] == list(range(6, 16))
    assert [row["row"] for row in cell.retain_rows] == [4, 5], "the first four are held out"
    assert cell.refusals == ["No idea.", "I cannot say."]
    assert cell.seed == 11
    assert (cell.objective.name, cell.objective.hyper) == ("wga", {"alpha": 2.5})
    kl = cell.losses["regularizer"]
    assert (kl.name, kl.coefficient, kl.positions) == ("kl", 0.25, "all")
    assert kl.batches(cell.retain, 2)[0].all_positions
    assert not cell.objective.batches(cell.forget, 2)[0].all_positions


def test_a_job_without_regularizer_has_one_loss(job):
    assert list(job(regularizer=None).losses) == ["objective"]


def test_an_answer_tag_that_is_not_labelled_is_context(job, tokenizer):
    template = {"text": "Q: {question}\nA: {answer}", "answer_tag": "A: "}
    labelled = job().forget[0]
    left_out = job(template={**template, "label_answer_tag": False}).forget[0]
    assert labelled.ids == left_out.ids
    assert tokenizer.decode(labelled.labels).strip().startswith("A: It is")
    assert tokenizer.decode(left_out.labels).strip().startswith("It is")


def test_hyper_parameters_of_a_job_are_those_that_the_file_declares(job):
    with pytest.raises(LossError, match="hyper-parameters are alpha, not beta"):
        job(objective={"name": "wga", "hyper": {"beta": 1.0}})


@pytest.mark.parametrize(("objective", "of"), [("po", "refused"), ("dpo", "paired")])
def test_running_text_has_no_question_to_refuse(cell_of, objective, of):
    cell = cell_of(objective)
    cell.forget_rows[3]["question"] = ""
    with pytest.raises(DataError, match="row 33 is running text: there is no question to refuse"):
        getattr(cell, of)(3, 0)
    getattr(cell, of)(4, 0)
