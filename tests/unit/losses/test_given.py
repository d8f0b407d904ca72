"""A function is measured as exactly as a loss of which the values are known."""

import numpy as np
import pytest
import torch

from geffect.effects.gradients import gradient
from geffect.errors import ConfigError, LossError
from geffect.losses.given import function_loss, given_loss
from geffect.losses.loss import RISK, Loss, objective, regularizer
from geffect.models.compute import computing_in


def token_mean(model, batch):
    return model(**batch).loss


def sample_mean(model, batch):
    """log(1 - p(s)) of every sample's labels, its mean."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    targets, hidden = batch["labels"][:, 1:], batch["labels"][:, 1:] == -100
    logp = logits[:, :-1].log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return (-logp.masked_fill(hidden, 0).sum(dim=1).expm1()).log().mean()


KNOWN = {
    "token": (token_mean, RISK),
    "sample": (
        sample_mean,
        Loss("s", lambda v: (-v.per_sample(v.logp).expm1()).log(), reduction="sample"),
    ),
}


@pytest.mark.parametrize("reduction", KNOWN)
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("architecture", ["phi", "llama"])
def test_a_functions_gradient_is_that_of_its_mean_over_all_rows(
    reduction, size, architecture, tiny_model, random_examples, naive_gradient
):
    model, examples = tiny_model(architecture).eval(), random_examples(7)
    function, loss = KNOWN[reduction]
    found = gradient(model, function_loss(function, reduction), examples, size)
    value, expected = naive_gradient(model, loss, examples)
    # What transformers itself computes of a loss, it computes in float32.
    tolerance = 1e-5 if reduction == "token" or architecture == "llama" else 1e-9
    assert found[0] == pytest.approx(value, rel=tolerance)
    scale = np.sqrt(sum((g**2).sum() for g in expected.values()))
    for name, g in expected.items():
        assert np.abs(found[1][name].numpy() - g).max() <= tolerance * scale


def test_a_function_computes_in_the_precision_that_is_in_force(tiny_model, random_examples):
    model, examples = tiny_model(dtype=torch.float32).eval(), random_examples(4)
    seen = []

    def noted(model, batch):
        outcome = model(**batch)
        seen.append(outcome.logits.dtype)
        return outcome.loss

    with computing_in("bf16"):
        found = gradient(model, function_loss(noted), examples, 4)[1]
        expected = gradient(model, RISK, examples, 4)[1]
    assert set(seen) == {torch.bfloat16}
    scale = max(float(g.norm()) for g in expected.values())
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=1e-4, atol=1e-4 * scale)


def test_names_settings_and_losses_are_all_understood():
    assert given_loss("objective", "npo:beta=0.25") == objective("npo", beta=0.25)
    assert given_loss("objective", "wga:alpha=1e-3").hyper["alpha"] == 1e-3
    mine = given_loss("regularizer", "rr:layer=2,coefficient=0.5")
    assert mine == regularizer("rr", coefficient=0.5, layer=2)
    assert given_loss("regularizer", "kl:positions=all").positions == "all"
    assert given_loss("objective", mine) is mine
    function = given_loss("objective", token_mean)
    assert (function.name, function.reduction, function.weights) == ("token_mean", "token", None)
    assert function_loss(token_mean, coefficient=0.3).coefficient == 0.3


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("npo", LossError, "beta"),
        ("npo:beta=", LossError, "'beta=' is not key=value"),
        ("npo:beta=[1", LossError, "not key=value"),
        ("npo:beta=-1", LossError, "choose a value in range"),
        ("nop:beta=1", ConfigError, "did you mean 'npo'"),
    ],
)
def test_a_text_that_names_no_loss_is_refused(given, error, words):
    with pytest.raises(error) as raised:
        given_loss("objective", given)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_what_cannot_be_measured_is_refused(tiny_model, random_examples):
    with pytest.raises(LossError, match="coefficient is not a number"):
        given_loss("regularizer", "kl:coefficient=much")
    with pytest.raises(LossError, match="use token or sample"):
        function_loss(token_mean, "batch")
    for wrong in (lambda model, batch: 1.0, lambda model, batch: torch.ones(2)):
        with pytest.raises(LossError, match="<lambda>: returns no differentiable scalar"):
            gradient(tiny_model(), function_loss(wrong), random_examples(2), 2)
