import random
import secrets

import pytest

from geffect.evaluation.metrics.rouge import rouge_l_recall

WORDS = ["cat", "dog", "sun", "sea", "red", "old"]


def longest_common_subsequence(a, b):
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common_subsequence(a[1:], b[1:])
    return max(longest_common_subsequence(a[1:], b), longest_common_subsequence(a, b[1:]))


@pytest.mark.parametrize(
    ("generated", "reference", "recall"),
    [
        ("the cat sat on the mat", "the cat sat", 1.0),
        ("the cat", "the cat sat down", 0.5),
        ("sat cat", "cat sat", 0.5),
        ("nothing shared", "the cat sat", 0.0),
        ("", "the cat sat", 0.0),
        ("The CAT, sat!", "the cat sat", 1.0),
    ],
)
def test_by_hand(generated, reference, recall):
    assert rouge_l_recall(generated, reference) == recall


def test_it_is_recall_and_not_precision():
    assert rouge_l_recall("cat and many more words", "cat") == 1
    assert rouge_l_recall("cat", "cat and many more words") == 1 / 5


def test_stems_words():
    assert rouge_l_recall("he was writing novels", "he was writes novel") == 1


def test_agrees_with_brute_force():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(30):
        generated = rng.choices(WORDS, k=rng.randint(0, 7))
        reference = rng.choices(WORDS, k=rng.randint(1, 7))
        expected = longest_common_subsequence(generated, reference) / len(reference)
        assert rouge_l_recall(" ".join(generated), " ".join(reference)) == expected


@pytest.mark.parametrize("reference", ["", " ?! ", "東京"])
def test_reference_without_words_has_no_recall(reference):
    with pytest.raises(ValueError, match="has no word"):
        rouge_l_recall("anything", reference)
