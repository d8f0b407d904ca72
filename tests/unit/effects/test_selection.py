"""Which tokens a selection leaves out, against one backward pass per token; and what it leaves."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from naive import entropy, numpy_of, products
from settings import PAPER

from geffect.data.batches import IGNORED
from geffect.effects.gradients import gradient
from geffect.effects.measurement import Measurement
from geffect.effects.selection import SelectionSettings, TokenSelection
from geffect.errors import NotFiniteError
from geffect.losses.loss import RISK
from geffect.losses.view import next_tokens
from geffect.models.components import component_map
from geffect.training.loop import train
from geffect.training.resume import Resume

HARM = SelectionSettings(drop=0.3, by="e_retain", every=1, rows=6)
WAYS = [dataclasses.replace(HARM, by=by) for by in ("e_retain", "logp", "random", "entropy")]
ALMOST_ALL = dataclasses.replace(HARM, drop=0.98, by="random")
SMALL = dataclasses.replace(PAPER, epochs=4, batch_size=4, micro_batch_size=2, learning_rate=1e-3)


def test_the_share_is_the_decimal_that_was_written():
    for hundredths in range(101):
        settings = dataclasses.replace(HARM, drop=hundredths / 100)
        assert settings.dropped(100) == hundredths
        assert settings.dropped(50) == hundredths // 2


@pytest.fixture
def case(cell_of, tiny_model, moved, tokenizer):
    """A function: a selection for an objective's cell, its loss and a model that has moved."""

    def build(objective="ga", settings=HARM, size=3):
        cell = cell_of(objective, None)
        original = tiny_model("phi", dtype=torch.float64, tokenizer=tokenizer)
        vector = cell.draw(original.config.hidden_size).control_vector
        loss = cell.objective.bind(original, vector.double())
        return TokenSelection(cell, loss, settings, size), loss, moved(original), cell

    return build


def batches_of(loss, cell, size):
    return loss.batches(cell.forget, size)


def labels_left(before, after):
    """For every label token of the batches before, in order: whether it has its label after."""
    return torch.cat(
        [
            (next_tokens(b) != IGNORED)[next_tokens(a) != IGNORED]
            for a, b in zip(before, after, strict=True)
        ]
    )


@pytest.mark.parametrize("objective", ["ga", "wga", "npo", "tnpo", "po", "rmu", "ihl"])
def test_the_tokens_left_out_are_those_whose_own_gradient_raises_the_retain_risk_most(
    objective, case
):
    select, loss, model, cell = case(objective)
    batches = batches_of(loss, cell, 4)
    after = select(model, batches, 1)
    retain = numpy_of(gradient(model, RISK, _examples(select, cell), 2)[1])
    names, parameters = zip(*model.named_parameters(), strict=True)
    components, effects = component_map(model), []
    for batch in batches:
        view = loss.view(model, batch)
        if loss.reduction == "token":
            values = loss.values(view, **loss.hyper)[view.mask]
        else:
            values = (loss.weight(view)[:, None] * view.logp)[view.mask]
        for value in values:
            own = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            own = {
                name: np.zeros(tuple(p.shape)) if g is None else g.numpy()
                for name, p, g in zip(names, parameters, own, strict=True)
            }
            effects.append(products(retain, own, components)["total"][0])
    left = labels_left(batches, after).numpy()
    assert (~left).sum() == 3 * len(left) // 10
    assert max(np.array(effects)[~left]) < min(np.array(effects)[left])


def _examples(select, cell):
    """The retain rows that a selection drew, found again among the cell's training rows."""
    ids = {tuple(example.ids): example for example in cell.retain}
    rows = []
    for batch in select.retain:
        for row in batch.input_ids.tolist():
            rows.append(next(e for i, e in ids.items() if tuple(row[: len(i)]) == i))
    return rows


