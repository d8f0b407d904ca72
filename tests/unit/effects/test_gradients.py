"""G-effects against naive autograd, and the identities that they have to satisfy."""

import copy
import math

import families
import numpy as np
import pytest
import torch
from common import declarations

from geffect.data.encoding import Example
from geffect.effects import gradients as effects
from geffect.errors import DataError, ModelError, NotFiniteError
from geffect.losses.loss import RISK, objective
from geffect.models.components import component_map
from geffect.models.compute import recompute
from geffect.names import COMPONENTS

SPECS = declarations()
BOUNDED = [spec for spec in SPECS if spec.minimum is not None]
PRECISIONS = [
    pytest.param("phi", torch.float32, 1e-5, id="phi-float32"),
    pytest.param("llama", torch.float32, 1e-5, id="llama-float32"),
    pytest.param("phi", torch.float64, 1e-10, id="phi-float64"),
    # Llama's norms compute in float32 whatever the dtype of the weights.
    pytest.param("llama", torch.float64, 1e-6, id="llama-float64"),
]

every_loss = pytest.mark.parametrize("spec", SPECS, ids=[f"{s.kind}-{s.name}" for s in SPECS])
every_precision = pytest.mark.parametrize(("architecture", "dtype", "tolerance"), PRECISIONS)
tied_or_not = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def as_numpy(gradient):
    return {name: g.double().numpy() for name, g in gradient.items()}


def inner(a, b):
    return math.fsum(float(np.vdot(a[name], b[name])) for name in a)


def norm(a):
    return math.sqrt(inner(a, a))


@every_precision
@every_loss
def test_geffect_is_that_of_naive_autograd_for_every_batch_size(
    spec,
    architecture,
    dtype,
    tolerance,
    tiny_model,
    moved,
    random_examples,
    loss_of,
    control_vector,
    naive_gradient,
):
    original = tiny_model(architecture, dtype=dtype)
    model = moved(original)
    forget, retain = random_examples(4), random_examples(5)
    tested = loss_of(spec.kind, spec.name, original, control_vector())
    components = component_map(model)
    value_ref, loss_ref = naive_gradient(model, tested, forget)
    _, risk_ref = naive_gradient(model, RISK, retain)
    expected, scale = inner(loss_ref, risk_ref), norm(loss_ref) * norm(risk_ref)
    for size in (1, 3, len(forget) + len(retain)):
        value, loss = effects.gradient(model, tested, forget, size)
        _, risk = effects.gradient(model, RISK, retain, size)
        total = effects.compare(loss, risk, components)[0]
        assert total["component"] == "total"
        assert abs(total["geffect"] - expected) <= tolerance * scale
        assert abs(total["cosine"] - expected / scale) <= 2 * tolerance
        assert value == pytest.approx(value_ref, rel=max(tolerance, 1e-6))
        for mine, reference in ((as_numpy(loss), loss_ref), (as_numpy(risk), risk_ref)):
            difference = {name: mine[name] - reference[name] for name in reference}
            assert norm(difference) <= tolerance * norm(reference)


def test_gradient_leaves_the_model_as_it_was(tiny_model, random_examples):
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    effects.gradient(model, objective("ga"), random_examples(3), 2)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not model.training


@pytest.mark.parametrize("family", ["phi", "opt", "biogpt", "falcon"])
def test_blocks_that_are_computed_again_have_no_dropout_either(family, rng, random_examples):
    model = families.build(family, False, rng)
    for module in model.modules():
        for name in {"dropout", "hidden_dropout"} & set(vars(module)):
            setattr(module, name, 0.3)
    model.config.hidden_dropout = 0.3  # of Falcon, whose blocks read it there
    examples = random_examples(4, vocabulary=families.VOCABULARY)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)]
    calls = []
    norms[-2].register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    expected = effects.gradient(model, RISK, examples, 2)
    assert len(calls) == 2, "it is a norm of the last block"
    recompute(model)
    functions = [vars(m).get("_gradient_checkpointing_func") for m in model.modules()]
    random_state = torch.get_rng_state()
    value, found = effects.gradient(model, RISK, examples, 2)
    assert len(calls) == 2 + 4, "the block is computed again"
    assert value == expected[0]
    assert all(torch.equal(found[name], g) for name, g in expected[1].items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module.training for module in model.modules())
    assert functions == [vars(m).get("_gradient_checkpointing_func") for m in model.modules()]


