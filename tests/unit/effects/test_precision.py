"""G-effects in bfloat16 are those of float32, within bounds; what they come in stays float32.

So are those of weights in bfloat16, which rounds them alone.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from common import declarations, small_model

import geffect
from geffect.data.batches import IGNORED
from geffect.effects.gradients import Directions, compare, data_batches, gradient
from geffect.effects.instances import instance_effects
from geffect.effects.tokens import token_effects, value_effects
from geffect.losses import registry
from geffect.losses.loss import RISK, objective
from geffect.losses.view import forward, next_tokens, runner_up
from geffect.models.components import component_map
from geffect.models.compute import computing_in
from geffect.names import COMPONENTS, EFFECT_DATASETS, TOTAL

OF_NORMS, SIGNED, CORRELATION = 0.02, 0.01, 0.999
"""Error of an effect by the product of norms, cosine from which signs agree, correlation."""
PRECISIONS = ("float32", "bf16")
CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text(encoding="utf-8"))


def published(spec):
    """The hyper-parameters that config.yaml has for a loss, of a model of three blocks."""
    variant = CONFIG[f"{spec.kind}s"].get(spec.name, {})
    own = {k: v for k, v in variant.items() if k in spec.hyperparameters}
    for override in variant.get("models", {}).values():
        own = override | own
    return own | ({"layer": 2} if "layer" in spec.hyperparameters else {})


CASES = [
    (spec.kind, spec.name, published(spec))
    for spec in declarations()
    if spec in registry.catalogue(spec.kind).values()
]
CASES += [("objective", "wga", {"alpha": 1.0})]


class Case:
    """A model, two data sets, and the gradients of both risks in both precisions."""

    def __init__(self, architecture, rng, random_examples, moved, control_vector):
        # Sums have some length in it: rounding averages out over them.
        self.model = small_model(architecture, 200, rng, initializer_range=0.08).eval()
        self.forget, self.retain = (self._decided(random_examples, 12) for _ in range(2))
        self.original, self.control = moved(self.model, 0.02), control_vector(64)
        self.components = component_map(self.model)
        self.risks = {}
        for precision in PRECISIONS:
            with computing_in(precision):
                self.risks[precision] = {
                    name: gradient(self.model, RISK, examples, 5)[1]
                    for name, examples in zip(
                        EFFECT_DATASETS, (self.forget, self.retain), strict=True
                    )
                }

    def _decided(self, random_examples, number):
        """Examples whose runners-up rounding does not change: at a tie, a hinge has a kink."""
        kept, drawn = [], 0
        while len(kept) < number:
            drawn += 1
            (example,) = random_examples(1, vocabulary=200, longest=20)
            batch = data_batches(RISK, [example], 1)[0]
            found = []
            for precision in PRECISIONS:
                with computing_in(precision), torch.no_grad():
                    logits = forward(self.model, batch).logits
                labels = next_tokens(batch)
                found.append(runner_up(logits, labels.clamp_min(0))[labels != IGNORED])
            if torch.equal(*found):
                kept.append(example)
        assert number > 0.5 * drawn
        return kept


_CASES = {}


@pytest.fixture(params=["phi", "llama"])
def case(request, rng, random_examples, moved, control_vector):
    """One for all tests of an architecture: each would draw the same."""
    if request.param not in _CASES:
        _CASES[request.param] = Case(request.param, rng, random_examples, moved, control_vector)
    return _CASES[request.param]


@pytest.mark.parametrize(("kind", "name", "hyper"), CASES, ids=[f"{n}-{h}" for _, n, h in CASES])
def test_effects_of_every_component_agree(kind, name, hyper, case, loss_of):
    loss = loss_of(kind, name, case.original, case.control, hyper)
    examples = case.retain if kind == "regularizer" else case.forget
    found = []
    for precision in PRECISIONS:
        with computing_in(precision):
            own = gradient(case.model, loss, examples, 5)[1]
        assert {g.dtype for g in own.values()} == {torch.float32}
        rows = {
            (dataset, row["component"]): row
            for dataset, risk in case.risks[precision].items()
            for row in compare(own, risk, case.components)
        }
        found.append(rows)
    full, half = found
    assert any(full[key]["geffect"] != half[key]["geffect"] for key in full)
    for key, exact in full.items():
        norms = exact["norm_loss"] * exact["norm_risk"]
        assert abs(half[key]["geffect"] - exact["geffect"]) <= OF_NORMS * norms, key
        if abs(exact["cosine"]) > SIGNED:
            assert exact["geffect"] * half[key]["geffect"] > 0, key


def test_effects_of_tokens_and_instances_agree(case):
    batch = data_batches(RISK, case.forget, len(case.forget))[0]
    labelled = next_tokens(batch) != IGNORED
    both, runners_up = [], []
    for precision in PRECISIONS:
        with computing_in(precision):
            directions = Directions({n: dict(g) for n, g in case.risks[precision].items()})
            tokens = token_effects(case.model, batch, directions)
            _, instances = instance_effects(case.model, batch, directions, case.components)
            values = value_effects(case.model, RISK, batch, directions)
        assert {tokens.logp.dtype, *(t.dtype for t in tokens.effects.values())} == {torch.float32}
        runners_up.append(tokens.runner_up[labelled])
        found = {name: getattr(tokens, name) for name in ("logp", "entropy", "logp_runner_up")}
        found |= {("token", d): tokens.effects[d] for d in directions}
        found |= {("runner-up", d): tokens.effects_runner_up[d] for d in directions}
        found |= {("value", d): values[d] for d in directions}
        found = {key: by_token[labelled] for key, by_token in found.items()}
        found |= {
            (place, d): instances[d][place] for d in directions for place in (*COMPONENTS, TOTAL)
        }
        both.append(found)
    full, half = both
    # Of two tokens that are as probable but for rounding, either may be the runner-up.
    same = runners_up[0] == runners_up[1]
    assert same.float().mean() > 0.9
    for key, exact in full.items():
        assert not torch.equal(exact, half[key]), f"{key} was not computed in bfloat16"
        seen = same if key[0] == "runner-up" else slice(None)
        assert np.corrcoef(exact[seen], half[key][seen])[0, 1] > CORRELATION, key


def test_gradients_of_weights_in_bfloat16_do_not_depend_on_the_batch(tiny_model, random_examples):
    model = tiny_model(dtype=torch.bfloat16)
    rows = random_examples(2) * 200  # in bfloat16 a sum of like terms ends at the 256th
    exact = gradient(copy.deepcopy(model).float(), RISK, rows, len(rows))[1]
    components = component_map(model)
    for size in (1, 7, 16):
        found = gradient(model, RISK, rows, size)[1]
        assert {g.dtype for g in found.values()} == {torch.float32}
        total, *_ = compare(found, exact, components)
        assert total["norm_loss"] == pytest.approx(total["norm_risk"], rel=OF_NORMS)
        assert total["cosine"] > 1 - OF_NORMS
        assert all(p.grad is None for p in model.parameters())


def test_effects_of_weights_in_bfloat16_are_those_of_the_same_in_float32(
    tiny_model, random_examples, control_vector
):
    half = tiny_model(dtype=torch.bfloat16)
    full = copy.deepcopy(half).float()
    forget, retain = random_examples(12), random_examples(12)
    rmu = objective("rmu", layer=1, c=1.0)  # does not reach all blocks
    u, frames = control_vector(), []
    for model in (full, half):
        given = (model, forget, retain)
        effects = geffect.measure(model, rmu, forget, retain, control_vector=u, micro_batch_size=1)
        frames.append((effects, geffect.measure_instances(*given), geffect.measure_tokens(*given)))
    (exact, *tables), (found, *others) = frames
    norms = exact["norm_loss"] * exact["norm_risk"]
    assert ((found["geffect"] - exact["geffect"]).abs() <= OF_NORMS * norms).all()
    for table, other in zip(tables, others, strict=True):
        for column in ("e_unlearn", "e_retain"):
            assert np.corrcoef(table[column], other[column])[0, 1] > CORRELATION, column