def test_the_retain_rows_are_training_rows_drawn_once_from_the_cells_seed(case, cell_of):
    select, _, _, cell = case()
    rows = _examples(select, cell)
    assert len({e.ids for e in rows}) == HARM.rows
    held_out = {example.ids for example in cell.held_out}
    assert not held_out & {example.ids for example in rows}
    again = TokenSelection(cell_of("ga", None), cell.objective, HARM, 5)
    assert {e.ids for e in _examples(again, cell)} == {e.ids for e in rows}
    other = TokenSelection(cell_of("ga", None, seed=cell.seed + 1), cell.objective, HARM, 5)
    assert {e.ids for e in _examples(other, cell)} != {e.ids for e in rows}


@pytest.mark.parametrize("settings", WAYS, ids=lambda s: s.by)
def test_how_a_batch_is_split_changes_nothing(settings, case):
    select, loss, model, cell = case("npo", settings)
    lefts = []
    for size in (1, 3, len(cell.forget)):
        batches = batches_of(loss, cell, size)
        lefts.append(labels_left(batches, select(model, batches, 5)))
    assert torch.equal(lefts[0], lefts[1]) and torch.equal(lefts[0], lefts[2])
    other = select(model, batches, 6)
    same = torch.equal(labels_left(batches, other), lefts[2])
    assert same == (settings.by != "random"), "a random choice is drawn anew at every step"


def test_the_least_probable_tokens_are_left_out_by_logp(case):
    select, loss, model, cell = case("ga", WAYS[1])
    batches = batches_of(loss, cell, 4)
    left = labels_left(batches, select(model, batches, 1))
    with torch.no_grad():
        views = [RISK.view(model, batch) for batch in batches]
    logp = torch.cat([view.logp[view.mask] for view in views])
    assert logp[~left].max() < logp[left].min()


def test_the_most_uncertain_tokens_are_left_out_by_entropy(case, naive_view):
    select, loss, model, cell = case("ga", WAYS[3])
    batches = batches_of(loss, cell, 4)
    left = labels_left(batches, select(model, batches, 1))
    entropies = []
    for example in cell.forget:
        view = naive_view(model, example)
        entropies += [entropy(p) for p in view.logits[view.mask].softmax(dim=-1).tolist()]
    entropies = np.array(entropies)
    assert (~left).sum() == 3 * len(entropies) // 10
    assert entropies[~left].min() > entropies[left].max()


def test_the_retain_risk_is_looked_at_anew_every_few_updates(case, moved):
    select, loss, model, cell = case("ga", dataclasses.replace(HARM, every=2))
    batches, far = batches_of(loss, cell, 4), moved(model, 0.5)
    seen = []
    for step, weights in ((1, model), (2, far), (3, far)):
        select(weights, batches, step)
        seen.append(select._directions)
    assert seen[0] is seen[1] and seen[1] is not seen[2]
    fresh = TokenSelection(cell, loss, HARM, 3)
    expected = labels_left(batches, fresh(far, batches, 3))
    assert torch.equal(labels_left(batches, select(far, batches, 3)), expected)
    assert torch.equal(labels_left(batches, select.at(far, batches, 2)), expected)


