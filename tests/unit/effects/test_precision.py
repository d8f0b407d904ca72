"""G-effects in bfloat16 are those of float32, within bounds; what they come in stays float32."""

import numpy as np
import pytest
import torch

from geffect.data.batches import IGNORED
from geffect.effects.gradients import Directions, compare, data_batches, gradient
from geffect.effects.instances import instance_effects
from geffect.effects.tokens import token_effects, value_effects
from geffect.losses.loss import RISK
from geffect.losses.view import next_tokens
from geffect.models import scratch
from geffect.models.components import component_map
from geffect.models.compute import computing_in
from geffect.names import COMPONENTS, EFFECT_DATASETS, TOTAL

OF_NORMS, SIGNED, CORRELATION = 0.02, 0.01, 0.999
"""Error of an effect by the product of norms, cosine from which signs agree, correlation."""


@pytest.fixture(params=["phi", "llama"])
def model(request, rng):
    """A model whose sums have some length: rounding averages out over them."""
    settings = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if request.param == "llama" else 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.08,
    }
    return scratch.build(request.param, settings, 200, 0, int(rng.integers(2**31))).eval()


@pytest.fixture
def in_both(model, random_examples):
    """A function: what `of(model, forget, retain)` gives in float32 and in bfloat16."""
    forget, retain = (random_examples(12, vocabulary=200, longest=20) for _ in range(2))

    def compute(of):
        found = []
        for precision in ("float32", "bf16"):
            with computing_in(precision):
                found.append(of(model, forget, retain))
        return found

    return compute


def risks(model, forget, retain):
    pairs = zip(EFFECT_DATASETS, (forget, retain), strict=True)
    return {name: gradient(model, RISK, examples, 5)[1] for name, examples in pairs}


@pytest.mark.parametrize(
    ("kind", "name", "hyper"),
    [
        ("objective", "ga", {}),
        ("objective", "wga", {"alpha": 1.0}),
        ("objective", "npo", {"beta": 0.5}),
        ("objective", "rmu", {"layer": 2, "c": 4.0}),
        ("regularizer", "kl", {}),
        ("regularizer", "rr", {"layer": 2}),
    ],
)
def test_effects_of_every_component_agree(
    kind, name, hyper, model, moved, in_both, loss_of, control_vector
):
    loss = loss_of(kind, name, moved(model, 0.02), control_vector(64), hyper)

    def effects(model, forget, retain):
        own = gradient(model, loss, retain if kind == "regularizer" else forget, 5)[1]
        assert {g.dtype for g in own.values()} == {torch.float32}
        of_risks = risks(model, forget, retain).items()
        components = component_map(model)
        return {(d, r["component"]): r for d, g in of_risks for r in compare(own, g, components)}

    full, half = in_both(effects)
    assert any(full[key]["geffect"] != half[key]["geffect"] for key in full)
    for key, exact in full.items():
        norms = exact["norm_loss"] * exact["norm_risk"]
        assert abs(half[key]["geffect"] - exact["geffect"]) <= OF_NORMS * norms, key
        if abs(exact["cosine"]) > SIGNED:
            assert exact["geffect"] * half[key]["geffect"] > 0, key


def test_effects_of_tokens_and_instances_agree(in_both):
    def effects(model, forget, retain):
        directions = Directions(risks(model, forget, retain))
        batch = data_batches(RISK, forget, len(forget))[0]
        labelled = next_tokens(batch) != IGNORED
        logp, tokens = token_effects(model, batch, directions)
        _, instances = instance_effects(model, batch, directions, component_map(model))
        values = value_effects(model, RISK, batch, directions)
        assert {logp.dtype, *(t.dtype for t in tokens.values())} == {torch.float32}
        found = {("token", d): tokens[d][labelled] for d in directions}
        found |= {("value", d): values[d][labelled] for d in directions}
        found |= {
            (place, d): instances[d][place] for d in directions for place in (*COMPONENTS, TOTAL)
        }
        return {"logp": logp[labelled], **found}

    full, half = in_both(effects)
    for key, exact in full.items():
        assert not torch.equal(exact, half[key]), f"{key} was not computed in bfloat16"
        assert np.corrcoef(exact, half[key])[0, 1] > CORRELATION, key
