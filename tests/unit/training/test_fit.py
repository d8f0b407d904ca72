"""Base training and fine-tuning: what they hand to the loop."""

import copy
import dataclasses
from collections import Counter

import pytest
import torch
from settings import PAPER

from geffect.data.encoding import Example
from geffect.training import fit as module
from geffect.training.fit import fit
from geffect.training.loop import train
from geffect.training.resume import Resume

SETTINGS = dataclasses.replace(PAPER, epochs=4, batch_size=3, micro_batch_size=3)


@pytest.fixture
def handed(monkeypatch):
    """What `fit` hands to the loop, which runs on it."""
    found = {}

    def noted(model, losses, visits, settings, rows, what, **given):
        steps = range(1, settings.steps(rows) + 1)
        batches = {name: [list(visit(step)) for step in steps] for name, visit in visits.items()}
        found.update(given, batches=batches, rows=rows, settings=settings)
        return train(model, losses, visits, settings, rows, what, **given)

    monkeypatch.setattr(module, "train", noted)
    return found


def padding(batches):
    return sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches)


def test_rows_are_visited_as_seed_and_length_buckets_say(tiny_model, rng, seed, handed):
    lengths = rng.permutation(12) + 2
    examples = [Example(tuple(rng.integers(61, size=int(n)).tolist()), 1) for n in lengths]
    batches = {}
    for bucket in (0, 4):
        settings = dataclasses.replace(SETTINGS, length_bucket=bucket)
        for own in (seed, seed + 1):
            fit(tiny_model(), examples, settings, own, "test")
            assert handed["rows"] == 12 and handed["settings"] is settings
            assert handed["seed"] == own
            batches[bucket, own] = handed["batches"]["risk"]
            seen = [example for batch in batches[bucket, own] for example in batch]
            assert Counter(seen) == Counter(examples * 4)
    assert padding(batches[4, seed]) < padding(batches[0, seed])
    assert batches[0, seed] != batches[0, seed + 1]


def test_dropout_follows_the_seed_of_the_run(tiny_model, random_examples, monkeypatch):
    start, examples = tiny_model(), random_examples(3)
    for layer in start.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.5
    # The same batches for every seed, so that only dropout differs.
    monkeypatch.setattr(module, "order", lambda rows, steps, *_: [range(rows)] * steps)

    def loss(seed):
        return fit(copy.deepcopy(start), examples, SETTINGS, seed, "test")["loss"].tolist()

    torch.manual_seed(5)
    one = loss(1)
    torch.manual_seed(6)
    assert loss(1) == one != loss(2)


def test_a_run_leaves_its_state_where_it_is_told(tiny_model, random_examples, tmp_path):
    resume = Resume(tmp_path / "work", "same", 2)
    log = fit(tiny_model(dtype=torch.float32), random_examples(3), SETTINGS, 1, "test", resume)
    assert len(log) == 4
    assert resume.load().step == 2
