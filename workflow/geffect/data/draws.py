"""Random draws, each from a generator of its own: orders of rows, and pairs."""

import hashlib
from collections.abc import Sequence

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator of its own for every (seed, purpose)."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def order(
    rows: int,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    lengths: Sequence[int] | None = None,
    bucket: int = 0,
) -> np.ndarray:
    """Row indices [steps, batch]: shuffled epochs one after another; a batch may span two of them.

    With `bucket` > 0, each run of `bucket` batches is sorted by length (of every row: `lengths`)
    and its batches are shuffled, which wastes less padding.
    """
    needed = steps * batch
    epochs = -(-needed // rows)
    stream = np.concatenate([rng.permutation(rows) for _ in range(epochs)])[:needed]
    if not bucket:
        return stream.reshape(steps, batch)
    sizes = np.asarray(lengths)
    chunks = []
    for start in range(0, needed, bucket * batch):
        chunk = stream[start : start + bucket * batch]
        chunk = chunk[np.argsort(sizes[chunk], kind="stable")].reshape(-1, batch)
        chunks.append(rng.permutation(chunk, axis=0))
    return np.concatenate(chunks)


def division(rows: int, chosen: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """The numbers of `chosen` rows drawn without replacement, and of all others; each in order."""
    drawn = {int(number) for number in rng.choice(rows, size=chosen, replace=False)}
    return sorted(drawn), [number for number in range(rows) if number not in drawn]


def pairing(pool: int, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Random indices into a pool, one per forget sample: [steps, batch]."""
    return rng.integers(pool, size=shape)