@tied_or_not
@pytest.mark.parametrize("architecture", ["phi", "llama"])
@pytest.mark.parametrize("blocks", [3, 4, 5])
def test_components_and_layers_add_up(
    architecture, tied, blocks, tiny_model, random_examples, loss_of
):
    model = tiny_model(architecture, tied=tied, blocks=blocks)
    components = component_map(model)
    loss = effects.gradient(model, loss_of("objective", "wga"), random_examples(3), 2)[1]
    risk = effects.gradient(model, RISK, random_examples(3), 2)[1]
    rows = {row["component"]: row for row in effects.compare(loss, risk, components)}
    layers = [f"layer.{block}" for block in range(1, blocks + 1)]
    assert list(rows) == ["total", *COMPONENTS, *layers]
    for column, power in (("geffect", 1), ("norm_loss", 2), ("norm_risk", 2)):
        value = {name: row[column] ** power for name, row in rows.items()}
        scale = rows["total"]["norm_loss"] * rows["total"]["norm_risk"]
        if power == 2:
            scale = value["total"]
        in_blocks = math.fsum(value[name] for name in ("shallow", "middle", "deep"))
        assert abs(math.fsum(value[c] for c in COMPONENTS) - value["total"]) <= 1e-14 * scale
        assert abs(math.fsum(value[name] for name in layers) - in_blocks) <= 1e-14 * scale


@tied_or_not
def test_total_is_the_dot_product_over_all_parameters(tied, tiny_model, random_examples):
    model = tiny_model("phi", tied=tied)
    loss = effects.gradient(model, objective("ga"), random_examples(3), 2)[1]
    risk = effects.gradient(model, RISK, random_examples(3), 2)[1]
    found = effects.dots(loss, risk, component_map(model))["total"]
    a, b = as_numpy(loss), as_numpy(risk)
    assert set(a) == {name for name, _ in model.named_parameters()}
    assert found == pytest.approx(inner(a, b), abs=1e-13 * norm(a) * norm(b))


def test_dots_are_taken_in_float64():
    big = {"w": torch.tensor([3e7, 1.0, -3e7])}
    ones = {"w": torch.tensor([3e7, 1.0, 3e7])}
    assert effects.dots(big, ones, {"w": ("embed", None)})["total"] == 1.0


def test_ga_on_its_own_set_has_minus_the_squared_norm_of_the_risk(tiny_model, random_examples):
    model, forget = tiny_model("phi"), random_examples(5)
    loss = effects.gradient(model, objective("ga"), forget, 2)[1]
    risk = effects.gradient(model, RISK, forget, 3)[1]
    for row in effects.compare(loss, risk, component_map(model)):
        assert row["geffect"] == pytest.approx(-(row["norm_risk"] ** 2), rel=1e-12)
        assert row["cosine"] == pytest.approx(-1, rel=1e-12)


def at_checkpoint(model, terms, risks, components, size):
    """The rows of all terms (name -> loss and examples) on the risks of some examples."""
    return effects.effect_rows(
        {name: loss.coefficient for name, (loss, _) in terms.items()},
        lambda name: effects.gradient(model, *terms[name], size)[1],
        {n: effects.gradient(model, RISK, e, size)[1] for n, e in risks.items()},
        components,
    )


def table(rows, column="geffect"):
    return {(r["term"], r["dataset"], r["component"]): r[column] for r in rows}