@pytest.mark.parametrize("settings", WAYS, ids=lambda s: s.by)
def test_neither_model_nor_random_numbers_are_touched(settings, case):
    select, loss, model, cell = case("tnpo", settings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batches = batches_of(loss, cell, 4)
    state = torch.get_rng_state()
    select(model, batches, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


def run(built, resume=None):
    """A run of ten updates: its outcome and the model."""
    _, loss, start, cell = built
    model, settings = copy.deepcopy(start), built[0].settings
    select = TokenSelection(cell, loss, settings, 3)
    visits = {"objective": lambda step: cell.forget[(step % 3) :][:4]}
    losses = {"objective": loss}
    return train(model, losses, visits, SMALL, 10, "x", resume=resume, select=select), model


class Killed(Exception):
    pass


@pytest.mark.parametrize("settings", WAYS, ids=lambda s: s.by)
def test_a_resumed_run_leaves_out_the_same_tokens(settings, case, tmp_path, monkeypatch):
    built = case("wga", dataclasses.replace(settings, every=3))
    whole, expected = run(built)
    saved = []

    def killed_after_the_second_state(self, state):
        save(self, state)
        saved.append(state.step)
        if len(saved) == 2:
            raise Killed

    save = Resume.save
    monkeypatch.setattr(Resume, "save", killed_after_the_second_state)
    resume = Resume(tmp_path / "resume", ["same"], 3)
    with pytest.raises(Killed):
        run(built, resume)
    monkeypatch.setattr(Resume, "save", save)
    again, model = run(built, Resume(tmp_path / "resume", ["same"], 3))
    assert again.rows == whole.rows
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected.get_parameter(name)), name


def test_training_descends_what_is_left_of_a_batch(case):
    built = select, loss, model, cell = case("wga")
    batches = select(model, loss.batches(cell.forget[1:5], 2), 1)
    with torch.no_grad():
        total = sum(loss.total(loss.view(model, batch)).item() for batch in batches)
    count = sum(batch.label_count for batch in batches)
    outcome, _ = run(built)
    assert outcome.rows[0]["loss"] == pytest.approx(total / count, rel=1e-12)


def without_labels(batch, row):
    """A batch of which a row has lost all labels to a selection."""
    labels = batch.labels.clone()
    labels[row] = IGNORED
    return dataclasses.replace(batch, labels=labels)


@pytest.mark.parametrize("objective", ["simnpo", "npo", "wga", "ga", "flat"])
def test_a_row_that_keeps_no_label_has_no_part_in_the_gradient(objective, case):
    _, loss, model, cell = case(objective)

    def gradient_of(batch):
        model.zero_grad()
        seen = loss.view(model, batch)
        total = loss.total(seen)
        total.backward()
        assert total.isfinite() and loss.total_weight(seen).isfinite()
        return {name: p.grad.clone() for name, p in model.named_parameters()}

    examples = cell.measured(cell.draw(16))[:3]
    (batch,) = loss.batches(examples, 3)
    found = gradient_of(without_labels(batch, 0))
    if objective == "flat":  # its refusals stay
        assert all(g.isfinite().all() for g in found.values())
        return
    (rest,) = loss.batches(examples[1:], 3)
    expected = gradient_of(rest)
    scale = max(g.abs().max() for g in expected.values())
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=1e-9, atol=1e-9 * float(scale))


def test_a_micro_batch_that_keeps_no_label_is_left_out(case):
    _, loss, model, cell = case("ga")
    settings = dataclasses.replace(SMALL, epochs=1, micro_batch_size=1, reduction="microbatch")

    def select(model, batches, step):
        return [without_labels(batches[0], 0), *batches[1:]]

    rows = cell.forget[:4]
    outcome = train(
        copy.deepcopy(model), {"objective": loss}, {"objective": lambda step: rows}, settings, 4,
        "x", select=select,
    )  # fmt: skip
    with torch.no_grad():
        views = [loss.view(model, batch) for batch in loss.batches(rows[1:], 1)]
        means = [float(loss.total(view) / view.mask.sum()) for view in views]
    assert outcome.rows[0]["loss"] == pytest.approx(np.mean(means), rel=1e-9)


def test_a_run_whose_retain_risk_is_not_finite_has_diverged(case):
    built = case("wga")
    with torch.no_grad():
        built[2].get_output_embeddings().weight.fill_(math.nan)
    outcome, _ = run(built)
    assert outcome.diverged[0] == 1 and "token selection" in outcome.diverged[1]
    assert len(outcome.rows) == 1 and math.isnan(outcome.rows[0]["loss"])
    assert outcome.frame()["diverged"].tolist() == [True]


