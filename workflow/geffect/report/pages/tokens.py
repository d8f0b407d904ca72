"""The token page of one (model, split): every answer's tokens, coloured by what they do.

Cells are read one after another, so that a large run needs the memory of one cell at a time.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from geffect.names import CELL, TOTAL
from geffect.report.pages import render

ANSWER = "answer"
VALUES = ("e_retain", "e_unlearn", "logp", "weight", "entropy", "logp_runner_up")
MEGABYTE = 1_000_000
# base64 of a two-byte number; what text, quotes and keys of a token and a sample take; a number of
# a sample, and the text of a runner-up.
NUMBER, TOKEN, SAMPLE, SUM, TEXT = 8 / 3, 24, 400, 11, 20
FRAME = 50_000  # the page without data
RUNNER_UP = "runner_up"
KINDS = ("worst", "worst", "best", "random")


@dataclass(frozen=True)
class CellTables:
    """One cell, and how to read its tables.

    Attributes:
        key: the keys CELL of the cell.
        diverged: whether its run ended before its last step.
        tokens, instances: read `tokens.parquet` and `instances.parquet`; None where the run has
            none.
    """

    key: Mapping[str, Any]
    diverged: bool
    tokens: Callable[[], pd.DataFrame] | None
    instances: Callable[[], pd.DataFrame] | None

    @property
    def name(self) -> str:
        """What the page calls the cell."""
        return f"{self.key['objective']} + {self.key['regularizer']}, seed {self.key['seed']}"


@dataclass(frozen=True)
class Kept:
    """The samples that a page holds.

    Attributes:
        samples: their numbers, in order.
        of: how many there are altogether.
        chosen: worst, best, random -> how many were kept for that reason; empty where all are.
    """

    samples: list[int]
    of: int
    chosen: dict[str, int]


def pieces(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text of every token, so that they add up to the text of all of them.

    A character that several tokens make up stands at the last of them.
    """
    texts, before = [], ""
    for end in range(1, len(ids) + 1):
        text = decode(list(ids[:end]))
        whole = text.rstrip("\N{REPLACEMENT CHARACTER}") if end < len(ids) else text
        texts.append(whole[len(before) :] if whole.startswith(before) else "")
        before = whole if whole.startswith(before) else before
    return texts


def of_answer(texts: Sequence[str], answer: str) -> list[int] | None:
    """The first token of the answer and the one after its last; None where they cannot be told.

    What stands before is of the prompt's template ("Answer: "), what stands after ends the text.

    Args:
        texts: of all labels of a sample, the end of the text last.
        answer: as in the data.
    """
    whole, plain = "".join(texts[:-1]).rstrip(), answer.strip()
    if not plain or not whole.endswith(plain):
        return None
    start = len(whole) - len(plain)
    ends = np.cumsum([len(text) for text in texts])
    return [int(np.searchsorted(ends, start, side="right")), len(texts) - 1]


def keep(
    lengths: Mapping[int, int],
    damage: pd.Series,
    numbers: int,
    limit: float,
    seed: int,
    sums: int = 0,
) -> Kept:
    """Which samples a page of a given size holds.

    Where not all fit: of every four, two of those that damage retention most, one of those that
    damage it least, and a random one, until the page is full.

    Args:
        lengths: sample -> tokens of its answer.
        damage: sample -> mean rank of its e_retain over cells and steps; the lowest is the worst.
        numbers: how many numbers the page holds for every token.
        limit: bytes for all samples.
        seed: of the random ones.
        sums: how many numbers the page holds for every sample.
    """

    def size(sample: int) -> float:
        return SAMPLE + sums * SUM + lengths[sample] * (TOKEN + numbers * NUMBER)

    samples = sorted(lengths)
    if sum(map(size, samples)) <= limit:
        return Kept(samples, len(samples), {})
    ranked = damage.reindex(samples).sort_values(kind="stable").index.tolist()
    drawn = np.random.default_rng(seed).permutation(samples).tolist()
    queues = {"worst": iter(ranked), "best": reversed(ranked), "random": iter(drawn)}
    chosen: dict[int, str] = {}
    used = 0.0
    for kind in itertools.cycle(KINDS):
        sample = next(s for s in queues[kind] if s not in chosen)
        used += size(sample)
        if chosen and (used > limit or len(chosen) == len(samples)):
            break
        chosen[sample] = kind
        if len(chosen) == len(samples):
            break
    counts = {kind: list(chosen.values()).count(kind) for kind in dict.fromkeys(KINDS)}
    return Kept(sorted(chosen), len(samples), counts)


