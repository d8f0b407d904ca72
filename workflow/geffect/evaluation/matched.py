"""The largest part of what a run did that leaves retention as good as it was.

Objectives at one learning rate stop at different depths of forgetting, so their end points do not
compare. On the straight line between the original and the unlearned model,

    θ(a) = a · θ_o + (1 - a) · θ_u,

the point with the smallest a is taken at which extraction strength on the held-out rows is at least
a share of the original model's own. All objectives then pay the same for what they forget.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect import files
from geffect.data.encoding import Encoder
from geffect.data.rows import read_rows
from geffect.errors import ModelError
from geffect.evaluation import summary
from geffect.evaluation.folder import check_moved, evaluate
from geffect.evaluation.samples import EvaluationSettings
from geffect.evaluation.teacher_forcing import read_answers, strengths
from geffect.models.folder import diverged, load_model
from geffect.names import EVALUATION_SETS, RETAIN

SCAN = 8
"""Points of the scan that comes before the bisection, in steps of 1/8 from a = 1 downwards."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """What `search` found.

    Attributes:
        a: the share of the original model; None where nothing was searched (a diverged run).
        target: the least strength that was asked for.
        trace: (a, strength) of every point that was tried, in the order of trying.
        note: what the trace shows against a single crossing, in a sentence; None if nothing.
    """

    a: float | None
    target: float | None
    trace: list[tuple[float, float]]
    note: str | None = None


def search(strength: Callable[[float], float], share: float, tolerance: float) -> Match:
    """The smallest a at which strength(a) >= share · strength(1), found by bisection.

    0 if it holds at a = 0. Otherwise the lower end of the interval up to a = 1 in which it holds
    without a break: strength need not be monotone in a, and what holds only beyond a dip does not
    count. A scan from 1 downwards, `SCAN` points apart at most, finds where the interval ends, and
    bisection where exactly: it holds at the returned a, and not at some point less than `tolerance`
    below. A strength that is not finite does not hold.

    Args:
        strength: of the point a in [0, 1].
        share: of strength(1) that has to remain, in (0, 1].
        tolerance: of a.

    Raises:
        ModelError: strength(1) is not finite.
    """
    trace: list[tuple[float, float]] = []

    def tried(a: float) -> float:
        trace.append((a, strength(a)))
        log.info("a = %.4f: ES %.4f", *trace[-1])
        return trace[-1][1]

    original = tried(1.0)
    if not np.isfinite(original):
        raise ModelError("the original model's ES is not finite; see its evaluation")
    target = share * original
    if tried(0.0) >= target:
        return Match(0.0, target, trace, _note(trace, target))
    low, high = 0.0, 1.0
    for k in range(SCAN - 1, 0, -1):
        if tried(k / SCAN) >= target:
            high = k / SCAN
        else:
            low = k / SCAN
            break
    while high - low > tolerance:
        middle = (low + high) / 2
        if tried(middle) >= target:
            high = middle
        else:
            low = middle
    return Match(high, target, trace, _note(trace, target))


def _note(trace: list[tuple[float, float]], target: float) -> str | None:
    """A sentence about the greatest fall of the strength on the way up to a = 1, if any."""
    if target <= 0:
        return "The original model's ES is 0: there is no retention that could be kept."
    points = sorted(point for point in trace if np.isfinite(point[1]))
    falls = [(p, q) for k, p in enumerate(points) for q in points[k + 1 :] if q[1] < p[1]]
    if not falls:
        return None
    (a, before), (b, after) = max(falls, key=lambda pair: pair[0][1] - pair[1][1])
    return (
        f"Not monotone: ES-exact on the held-out rows is {before:.4f} at a = {a:.4f}, but only "
        f"{after:.4f} at a = {b:.4f}."
    )


class Line:
    """The straight line between two models, walked by one of them.

    Parameters are interpolated in the dtype of the models; tied ones are one parameter, and
    buffers stay as they are. Memory: both sets of parameters, on the CPU, besides the model.

    Args:
        original: θ_o, on the CPU.
        model: θ_u, whose parameters `at` replaces.

    Raises:
        ModelError: the two do not have the same parameters.
    """

    def __init__(self, original: PreTrainedModel, model: PreTrainedModel):
        self.model = model
        self.start = {name: p.detach().cpu() for name, p in original.named_parameters()}
        self.end = {name: p.detach().cpu().clone() for name, p in model.named_parameters()}
        shapes = [{n: p.shape for n, p in side.items()} for side in (self.start, self.end)]
        if shapes[0] != shapes[1]:
            raise ModelError("the unlearned model's parameters are not those of the original model")

    @torch.no_grad()
    def at(self, a: float) -> PreTrainedModel:
        """The model at θ(a); at a = 1 and a = 0 bit for bit the original and the unlearned one."""
        for name, parameter in self.model.named_parameters():
            start, end = self.start[name], self.end[name]
            # Weights that the run did not move stay exactly as they are, which a · x + (1 - a) · x
            # would not leave them.
            between = {0.0: end, 1.0: start}.get(a)
            parameter.copy_(torch.lerp(end, start, a) if between is None else between)
        return self.model


@dataclass(frozen=True)
class Matched:
    """A match, the metrics at it (as `summary.metrics`), and the hashes of the weights between."""

    match: Match
    metrics: pd.DataFrame
    weights: dict[str, dict[str, str]]

    def record(self) -> dict[str, Any]:
        """What the record of a match holds: `a`, `target`, `trace`, `note`, and `weights`.

        A strength that is not finite is None.
        """
        trace = [
            {"a": a, "es_exact_retain": value if np.isfinite(value) else None}
            for a, value in self.match.trace
        ]
        return {**asdict(self.match), "trace": trace, "weights": self.weights}


def match_folders(
    original: str | Path,
    unlearned: str | Path,
    template: dict,
    data: Mapping[str, str | Path],
    settings: EvaluationSettings,
    share: float,
    tolerance: float,
    device: torch.device | str,
    metrics: pd.DataFrame,
    retain_log: pd.DataFrame | None = None,
    provenance: str | Path | None = None,
) -> Matched:
    """Searches between the models of two folders, and evaluates the point that was found.

    Args:
        original: the folder of θ_o.
        unlearned: the folder of θ_u, or the record of a diverged run, whose values are missing.
        template: arguments of `Template`.
        data: the file of each of `names.EVALUATION_SETS` (`holdout` may be left out).
        share, tolerance: as for `search`.
        metrics: those of θ_u, which are the result if a is 0.
        retain_log: as for `folder.evaluate`.
        provenance: the record of the unlearning run that left θ_u.

    Raises:
        DamagedError: the weights are not those that the run left.
        ModelError: the two models do not fit one another, or θ_o's strength is not finite.
        DataError: a row is not complete, or the retain model's log is of other rows.
    """
    weights = {
        "original": files.hash_folder(original),
        "unlearned": files.hash_folder(unlearned),
    }
    if diverged(unlearned):
        log.warning("the run diverged: there is nothing to match")
        return Matched(Match(None, None, []), summary.missing()[1], weights)
    if provenance is not None:
        check_moved(weights["unlearned"], files.read_json(provenance)["weights"], unlearned)
    encoder = Encoder.of(original, template)
    rows = {name: read_rows(data[name]) for name in EVALUATION_SETS if name in data}
    held_out = encoder.rows(rows[RETAIN][: settings.max_rows], "held-out rows")
    line = Line(load_model(original), load_model(unlearned, device))

    def strength(a: float) -> float:
        answers = read_answers(line.at(a), held_out, settings.micro_batch_size)
        return float(np.mean(strengths(answers)))

    match = search(strength, share, tolerance)
    assert match.a is not None
    log.info("a = %.4f: the largest change that keeps ES at %.4f", match.a, match.target)
    if match.note:
        log.warning(match.note)
    if match.a > 0:
        metrics = evaluate(line.at(match.a), encoder, rows, settings, retain_log).metrics
    return Matched(match, metrics, weights)
