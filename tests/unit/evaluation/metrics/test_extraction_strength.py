import secrets

import numpy as np
import pytest

from geffect.evaluation.metrics.extraction_strength import extraction_strength


def brute_force(predicted, target):
    for k in range(len(target) + 1):
        if all(predicted[i] == target[i] for i in range(k, len(target))):
            return 1 - k / len(target)


@pytest.mark.parametrize(
    ("predicted", "target", "strength"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),
        ([9, 2, 3, 4], [1, 2, 3, 4], 0.75),
        ([1, 9, 3, 4], [1, 2, 3, 4], 0.5),
        ([1, 2, 3, 9], [1, 2, 3, 4], 0.0),
        ([9, 9, 9, 9], [1, 2, 3, 4], 0.0),
        ([7], [7], 1.0),
        ([8], [7], 0.0),
    ],
)
def test_by_hand(predicted, target, strength):
    assert extraction_strength(predicted, target) == strength


def test_agrees_with_brute_force():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(300):
        length = rng.integers(1, 12)
        target = rng.integers(0, 3, length)
        predicted = np.where(rng.random(length) < rng.random(), target, rng.integers(0, 3, length))
        result = extraction_strength(predicted, target)
        assert result == brute_force(predicted.tolist(), target.tolist())
        assert 0 <= result <= 1


def test_lists_and_arrays_agree():
    predicted, target = [5, 2, 3], [1, 2, 3]
    assert extraction_strength(predicted, target) == extraction_strength(
        np.array(predicted), np.array(target, dtype=np.int32)
    )


def test_empty_answer_has_no_strength():
    with pytest.raises(ValueError, match="target is empty"):
        extraction_strength([], [])


@pytest.mark.parametrize(
    ("predicted", "target"),
    [([1, 2], [1, 2, 3]), ([1], [1, 2]), ([], [1]), ([[1, 2]], [[1, 2]]), (1, 1)],
)
def test_rejects_shapes(predicted, target):
    with pytest.raises(ValueError, match="predicted has shape"):
        extraction_strength(predicted, target)