def halves(values: np.ndarray) -> dict[str, Any]:
    """Numbers [steps, n] as base64 of half-precision floats, and the scale of every step.

    Three significant digits; numbers below 6e-8 of the greatest of their step become 0.
    """
    finite = np.where(np.isfinite(values), np.abs(values), 0)
    scales = finite.max(axis=1, initial=0)
    scales[scales == 0] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values / scales[:, None]).astype("<f2")
    return {"scale": scales.tolist(), "data": base64.b64encode(scaled.tobytes()).decode()}


def page(
    where: str,
    rows: pd.DataFrame,
    cells: Sequence[CellTables],
    decode: Callable[[list[int]], str] | None,
    limit_mb: float,
    seed: int,
) -> str:
    """The page as HTML.

    Args:
        where: model and split, for the title.
        rows: D_u (`data/{split}.parquet`): `row`, `question`, `answer`, in the order of `sample`.
        cells: of the (model, split).
        decode: the tokenizer's; None where there are no tokens.
        limit_mb: how large the page may become, in megabytes.
        seed: of the samples that are kept at random.
    """
    measured = [cell for cell in cells if cell.tokens is not None]
    lengths, ranks, numbers, sums, others = _survey(measured)
    room = limit_mb * MEGABYTE - FRAME - TEXT * len(others)
    kept = keep(lengths, ranks, numbers, room, seed, sums)
    ids: dict[int, list[int]] = {}
    entries = [_entry(cell, kept.samples, ids, others) for cell in measured]
    samples = []
    for sample in kept.samples:
        assert decode is not None, "there are samples, so there are tokens"
        texts = pieces(ids[sample], decode)
        samples.append(
            {
                "sample": sample,
                "row": int(rows["row"].iloc[sample]),
                "question": str(rows["question"].iloc[sample]),
                "tokens": texts,
                "answer": of_answer(texts, str(rows["answer"].iloc[sample])),
            }
        )
    return render(
        "tokens.html",
        title=f"Tokens: {where}",
        where=where,
        data={
            "samples": samples,
            "cells": entries,
            "others": [decode([other]) for other in others] if decode is not None else [],
        },
        kept=kept,
        limit_mb=limit_mb,
        seed=seed,
        diverged=[cell.name for cell in cells if cell.diverged],
        without=[cell.name for cell in cells if cell.tokens is None],
    )


