"""What the jobs of a grid do: FLOPs, bytes moved, and passes, counted from the configuration.

A forward pass takes two FLOPs per weight and token, its backward pass four, and two more where
activations are computed again. What attention adds is left out: rows are short. Which passes a
stage makes is counted as its code makes them.
"""

import math
from dataclasses import dataclass, replace

from geffect.cost.shapes import Shape

FORWARD, BACKWARD = 2, 4
# Bytes a parameter that move in: a step of AdamW with clipping, a regularizer's share of it, a
# rounding of all weights to bfloat16, a pair of gradients that are multiplied.
_ADAMW, _SHARE, _ROUNDING, _DOT = 44, 28, 6, 8


@dataclass(frozen=True)
class Work:
    """What a job does; works add up.

    Attributes:
        flops: of matrix products.
        traffic: bytes that move between a card and its memory besides those products' own.
        launches: blocks that passes go through one after another, each a few dozen kernels.
        disk: bytes that are written or read.
        host: bytes that move between a card and the machine's memory (`models.offload`).
    """

    flops: float = 0
    traffic: float = 0
    launches: float = 0
    disk: float = 0
    host: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.flops + other.flops,
            self.traffic + other.traffic,
            self.launches + other.launches,
            self.disk + other.disk,
            self.host + other.host,
        )

    def __mul__(self, times: float) -> "Work":
        return Work(
            self.flops * times,
            self.traffic * times,
            self.launches * times,
            self.disk * times,
            self.host * times,
        )


@dataclass(frozen=True)
class Passes:
    """Passes of a model over rows.

    Attributes:
        shape: of the model.
        precision: that it computes in.
        tokens: mean tokens of a row.
        padding: how many times as many are computed, for batches in any order.
        backward: FLOPs per weight and token of a backward pass; frozen weights take half.
        refusal: mean tokens of a question with a refusal in place of its answer.
    """

    shape: Shape
    precision: str
    tokens: float
    padding: float = 1.25
    backward: float = BACKWARD
    refusal: float = math.nan

    def over(self, rows: float, micro_batch: int, products: float, by_length: bool = False) -> Work:
        """Passes over some rows, `products` FLOPs per weight and token (`FORWARD` ...)."""
        tokens = rows * self.tokens * (1.05 if by_length else self.padding)
        batches = math.ceil(rows / micro_batch)
        half = self.precision == "bf16"
        rounded = batches * self.shape.matrices * _ROUNDING if half else 0
        return Work(
            flops=products * self.shape.matrices * tokens,
            traffic=rounded,
            launches=batches * self.shape.layers * products / FORWARD,
        )

    def generated(self, rows: float, micro_batch: int, length: float) -> Work:
        """Answers of `length` tokens: every token reads all weights."""
        batches = math.ceil(rows / micro_batch)
        size = 2 if self.precision == "bf16" else 4
        return Work(
            flops=FORWARD * self.shape.matrices * rows * (self.tokens + length),
            traffic=batches * length * self.shape.matrices * size,
            launches=batches * length * self.shape.layers,
        )

    @property
    def refused(self) -> "Passes":
        """The same passes over questions with refusals in place of their answers."""
        return replace(self, tokens=self.refusal)

    @property
    def bytes_of_model(self) -> float:
        """The weights, float32."""
        return 4 * self.shape.parameters


@dataclass(frozen=True)
class Term:
    """A loss as passes see it.

    Attributes:
        original: whether it needs a pass of θ_o in every step.
        reference: whether it needs θ_o's log-probabilities alone.
        pairs: whether it looks at a refusal beside every answer.
    """

    original: bool = False
    reference: bool = False
    pairs: bool = False


@dataclass(frozen=True)
class Unlearning:
    """A cell's run and what is measured of it, by numbers.

    Attributes:
        forget, retain: rows of D_u, and of the retain risk.
        steps, measured: updates, and measured steps.
        batch, micro_batch: rows of an update, and at once.
        objective, regularizer: the losses; regularizer None for `none`.
        probes: those that are only measured.
        recomputed: whether activations are computed again.
        selected: FLOPs per weight and token that choosing tokens takes.
        measured_at_once: rows at once of G-effects.
        instances, tokens, simpson: what is measured.
        refusals: whether tokens of refusals are measured too.
    """

    forget: int
    retain: int
    steps: int
    measured: int
    batch: int
    micro_batch: int
    objective: Term
    regularizer: Term | None = None
    probes: tuple[Term, ...] = ()
    recomputed: bool = False
    selected: float = 0
    measured_at_once: int = 8
    instances: bool = True
    tokens: bool = True
    simpson: bool = False
    refusals: bool = False