def test_combined_is_objective_plus_coefficient_times_regularizer(
    tiny_model, moved, random_examples, loss_of, rng
):
    original = tiny_model("phi")
    model, retain = moved(original), random_examples(5)
    coefficient = float(rng.uniform(0.1, 5))
    hyper = {"layer": 2}
    terms = {
        "objective": (loss_of("objective", "npo", original), random_examples(4)),
        "regularizer": (loss_of("regularizer", "rr", original, None, hyper, coefficient), retain),
        "probe.rr": (loss_of("regularizer", "rr", original, None, hyper), retain),
    }
    risks = {"unlearn": random_examples(3), "retain": random_examples(3)}
    rows = at_checkpoint(model, terms, risks, component_map(model), 2)
    e, norms = table(rows), table(rows, "norm_loss")
    assert {key[0] for key in e} == {*terms, "combined"}
    for dataset in risks:
        for component in ("total", *COMPONENTS, "layer.1", "layer.2", "layer.3"):

            def value(term, of=e, where=(dataset, component)):
                return of[(term, *where)]

            regularizer = coefficient * value("probe.rr")
            assert value("regularizer") == pytest.approx(regularizer, rel=1e-12)
            scaled = coefficient * value("probe.rr", norms)
            assert value("regularizer", norms) == pytest.approx(scaled, rel=1e-12)
            parts = value("objective") + value("regularizer")
            scale = abs(value("objective")) + abs(value("regularizer"))
            assert value("combined") == pytest.approx(parts, abs=1e-12 * scale)


def test_combined_without_regularizer_is_the_objective(tiny_model, random_examples, loss_of):
    model = tiny_model("llama", dtype=torch.float32)
    rows = at_checkpoint(
        model,
        {"objective": (loss_of("objective", "wga"), random_examples(3))},
        {"unlearn": random_examples(2)},
        component_map(model),
        2,
    )
    e = table(rows)
    for _, dataset, component in [key for key in e if key[0] == "objective"]:
        assert e["combined", dataset, component] == e["objective", dataset, component]


@every_loss
def test_small_descent_step_changes_the_risk_by_minus_eta_e(
    spec, tiny_model, moved, random_examples, loss_of, control_vector
):
    original = tiny_model("phi")
    model = moved(original)
    tested = loss_of(spec.kind, spec.name, original, control_vector())
    held_out = random_examples(4)
    loss = effects.gradient(model, tested, random_examples(4), 4)[1]
    before, risk = effects.gradient(model, RISK, held_out, 4)
    e = effects.dots(loss, risk, component_map(model))["total"]

    def error(eta):
        after = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in after.named_parameters():
                parameter.sub_(eta * loss[name])
        return abs(effects.gradient(after, RISK, held_out, 4)[0] - before + eta * e)

    eta = 1e-3 / norm(as_numpy(loss))
    # The error is of second order: a tenth of the step leaves a hundredth of it.
    assert error(eta) <= 0.1 * eta * norm(as_numpy(loss)) * norm(as_numpy(risk))
    assert error(eta / 10) <= 0.05 * error(eta) + 1e-13


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spec", BOUNDED, ids=[s.name for s in BOUNDED])
def test_at_the_original_a_loss_at_its_minimum_has_no_geffect(
    spec, dtype, tiny_model, random_examples, loss_of
):
    original = tiny_model("llama", dtype=dtype)
    model = copy.deepcopy(original)
    terms = {
        "objective": (objective("ga"), random_examples(3)),
        "regularizer": (
            loss_of("regularizer", spec.name, original, coefficient=2.5),
            random_examples(5),
        ),
    }
    risks = {"unlearn": random_examples(3)}
    rows = at_checkpoint(model, terms, risks, component_map(model), 2)
    of_regularizer = [row for row in rows if row["term"] == "regularizer"]
    assert of_regularizer
    for row in of_regularizer:
        assert row["geffect"] == 0
        assert row["norm_loss"] == 0
        assert math.isnan(row["cosine"])
        assert row["norm_risk"] > 0
    e = table(rows)
    assert e["combined", "unlearn", "total"] == e["objective", "unlearn", "total"] != 0


