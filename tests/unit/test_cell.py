"""A cell's terms: which rows a step and a G-effect see."""

import dataclasses
from collections import Counter

import pytest
import torch
from settings import PAPER

from geffect.cell import Draws

CELL = dataclasses.replace(PAPER, batch_size=4)


def test_no_held_out_row_is_ever_trained_on(cell_of, seed):
    cell = cell_of()
    held_out, allowed = (
        set(cell.encoder.rows(cell.held_out_rows, "held-out rows")),
        set(cell.retain),
    )
    assert len(allowed) == 23
    assert not held_out & allowed
    objective, regularizer = cell.training_terms(CELL)
    draws = Draws.draw(seed, 16, len(cell.forget), len(cell.retain), 20)
    for step in range(1, CELL.steps(10) + 1):
        assert set(objective.select(step)) <= set(cell.forget)
        assert set(regularizer.select(step)) <= allowed
    assert set(cell.sample(draws)) <= allowed


def test_every_forget_row_is_paired_with_a_retain_row(cell_of):
    objective, regularizer = cell_of().training_terms(CELL)
    assert (objective.name, regularizer.name) == ("objective", "regularizer")
    assert (objective.coefficient, regularizer.coefficient) == (1.0, 0.5)
    partners = []
    for step in range(1, CELL.steps(10) + 1):
        assert len(objective.select(step)) == len(regularizer.select(step)) == CELL.batch_size
        assert regularizer.select(step) == regularizer.select(step)
        partners += regularizer.select(step)
    assert len(set(partners)) > 1


def test_every_epoch_of_a_cell_visits_every_forget_row_once(cell_of):
    cell = cell_of()
    objective = cell.training_terms(CELL)[0]
    visits = [e for step in range(1, CELL.steps(10) + 1) for e in objective.select(step)]
    for start in range(0, 40, 10):
        assert Counter(visits[start : start + 10]) == Counter(cell.forget)


def test_objectives_of_a_comparison_see_the_same_batches(cell_of, seed):
    ga, other = cell_of("ga"), cell_of("npo")
    another_seed = cell_of("ga", seed=seed + 1)
    steps = range(1, CELL.steps(10) + 1)

    def batches(cell):
        return [[term.select(step) for term in cell.training_terms(CELL)] for step in steps]

    assert batches(ga) == batches(other)
    assert batches(ga) != batches(another_seed)


def test_cell_without_regularizer_has_one_term(cell_of, seed):
    cell = cell_of(regularizer=None)
    draws = Draws.draw(seed, 16, 10, 23, 20)
    assert [term.name for term in cell.training_terms(CELL)] == ["objective"]
    assert list(cell.effect_terms(draws)) == ["objective"]


def test_refusals_are_redrawn_at_every_visit_in_training(cell_of, tokenizer):
    cell = cell_of("po")
    order = cell_of("ga").training_terms(CELL)[0]
    refused = cell.training_terms(CELL)[0]
    possible = {row: {cell.refused(row, r) for r in range(20)} for row in range(10)}
    seen = {row: set() for row in range(10)}
    for step in range(1, CELL.steps(10) + 1):
        assert refused.select(step) == refused.select(step)
        for forget, example in zip(order.select(step), refused.select(step), strict=True):
            row = cell.forget.index(forget)
            assert example in possible[row], "a refusal has to follow its own row's question"
            assert example.prompt == forget.prompt
            seen[row].add(example)
    assert sum(len(s) > 1 for s in seen.values()) > 5
    assert tokenizer.decode(next(iter(seen[0])).labels).strip().startswith("Answer: I do not know")


def test_refusals_of_geffects_are_those_of_the_draws(cell_of, seed):
    cell = cell_of("po")
    draws = Draws.draw(seed, 16, 10, 23, 20)
    terms = cell.effect_terms(draws)
    expected = [cell.refused(row, int(r)) for row, r in enumerate(draws.refusals)]
    for step in (0, 1, 7):
        assert terms["objective"].select(step) == expected
        assert terms["regularizer"].select(step) == cell.sample(draws)
    assert cell_of("ga").effect_terms(draws)["objective"].select(0) == cell.forget


def test_draws_survive_saving(tmp_path, seed):
    draws = Draws.draw(seed, 16, 10, 23, 100)
    draws.save(tmp_path / "draws.safetensors")
    loaded = Draws.load(tmp_path / "draws.safetensors")
    for name, value in vars(draws).items():
        found = getattr(loaded, name)
        assert found.dtype == value.dtype and torch.equal(found, value)


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
    assert torch.equal(again.control_vector, draws.control_vector)
    assert not torch.equal(other.control_vector, draws.control_vector)