def most_damaging(
    cells: Iterable[CellTables], decode: Callable[[list[int]], str], number: int = 10
) -> pd.DataFrame:
    """The token texts through which every cell damages retention most, over all its samples.

    Returns:
        CELL, `text`, `times` (occurrences in D_u), `share` (of the sum of all negative weight ×
        e_retain at a measured step, the mean over the steps), `first_step` and `last_step` (of
        these), `number` rows a cell, by share. Cells without tokens have none, nor have those
        whose objective gives tokens no weight: their e_retain is not what the objective does.
    """
    columns = [*CELL, "text", "times", "share", "first_step", "last_step"]
    found = []
    for cell in cells:
        if cell.tokens is None:
            continue
        tokens = _answers(cell)
        if "weight" not in tokens:
            continue
        damage = -(tokens["e_retain"] * tokens["weight"]).clip(upper=0)
        shares = damage / damage.groupby(tokens["step"]).transform("sum")
        steps = tokens["step"].nunique()
        of = shares.groupby(tokens["id"])
        table = pd.DataFrame({"times": of.size() // steps, "share": of.sum() / steps})
        table = table[table["share"] > 0].nlargest(number, "share").reset_index()
        texts = [decode([token]) for token in table["id"]]
        key = {name: cell.key[name] for name in CELL}
        first, last = (int(getattr(tokens["step"], end)()) for end in ("min", "max"))
        table = table.assign(**key, text=texts, first_step=first, last_step=last)
        found.append(table[columns])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def _survey(
    cells: Iterable[CellTables],
) -> tuple[dict[int, int], pd.Series, int, int, list[int]]:
    """The length of every sample, the mean rank of its e_retain, the numbers of a token and of a
    sample, and the ids of all runners-up.
    """
    lengths: dict[int, int] = {}
    others: set[int] = set()
    ranks, numbers, of_samples, places = [], 0, 0, 0
    for cell in cells:
        tokens = _answers(cell)
        steps = tokens["step"].nunique()
        if RUNNER_UP in tokens:
            others |= set(tokens[RUNNER_UP].unique().tolist())
            places += steps
        numbers += steps * len([name for name in VALUES if name in tokens])
        of_samples += 3 * steps
        first = tokens[tokens["step"].eq(tokens["step"].min())]
        numbers += 1  # the reference
        lengths |= first.groupby("sample").size().to_dict()
        sums = tokens.groupby(["step", "sample"])["e_retain"].sum().unstack("sample")
        ranks.append(sums.rank(axis=1))
    mean = pd.concat(ranks).mean() if ranks else pd.Series(dtype="float64")
    numbers += places * _bytes(others) // 2
    return lengths, mean, numbers, of_samples, sorted(others)


def _bytes(others: Collection[int]) -> int:
    """What the place of a runner-up among all of them takes."""
    return 2 if len(others) <= 1 << 16 else 4


def _answers(cell: CellTables) -> pd.DataFrame:
    assert cell.tokens is not None
    tokens = cell.tokens()
    return tokens[tokens["text"].eq(ANSWER)]


def _entry(
    cell: CellTables, samples: Sequence[int], ids: dict[int, list[int]], others: Sequence[int]
) -> dict[str, Any]:
    """A cell's numbers: tokens of all kept samples one after another, and sums by sample; of
    runners-up their place among `others`, as base64 of `_bytes`.
    """
    tokens = _answers(cell)
    tokens = tokens[tokens["sample"].isin(samples)].sort_values(["step", "sample", "token"])
    steps = sorted(int(step) for step in tokens["step"].unique())
    first = tokens[tokens["step"].eq(steps[0])] if steps else tokens
    for sample, of in first.groupby("sample"):
        ids.setdefault(int(sample), of["id"].tolist())
    names = [name for name in VALUES if name in tokens]
    values = {name: tokens[name].to_numpy().reshape(len(steps), -1) for name in names}
    reference = first["logp_ref"].to_numpy()[None]
    runners_up = None
    if RUNNER_UP in tokens:
        places = np.searchsorted(others, tokens[RUNNER_UP].to_numpy()).astype(f"<u{_bytes(others)}")
        runners_up = base64.b64encode(places.tobytes()).decode()
    return {
        "name": cell.name,
        **{name: cell.key[name] for name in ("objective", "regularizer", "seed")},
        "diverged": cell.diverged,
        "steps": steps,
        "values": {name: halves(of) for name, of in values.items()},
        "reference": halves(reference),
        "runners_up": runners_up,
        "samples": _by_sample(cell, tokens, samples, steps),
    }


def _by_sample(
    cell: CellTables, tokens: pd.DataFrame, samples: Sequence[int], steps: Sequence[int]
) -> dict[str, Any]:
    """Effects and weights of whole samples: measured, or else added up from their tokens."""
    if cell.instances is not None:
        rows = cell.instances()
        rows = rows[rows["component"].eq(TOTAL)]
        names = [name for name in ("e_retain", "e_unlearn", "weight") if name in rows]
        table = rows.set_index(["step", "sample"])[names]
    else:
        table = tokens.groupby(["step", "sample"])[["e_retain", "e_unlearn"]].sum()
    index = pd.MultiIndex.from_product([steps, samples])
    table = table.reindex(index)
    return {
        name: [
            [_short(value) for value in row]
            for row in column.to_numpy().reshape(len(steps), len(samples))
        ]
        for name, column in table.items()
    }


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