def test_component_that_the_loss_does_not_reach_counts_as_zero(
    tiny_model, random_examples, loss_of, control_vector
):
    model = tiny_model("phi")
    rmu = loss_of("objective", "rmu", None, control_vector(), {"layer": 1, "c": 2.0})
    loss = effects.gradient(model, rmu, random_examples(3), 2)[1]
    risk = effects.gradient(model, RISK, random_examples(3), 2)[1]
    rows = {r["component"]: r for r in effects.compare(loss, risk, component_map(model))}
    for component in ("middle", "deep", "lm", "layer.2", "layer.3"):
        assert rows[component]["geffect"] == 0
        assert math.isnan(rows[component]["cosine"])
    assert rows["shallow"]["geffect"] != 0


def test_a_loss_that_reaches_nothing_trainable_has_a_gradient_of_zero(
    tiny_model, random_examples, loss_of, control_vector
):
    model = tiny_model("phi")
    model.requires_grad_(False)
    model.model.layers[2].requires_grad_(True)
    found = {}
    for layer in (2, 3):
        hyper = {"layer": layer, "c": 2.0}
        rmu = loss_of("objective", "rmu", None, control_vector(), hyper)
        value, found[layer] = effects.gradient(model, rmu, random_examples(3), 2)
        assert value > 0
    assert set(found[2]) == {n for n, _ in model.named_parameters() if ".layers.2." in n}
    assert not any(g.any() for g in found[2].values())
    assert any(g.any() for g in found[3].values())


def test_empty_data_set_is_a_data_error_that_names_it(tiny_model):
    with pytest.raises(DataError, match="the forget set: no rows"):
        effects.gradient(tiny_model(), RISK, [], 2, "the forget set")


def test_row_without_a_label_token_is_a_data_error_that_names_the_row(tiny_model, random_examples):
    rows = random_examples(3)
    rows[1] = Example(rows[1].prompt, rows[1].prompt_length)
    with pytest.raises(DataError, match=r"the forget set, row 1: no label"):
        effects.gradient(tiny_model(), RISK, rows, 2, "the forget set")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["ga", "npo", "rmu"])
def test_weights_that_are_not_finite_are_a_model_error(
    name, value, tiny_model, random_examples, loss_of, control_vector
):
    original = tiny_model("phi")
    model = copy.deepcopy(original)
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = value
    loss = loss_of("objective", name, original, control_vector())
    with pytest.raises(ModelError, match="not finite"):
        effects.gradient(model, loss, random_examples(3), 2)


@pytest.mark.parametrize("spec", BOUNDED, ids=[s.name for s in BOUNDED])
def test_broken_weights_are_not_mistaken_for_the_minimum(
    spec, tiny_model, random_examples, loss_of
):
    original = tiny_model("phi")
    model = copy.deepcopy(original)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(math.nan)
    loss = loss_of("regularizer", spec.name, original)
    with pytest.raises(ModelError, match="not finite"):
        effects.gradient(model, loss, random_examples(3), 2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_direction_that_is_not_finite_is_an_error_that_names_it_and_the_parameter(
    value, tiny_model, direction
):
    model = tiny_model()
    broken = direction(model)
    name = list(broken)[3]
    broken[name].view(-1)[0] = value
    with pytest.raises(NotFiniteError, match=f"'risk' of {name} is not finite"):
        effects.Directions({"fine": direction(model), "risk": broken})


def test_directions_are_moved_and_not_copied(tiny_model, direction):
    given = {name: direction(tiny_model()) for name in ("one", "two")}
    expected = copy.deepcopy(given)
    directions = effects.Directions(given)
    for k, (name, tensors) in enumerate(directions.items()):
        for parameter, tensor in tensors.items():
            assert torch.equal(tensor, expected[name][parameter])
            assert given[name][parameter].data_ptr() == directions.stacked[parameter][k].data_ptr()