@pytest.mark.parametrize("objective", ["npo", "rmu"])
def test_the_geffect_of_a_wrapped_objective_is_that_of_what_is_left_of_the_forget_set(
    objective, cell_of, tiny_model, moved, tokenizer
):
    cell = cell_of(objective, None)
    original = tiny_model("phi", dtype=torch.float64, tokenizer=tokenizer)
    model, draws = moved(original), cell.draw(original.config.hidden_size)
    found = Measurement(cell, draws, {}, cell.held_out, 4, selection=HARM)
    found.begin(original, original)
    found.at(original, 0)
    found.at(model, 7)
    geffect = found.tables()["geffect"].query("term == 'objective'")

    loss = cell.objective.bind(original, draws.control_vector)
    batches = TokenSelection(cell, loss, HARM, 2).at(model, loss.batches(found_order(cell), 4), 7)
    model.zero_grad(set_to_none=True)
    total = sum(loss.total(loss.view(model, batch)) for batch in batches)
    (total / sum(loss.count(batch) for batch in batches)).backward()
    own = {
        name: np.zeros(tuple(p.shape)) if p.grad is None else p.grad.numpy().copy()
        for name, p in model.named_parameters()
    }
    model.zero_grad(set_to_none=True)
    for dataset, examples in (("unlearn", cell.forget), ("retain", cell.held_out)):
        risk = numpy_of(gradient(model, RISK, examples, 2)[1])
        expected, scale = products(risk, own, component_map(model))["total"]
        of_total = geffect["component"].eq("total") & geffect["dataset"].eq(dataset)
        row = geffect[of_total & geffect["step"].eq(7)]
        assert abs(row["geffect"].item() - expected) <= 1e-10 * scale
    plain = Measurement(cell, draws, {}, cell.held_out, 4)
    plain.begin(original, original)
    plain.at(model, 7)
    assert not np.allclose(total_at(plain), total_at(found))


@pytest.mark.parametrize("settings", [*WAYS[:2], ALMOST_ALL], ids=lambda s: f"{s.by} {s.drop}")
@pytest.mark.parametrize("objective", ["ga", "tnpo", "npo", "simnpo"])
def test_weights_are_those_of_what_is_left_and_add_up_to_the_geffect(
    objective, settings, cell_of, tiny_model, moved, tokenizer
):
    cell = cell_of(objective, None)
    original = tiny_model("phi", dtype=torch.float64, tokenizer=tokenizer)
    draws = cell.draw(original.config.hidden_size)
    found = Measurement(cell, draws, {}, cell.held_out, 4, selection=settings)
    found.begin(original, original)
    found.at(moved(original), 7)
    tables = found.tables()
    tokens, instances = tables["tokens"], tables["instances"]
    gone = tokens["weight"].eq(0)
    assert gone.sum() == settings.dropped(len(tokens))
    pooled = len(cell.forget) if cell.objective.reduction == "sample" else (~gone).sum()
    for dataset in ("unlearn", "retain"):
        parts = tokens["weight"] * tokens[f"e_{dataset}"] / pooled
        of_total = "term == 'objective' and component == 'total' and dataset == @dataset"
        expected = tables["geffect"].query(of_total)["geffect"].item()
        assert abs(parts.sum() - expected) <= 1e-9 * parts.abs().sum()
    of_sample = instances[instances["component"].eq("total")].set_index("sample")["weight"]
    by_sample = tokens["weight"].groupby(tokens["sample"])
    none_left = by_sample.max().eq(0)
    assert none_left.any() or settings is not ALMOST_ALL, f"{(~gone).sum()} of {len(tokens)} left"
    own = by_sample.mean() if cell.objective.reduction == "token" else by_sample.max()
    np.testing.assert_allclose(of_sample, own, rtol=1e-9)


def test_where_it_cannot_be_known_what_is_left_there_is_no_weight(
    cell_of, tiny_model, tokenizer, monkeypatch
):
    cell = cell_of("ga", None)
    model = tiny_model("phi", dtype=torch.float64, tokenizer=tokenizer)
    found = Measurement(cell, cell.draw(16), {}, cell.held_out, 4, selection=HARM)
    found.begin(model)
    found.at(model, 0)

    def broken(*_):
        raise NotFiniteError("token selection: not finite")

    monkeypatch.setattr(found.select, "at", broken)
    found.at(model, 5)
    for name in ("tokens", "instances"):
        by_step = found.tables()[name].set_index("step")["weight"]
        assert by_step[0].notna().all() and by_step[5].isna().all()


def found_order(cell):
    return sorted(cell.forget, key=len)


def total_at(measurement):
    rows = measurement.tables()["geffect"]
    return rows.query("step == 7 and term == 'objective' and component == 'total'")["geffect"]
