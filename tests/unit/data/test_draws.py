"""What is drawn: orders of rows and pairs, each from a generator of its own."""

import itertools

import numpy as np

from geffect.data.draws import division, generator, order, pairing


def test_a_generator_is_that_of_its_seed_and_purpose(seed):
    def drawn(*key):
        return tuple(generator(*key).integers(2**31, size=8))

    keys = [(seed, "a"), (seed, "b"), (seed + 1, "a"), (seed + 1, "b")]
    assert len({drawn(*key) for key in keys}) == len(keys)
    assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]


def test_batches_of_a_bucket_come_in_a_random_order(seed, rng):
    rows, batch, bucket = 24, 3, 8
    lengths = rng.permutation(rows)
    batches = order(rows, 10 * bucket, batch, np.random.default_rng(seed), lengths, bucket)
    longest = lengths[batches].max(axis=1).reshape(10, bucket)
    ascending = [all(a < b for a, b in itertools.pairwise(run)) for run in longest]
    assert sum(ascending) < 3


def test_every_epoch_has_an_order_of_its_own(seed):
    epochs = order(30, 4, 30, np.random.default_rng(seed))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert not any((epoch == np.arange(30)).all() for epoch in epochs)


def test_an_epoch_more_begins_only_where_rows_are_needed(seed):
    rng, same = (np.random.default_rng(seed) for _ in range(2))
    assert (order(6, 2, 3, rng).ravel() == same.permutation(6)).all()
    assert rng.random() == same.random(), "as many draws as there are epochs"


def test_partners_are_drawn_from_all_of_a_pool_and_may_repeat(seed):
    drawn = pairing(5, (200, 3), np.random.default_rng(seed))
    assert drawn.shape == (200, 3)
    assert set(drawn.ravel()) == set(range(5))
    assert any(len(set(row)) < 3 for row in drawn)


def test_a_division_has_every_row_once_and_follows_its_generator(rng, seed):
    rows = int(rng.integers(2, 40))
    chosen = int(rng.integers(1, rows))
    drawn, others = division(rows, chosen, generator(seed, "relearned rows"))
    assert len(drawn) == chosen and sorted([*drawn, *others]) == list(range(rows))
    assert drawn == sorted(drawn) and others == sorted(others)
    assert (drawn, others) == division(rows, chosen, generator(seed, "relearned rows"))
    many = {tuple(division(40, 8, generator(s, "relearned rows"))[0]) for s in range(10)}
    assert len(many) == 10
