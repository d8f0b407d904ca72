"""G-effects of adapters and of the weights that they are merged into, against autograd.

The oracle knows no adapters: it is a plain model with the weights W = W0 + s · BA, differentiated
by autograd, and the chain rule from there: ∂/∂B = s · G Aᵀ, ∂/∂A = s · Bᵀ G.
"""

import copy

import families
import pytest
import torch
from low_rank import ALPHA, RANK, SCALE, factors, in_coordinates, merged_by_hand
from naive import products, summed

from geffect.data.batches import collate
from geffect.effects.gradients import Directions, dots, gradient
from geffect.effects.instances import instance_effects, plan
from geffect.effects.measurement import Measurement
from geffect.effects.tokens import token_effects
from geffect.losses.loss import RISK
from geffect.models import adapters
from geffect.models.components import component_map
from geffect.names import ADAPTER, MERGED

TOLERANCE = 1e-6  # some families compute a few steps in float32


def moved(model, rng, scale=0.3):
    """Moves all adapters at random, so that neither A nor B is zero."""
    with torch.no_grad():
        for parameter in adapters.weights(model).values():
            parameter.add_(torch.from_numpy(rng.normal(0, scale, tuple(parameter.shape))))
    return model


def components_of(model, gradients):
    """The components of the parameters that are measured."""
    return {name: place for name, place in component_map(model).items() if name in gradients}


@pytest.fixture
def adapted(rng):
    """A function: a family's model with moved adapters, and the model before it got them."""

    def build(family="llama", targets="all-linear"):
        base = families.build(family, False, rng)
        model = adapters.adapt(copy.deepcopy(base), 3, RANK, ALPHA, targets=targets)
        return model, base

    return build


@pytest.mark.parametrize("coordinates", [ADAPTER, MERGED])
@pytest.mark.parametrize("family", ["phi", "llama", "gpt2", "qwen3_moe"])
def test_effects_are_those_of_one_backward_pass_each(
    family, coordinates, adapted, rng, random_examples, per_label, naive_gradient
):
    attention = ["q_proj", "v_proj"]
    model, base = adapted(family, attention if family == "qwen3_moe" else "all-linear")
    moved(model, rng)
    plain = merged_by_hand(model, base)
    examples, other = (random_examples(3, vocabulary=families.VOCABULARY) for _ in range(2))

    def expected(of_plain):
        return in_coordinates(of_plain, model, plain, coordinates)

    own, risk = (expected(naive_gradient(plain, RISK, rows)[1]) for rows in (examples, other))
    components = component_map(model)
    here = components_of(model, own)
    assert set(here.values()) <= {("shallow", 1), ("middle", 2), ("deep", 3)}
    batch = collate(examples)
    with adapters.measured_in(model, coordinates):
        found = [gradient(model, RISK, rows, 2)[1] for rows in (examples, other)]
        assert set(found[0]) == set(own)
        for place, value in dots(*found, components).items():
            wanted, scale = _product(own, risk, here, place)
            assert abs(value - wanted) <= TOLERANCE * scale, place
        directions = Directions({"risk": found[1]})
        _, instances = instance_effects(model, batch, directions, components)
        tokens = token_effects(model, batch, directions).effects
        assert plan(model).by_rows == ""
    for row, example in enumerate(examples):
        labels = [expected(label) for label in per_label(plain, example)]
        for place, values in instances["risk"].items():
            wanted, scale = _product(summed(labels), risk, here, place)
            assert abs(values[row].item() - wanted) <= TOLERANCE * scale, place
        first = example.prompt_length - 1 - batch.start
        for k, label in enumerate(labels):
            wanted, scale = _product(label, risk, here, "total")
            assert abs(tokens["risk"][row, first + k].item() - wanted) <= TOLERANCE * scale
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(
        adapters.weights(model)
    )


def _product(a, b, components, place):
    found = products(a, b, components)
    return found.get(place, (0.0, 0.0))  # no block outside the adapters


def test_new_adapters_change_nothing_and_only_b_has_a_gradient(adapted, random_examples):
    model, base = adapted()
    examples = random_examples(3, vocabulary=families.VOCABULARY)
    ids = torch.tensor([examples[0].ids])
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, base(input_ids=ids).logits)
    found = gradient(model, RISK, examples, 2)[1]
    assert all((g != 0).any() == (".lora_B." in name) for name, g in found.items())
    again = adapters.adapt(copy.deepcopy(base), 3, RANK, ALPHA)
    other = adapters.adapt(copy.deepcopy(base), 4, RANK, ALPHA)
    first = [adapters.weights(m) for m in (model, again, other)]
    assert all(torch.equal(p, first[1][name]) for name, p in first[0].items())
    assert not all(torch.equal(p, first[2][name]) for name, p in first[0].items())


