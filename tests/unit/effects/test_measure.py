"""G-effects of a model in memory: the same as naive autograd, and as a cell's measurement."""

import numpy as np
import pandas as pd
import pytest
import torch
from naive import products

import geffect
from geffect.effects.measurement import Measurement
from geffect.errors import ConfigError, DataError, LossError
from geffect.losses.loss import RISK
from geffect.models.components import component_map


@pytest.fixture
def case(tiny_model, moved, random_examples):
    """A model away from its original one, forget and retain examples."""
    original = tiny_model("phi")
    return moved(original), original, random_examples(5), random_examples(4)


def test_effects_of_objective_regularizer_and_both_are_those_of_naive_autograd(
    case, naive_gradient, loss_of, rng
):
    model, original, forget, retain = case
    objective = loss_of("objective", "npo")
    regularizer = loss_of("regularizer", "kl", coefficient=float(rng.uniform(0.1, 3)))
    model.train()
    found = geffect.measure(
        model, objective, forget, retain, regularizer, original=original, micro_batch_size=2
    ).set_index(["term", "dataset", "component"])
    assert model.training, "the model is left in the mode in which it was"
    model.eval()
    components = component_map(model)
    losses = {
        "objective": naive_gradient(model, objective.bind(original), forget)[1],
        "regularizer": naive_gradient(model, regularizer.bind(original), retain)[1],
    }
    losses["regularizer"] = {
        name: regularizer.coefficient * g for name, g in losses["regularizer"].items()
    }
    losses["combined"] = {n: g + losses["regularizer"][n] for n, g in losses["objective"].items()}
    for dataset, rows in (("unlearn", forget), ("retain", retain)):
        risk = naive_gradient(model, RISK, rows)[1]
        for term, loss in losses.items():
            for place, (value, scale) in products(loss, risk, components).items():
                row = found.loc[(term, dataset, place)]
                assert abs(row["geffect"] - value) <= 1e-10 * scale
                assert row["norm_loss"] * row["norm_risk"] == pytest.approx(scale, rel=1e-9)
    assert len(found) == 3 * 2 * 9


def test_other_examples_may_be_given_for_a_loss(case, random_examples):
    model, _, forget, retain = case
    refusals, sample = random_examples(5), random_examples(3)
    po, nll = geffect.objective("po"), geffect.regularizer("nll")
    found = geffect.measure(model, po, forget, retain, nll, sample, refusals)
    swapped = geffect.measure(model, po, refusals, sample, nll, retain, forget)
    e, other = (f.set_index(["term", "dataset", "component"])["geffect"] for f in (found, swapped))
    # ∇R(refusals) · ∇R(forget), from both sides.
    key = ("objective", "unlearn", "total")
    assert e[key] == pytest.approx(other[key], rel=1e-9)
    key = ("regularizer", "retain", "total")
    assert e[key] == pytest.approx(other[key], rel=1e-9)


def test_a_loss_that_lacks_what_it_looks_at_is_an_error_that_names_it(case, control_vector):
    model, original, forget, retain = case
    npo, rmu = geffect.objective("npo", beta=1.0), geffect.objective("rmu", layer=1, c=1.0)
    with pytest.raises(ConfigError, match=r"objective 'npo' needs the original model"):
        geffect.measure(model, npo, forget, retain)
    with pytest.raises(ConfigError, match=r"objective 'rmu' needs RMU's direction"):
        geffect.measure(model, rmu, forget, retain)
    with pytest.raises(ConfigError, match=r"'po' trains on refusals; .* \(objective_examples\)"):
        geffect.measure(model, geffect.objective("po"), forget, retain)
    data, u = (forget, retain), control_vector()
    found = geffect.measure(model, rmu, *data, control_vector=u)
    assert found["norm_loss"].max() > 0
    with pytest.raises(DataError, match="retain: no rows"):
        geffect.measure(model, npo, forget, [], original=original)
    last, beyond = (geffect.regularizer("rr", layer=layer) for layer in (3, 4))
    assert len(geffect.measure(model, rmu, *data, last, original=original, control_vector=u))
    with pytest.raises(LossError, match=r"rr: layer 4, but PhiForCausalLM has 3 blocks; .*1\.\.3"):
        geffect.measure(model, rmu, *data, beyond, original=original, control_vector=u)
    for name in ("objective", "regularizer"):  # none are not all
        nothing, nll = {f"{name}_examples": []}, geffect.regularizer("nll")
        with pytest.raises(DataError, match=f"{name}: no rows"):
            geffect.measure(model, geffect.objective("ga"), forget, retain, nll, **nothing)


def test_instances_and_tokens_are_those_of_a_cells_measurement(
    cell_of, tiny_model, moved, tokenizer
):
    cell = cell_of("ga", None)
    original = tiny_model(tokenizer=tokenizer)
    model = moved(original)
    found = Measurement(cell, cell.draw(16), {}, cell.held_out, 3)
    found.begin(original)
    found.at(model, 0)
    tables = found.tables()
    data = (model, cell.forget, cell.held_out, original)
    instances = geffect.measure_instances(*data, micro_batch_size=3)
    expected = tables["instances"].drop(columns=["step", "row", "weight"])
    pd.testing.assert_frame_equal(instances, expected, check_exact=True)
    tokens = geffect.measure_tokens(*data, micro_batch_size=3)
    cells_own = ["step", "text", "row", "string", "string_runner_up", "weight"]
    expected = tables["tokens"].drop(columns=cells_own)
    pd.testing.assert_frame_equal(tokens[list(expected)], expected, check_exact=True)
    at_original = geffect.measure_tokens(model, cell.forget, cell.held_out)
    np.testing.assert_allclose(at_original["logp"], at_original["logp_ref"], rtol=1e-9)


def test_a_function_of_ones_own_is_a_loss(case):
    model, _, forget, retain = case
    own = geffect.Loss("own", lambda view: 3 * view.logp)
    ga = geffect.measure(model, geffect.objective("ga"), forget, retain)
    e = geffect.measure(model, own, forget, retain)
    torch.testing.assert_close(
        torch.tensor(e["geffect"].to_numpy()), 3 * torch.tensor(ga["geffect"].to_numpy())
    )