def trained(
    passes: Passes, steps: int, batch: int, micro_batch: int, recomputed: bool = False
) -> Work:
    """Steps of training on one loss."""
    products = FORWARD + passes.backward + (FORWARD if recomputed else 0)
    step = passes.over(batch, micro_batch, products)
    return (step + Work(traffic=_ADAMW * passes.shape.trained)) * steps


def unlearned(passes: Passes, run: Unlearning) -> Work:
    """The training of a cell."""
    whole = FORWARD + passes.backward + (FORWARD if run.recomputed else 0)

    def over(texts: Passes, products: float) -> Work:
        return texts.over(run.batch, run.micro_batch, products) * run.steps

    work = trained(passes, run.steps, run.batch, run.micro_batch, run.recomputed)
    if run.selected:
        work += over(passes, run.selected)
    if run.regularizer is not None:
        work += over(passes, whole) + Work(traffic=_SHARE * passes.shape.trained) * run.steps
    for term in (run.objective, run.regularizer):
        if term is not None and term.pairs:
            work += over(passes.refused, whole)
        if term is not None and (term.original or term.reference):
            work += over(passes, FORWARD)
            work += over(passes.refused, FORWARD) if term.pairs else Work()
    return work


def measured(passes: Passes, run: Unlearning) -> Work:
    """The G-effects of a cell at all measured steps."""
    backward = BACKWARD if passes.shape.merged else passes.backward
    whole = FORWARD + backward + (FORWARD if run.recomputed else 0)

    def over(rows: int, products: float, texts: Passes = passes) -> Work:
        return texts.over(rows, run.measured_at_once, products, by_length=True)

    def refused(term: Term, products: float) -> Work:
        return over(run.forget, products, passes.refused) if term.pairs else Work()

    risks = over(run.forget, whole) + over(run.retain, whole)
    step = risks
    if run.simpson:
        step += risks
    others = (*run.probes, *([] if run.regularizer is None else [run.regularizer]))
    for term in (run.objective, *others):
        for products in (whole, FORWARD) if term.original else (whole,):
            step += over(run.forget, products) + refused(term, products)
    if run.instances:
        step += over(run.forget, 8)
    if run.tokens:
        step += over(run.forget, 10)
        step += over(run.forget, 10, passes.refused) if run.refusals else Work()
    dots = 4 * (2 + len(others)) + 8
    step += Work(traffic=dots * _DOT * passes.shape.measured)
    return step * run.measured + over(run.forget, FORWARD) + refused(run.objective, FORWARD)


def evaluated(
    passes: Passes,
    forget: int,
    held_out: int,
    background: tuple[int, int],
    micro_batch: int,
    length: int,
    gradient_norm: bool,
) -> Work:
    """A full evaluation of a model.

    Args:
        background: rows of real authors and world facts, each with three wrong answers.
        length: tokens of a generation, prompt included.
    """
    texts = 8 * (forget + held_out) + 4 * sum(background) + forget
    work = passes.over(texts, micro_batch, FORWARD, by_length=True)
    asked = forget + held_out + sum(background)
    work += passes.generated(asked, micro_batch, max(1.0, length - passes.tokens / 3))
    if gradient_norm:
        work += passes.over(2 * forget, 1, FORWARD + BACKWARD)
        work += Work(traffic=2 * forget * 16 * passes.shape.parameters)
    return work


def matched(passes: Passes, evaluation: Work, held_out: int, points: int, micro_batch: int) -> Work:
    """A search at matched retention, and the evaluation of what it finds."""
    point = passes.over(held_out, micro_batch, FORWARD, by_length=True)
    point += Work(traffic=12 * passes.shape.parameters)
    return evaluation + point * points


def recalled(passes: Passes, forget: int, held_out: int, micro_batch: int) -> Work:
    """A look at what is known of some rows: answers, paraphrased ones, and five wrong ones each."""
    return passes.over(7 * (forget + held_out), micro_batch, FORWARD, by_length=True)