@pytest.mark.parametrize("change", ["trapezoid", "simpson"])
@pytest.mark.parametrize("coordinates", [ADAPTER, MERGED])
def test_the_predicted_change_is_that_of_the_displacement_in_the_coordinates(
    coordinates, change, cell_of, tiny_model, tokenizer, rng, naive_gradient
):
    cell = cell_of("ga", "kl", forget=4)
    base = tiny_model("llama", tokenizer=tokenizer)
    model = moved(adapters.adapt(copy.deepcopy(base), 1, RANK, ALPHA), rng, 0.02)
    measured = Measurement(
        cell, cell.draw(16), {}, cell.held_out, 4, False, False, change, parameters=coordinates
    )
    measured.begin(model, adapters.original_beside(model, "nowhere", "cpu"))
    measured.at(model, 0)
    start = copy.deepcopy(model)
    moved(model, rng, 0.02)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    share = {
        name: torch.from_numpy(rng.normal(0, 0.01, tuple(p.shape)))
        for name, p in adapters.weights(model).items()
    }
    measured.at(model, 5, {"regularizer": share})
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())

    def middle():
        """Half-way on the straight line in the coordinates."""
        ends = [merged_by_hand(m, base) for m in (start, model)]
        result = copy.deepcopy(start)
        with torch.no_grad():
            if coordinates == MERGED:
                result = copy.deepcopy(base)
                for p, *both in zip(
                    result.parameters(), *(m.parameters() for m in ends), strict=True
                ):
                    p.copy_(sum(both) / 2)
                return result, None
            for p, end in zip(result.parameters(), model.parameters(), strict=True):
                p.add_((end - p) / 2)
        return merged_by_hand(result, base), result

    points = [(merged_by_hand(m, base), m) for m in (start, model)]
    weights = [1 / 2, 1 / 2]
    if change == "simpson":
        points.insert(1, middle())
        weights = [1 / 6, 4 / 6, 1 / 6]
    (a0, a1) = (factors(m) for m in (start, model))
    whole, part = {}, {}
    for module in a0:
        delta = {side: a1[module][side] - a0[module][side] for side in "AB"}
        own = {s: share[f"{module}.lora_{s}.default.weight"].numpy() for s in "AB"}
        if coordinates == ADAPTER:
            for side in "AB":
                whole[f"{module}.lora_{side}.default.weight"] = delta[side]
                part[f"{module}.lora_{side}.default.weight"] = own[side]
            continue
        half = {side: (a0[module][side] + a1[module][side]) / 2 for side in "AB"}
        name = f"{module}.base_layer.weight"
        ends = [SCALE * a[module]["B"] @ a[module]["A"] for a in (a0, a1)]
        whole[name] = ends[1] - ends[0]
        part[name] = SCALE * (own["B"] @ half["A"] + half["B"] @ own["A"])
    here = components_of(model, whole)
    risk = measured.tables()["risk"].query("step == 0")
    for dataset, rows in (("unlearn", cell.forget), ("retain", cell.held_out)):
        along = [
            in_coordinates(naive_gradient(plain, RISK, rows)[1], m or model, plain, coordinates)
            for plain, m in points
        ]
        for place in ("total", "shallow", "middle", "layer.3", "embed", "lm"):
            wanted = {
                "objective": {n: whole[n] - part[n] for n in whole},
                "regularizer": part,
            }
            for term, displacement in wanted.items():
                parts = [_product(g, displacement, here, place) for g in along]
                value = sum(w * v for w, (v, _) in zip(weights, parts, strict=True))
                mine = risk[risk["dataset"].eq(dataset)]
                row = mine.query("term == @term and component == @place")
                error = abs(row["predicted_change"].item() - value)
                assert error <= 1e-6 * max(scale for _, scale in parts) + 1e-15, (term, place)


@pytest.mark.parametrize("family", ["llama", "gpt2"])  # the second one has dropout
def test_switched_off_adapters_are_the_original_model(family, adapted, rng, random_examples):
    model, base = adapted(family)
    moved(model, rng).train()
    model.get_output_embeddings().eval()
    modes = [module.training for module in model.modules()]
    original = adapters.original_beside(model, "nowhere", "cpu")
    ids = torch.tensor([random_examples(1, vocabulary=families.VOCABULARY)[0].ids])
    with torch.no_grad():
        expected = base.eval()(input_ids=ids).logits
        assert torch.equal(original(input_ids=ids).logits, expected)
        assert [module.training for module in model.modules()] == modes
        assert not torch.equal(model.eval()(input_ids=ids).logits, expected)
    assert all(p.requires_grad for p in adapters.weights(model).values())


@pytest.mark.parametrize("coordinates", [ADAPTER, MERGED])
def test_a_cell_with_kl_has_the_effects_of_a_plain_model_beside_its_original(
    coordinates, cell_of, tiny_model, tokenizer, rng, naive_gradient
):
    cell = cell_of("npo", "kl", forget=3)
    base = tiny_model("phi", tokenizer=tokenizer)
    model = adapters.adapt(copy.deepcopy(base), 1, RANK, ALPHA)
    draws = cell.draw(16)
    measured = Measurement(cell, draws, {}, cell.held_out, 2, parameters=coordinates)
    measured.begin(model, adapters.original_beside(model, "nowhere", "cpu"))
    measured.at(model, 0)
    moved(model, rng, 0.1)
    measured.at(model, 4)
    plain = merged_by_hand(model, base)

    def exact(loss, rows):
        found = naive_gradient(plain, loss.bind(base), rows)[1]
        return in_coordinates(found, model, plain, coordinates)

    risk = exact(RISK, cell.held_out)
    terms = {
        "objective": exact(cell.objective, cell.forget),
        "regularizer": exact(cell.losses["regularizer"], cell.sample(draws)),
    }
    here = components_of(model, risk)
    frame = measured.tables()["geffect"].query("step == 4 and dataset == 'retain'")
    for term, coefficient in (("objective", 1), ("regularizer", 0.5)):
        for place, (value, scale) in products(terms[term], risk, here).items():
            row = frame.query("term == @term and component == @place")
            assert abs(row["geffect"].item() - coefficient * value) <= 1e-9 * scale, (term, place)
    outside = frame.query("component in ['embed', 'lm']")
    assert outside["geffect"].eq(0).all() and outside["cosine"].isna().all()
    start = measured.tables()["geffect"].query("step == 0 and term == 'regularizer'")
    assert start["geffect"].eq(0).all()
