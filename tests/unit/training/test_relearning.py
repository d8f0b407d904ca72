"""Relearning is plain fine-tuning on a few rows, looked at after every epoch."""

import copy
import dataclasses
import math

import pytest
import torch
from settings import PAPER

from geffect.data.draws import generator, order
from geffect.training.relearning import relearn

SETTINGS = dataclasses.replace(
    PAPER, epochs=3, batch_size=2, micro_batch_size=1, learning_rate=1e-2, max_grad_norm=0.5
)


def by_hand(model, examples, settings, seed):
    """AdamW on the pooled mean NLL with linear warm-up and decay; weights after every update."""
    steps = math.floor(settings.epochs * len(examples) / settings.batch_size)
    warmup = max(1, math.floor(settings.warmup_epochs * len(examples) / settings.batch_size))
    rows = order(len(examples), steps, settings.batch_size, generator(seed, "order"))
    moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in model.named_parameters()}
    weights = [{n: p.detach().clone() for n, p in model.named_parameters()}]
    for step, batch in enumerate(rows, start=1):
        done = step - 1
        factor = done / warmup if done < warmup else (steps - done) / (steps - warmup)
        total, count = 0.0, 0
        for i in batch:
            ids = torch.tensor([examples[i].ids])
            start = examples[i].prompt_length
            logp = model(input_ids=ids).logits[0].log_softmax(-1)
            total = total - sum(logp[t - 1, ids[0, t]] for t in range(start, ids.shape[1]))
            count += ids.shape[1] - start
        model.zero_grad()
        (total / count).backward()
        found = dict(model.named_parameters())
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in found.values()))
        clip = min(1, settings.max_grad_norm / (norm + 1e-6))
        with torch.no_grad():
            for name, p in found.items():
                m, v = moments[name]
                m.mul_(0.9).add_(0.1 * clip * p.grad)
                v.mul_(0.999).add_(0.001 * (clip * p.grad) ** 2)
                scale = (v / (1 - 0.999**step)).sqrt() + 1e-8
                p -= factor * settings.learning_rate * m / (1 - 0.9**step) / scale
        weights.append({n: p.detach().clone() for n, p in found.items()})
    return weights


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_a_model_relearns_as_by_hand_and_is_looked_at_after_every_epoch(
    tiny_model, random_examples, seed
):
    start, examples = tiny_model(), random_examples(5)
    expected = by_hand(copy.deepcopy(start), examples, SETTINGS, seed)
    seen = {}

    def look(model, epoch):
        assert not model.training
        seen[epoch] = weights_of(model)

    model = copy.deepcopy(start)
    outcome = relearn(model, examples, SETTINGS, seed, "test", look)
    assert outcome.diverged is None and len(outcome.rows) == 7 == len(expected) - 1
    # 5 rows in batches of 2: epochs end with updates 2, 5 and 7.
    assert list(seen) == [0, 1, 2, 3]
    for epoch, update in enumerate((0, 2, 5, 7)):
        for name, weight in seen[epoch].items():
            # Where a gradient is next to zero, Adam makes an update of its rounding.
            torch.testing.assert_close(weight, expected[update][name], rtol=1e-8, atol=1e-9)
    rates = [row["learning_rate"] / SETTINGS.learning_rate for row in outcome.rows]
    assert rates == pytest.approx([0, 1 / 2, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5])


def test_a_model_relearns_by_new_adapters_where_cells_are_trained_by_them(
    tiny_model, random_examples, seed
):
    model, seen = tiny_model(), {}
    before = weights_of(model)
    lora = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "targets": ["q_proj", "fc1"]}
    settings = dataclasses.replace(SETTINGS, lora=lora)
    examples = random_examples(5)
    ids = torch.tensor([examples[0].ids])
    with torch.no_grad():
        start = model.eval()(input_ids=ids).logits

    def look(model, epoch):
        with torch.no_grad():
            seen[epoch] = model(input_ids=ids).logits

    relearn(model, examples, settings, seed, "test", look)
    torch.testing.assert_close(seen[0], start, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(seen[3], start, rtol=1e-3)
    after = {n.replace(".base_layer", ""): p for n, p in weights_of(model).items()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert sum("lora_" in name for name in after) == 2 * 2 * 3


def test_two_models_see_the_same_rows_in_the_same_order(tiny_model, random_examples, monkeypatch):
    from geffect.training import fit

    examples, seen, real = random_examples(4), [], fit.train

    def noted(model, losses, visits, settings, *others, **given):
        steps = range(1, settings.steps(4) + 1)
        seen.append([list(visits["risk"](step)) for step in steps])
        return real(model, losses, visits, settings, *others, **given)

    monkeypatch.setattr(fit, "train", noted)
    for model, own in ((tiny_model(), 7), (tiny_model(), 7), (tiny_model(), 8)):
        relearn(model, examples, SETTINGS, own, "test", lambda *_: None)
    assert seen[0] == seen[1] != seen[2]


def test_a_run_that_diverges_ends_and_is_not_looked_at_any_more(tiny_model, random_examples):
    seen = []
    wild = dataclasses.replace(SETTINGS, learning_rate=1e300, warmup_epochs=0)
    outcome = relearn(
        tiny_model(), random_examples(4), wild, 1, "test", lambda _, epoch: seen.append(epoch)
    )
    assert outcome.diverged is not None and outcome.diverged[0] < 6
    assert seen == list(range(len(seen))) and len(seen) < 4
