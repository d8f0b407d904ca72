"""Peak memory of the jobs of a model, by what holds it.

Weights, gradients, moments of the optimiser, and shares of the displacement are float32: 4 bytes a
parameter each, whatever the precision. With adapters all but the weights are those of the adapters,
and θ_o takes nothing. A job's peak is the greatest of a few moments, which are
those at which most is held; what each of them holds is added up here. The parts are named after the
code that holds them: `training.loop`, `training.shares`, `effects.measurement`, and
`evaluation.passes`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geffect.cost.shapes import Shape

FULL = 4
"""Bytes of a number in float32."""
HALF = 2

Parts = Mapping[str, float]
"""What holds memory -> bytes."""

# Numbers per position and entry of the vocabulary at the start of a backward pass: logits (rounded
# ones beside them), their log-softmax, and the gradients of both; more of KL, and three along each
# direction of a forward-mode pass. Until then there are no gradients.
_LOGITS, _GRADIENTS = {"float32": 4.0, "bf16": 4.5}, 2.0
_LOGITS_KL, _LOGITS_ALONG = 8.0, 3.0
_AGAIN = 1.3
"""A block that is computed again and the gradients of what it keeps, as a multiple of that."""
_PASSING = 4
"""Copies of a parameter that are made to predict a change of risk: of weights and gradients."""


@dataclass(frozen=True)
class Batch:
    """What a pass runs over at once.

    Attributes:
        rows: number of rows.
        width: tokens of the longest.
        labels: positions of each whose logits are computed.
    """

    rows: int
    width: float
    labels: float


@dataclass(frozen=True)
class Losses:
    """What of a run's losses takes memory.

    Attributes:
        regularizer: whether there is one.
        original: whether a loss needs θ_o itself, which then stays (`Loss.keeps_original`).
        kl: whether a loss needs θ_o's logits.
        decay: whether there is weight decay.
        watched: whether a measurement asks which term moved the weights (unlearning).
        offload: what rests in the machine's memory (`models.offload`).
    """

    regularizer: bool = False
    original: bool = False
    kl: bool = False
    decay: bool = False
    watched: bool = True
    offload: frozenset[str] = frozenset()

    @property
    def shares(self) -> int:
        """Shares of the displacement that are kept on the card."""
        asked = self.watched and "shares" not in self.offload
        return (self.regularizer + self.decay) if asked else 0


def fetched_by_update(shape: Shape, losses: Losses) -> float:
    """Bytes that an update moves to or from the machine's memory.

    Moments go both ways. For the regularizer's share both gradients go away and come back, one of
    them twice; its moment comes twice, its share once, and both go away. Weight decay's goes once
    each way.
    """
    times = 4.0 if "optimizer" in losses.offload else 0.0
    if losses.watched and "shares" in losses.offload:
        times += 10 * losses.regularizer + 2 * losses.decay
    return times * FULL * shape.trained


def fetched_by_measurement(shape: Shape, precision: str, losses: Losses, probes: int) -> float:
    """Bytes that a measured step moves to or from the machine's memory.

    The gradients of both risks go away, and come back for the change of risk, their norms, each
    term's products, and the tables; the old ones and the old weights come once, and the weights go.
    With a regularizer the objective's gradient goes and comes, with those of the risks once more.
    θ_o is away while the tables are made.
    """
    if "measurement" not in losses.offload:
        return 0
    terms = 1 + losses.regularizer + probes
    aside = 2 * losses.original * original(shape, precision)
    return (12 + 2 * terms + 4 * losses.regularizer) * FULL * shape.measured + aside


def parked(
    shape: Shape, losses: Losses, trains: bool, measures: bool, simpson: bool = False
) -> float:
    """Bytes that rest in the machine's memory when most do (`models.offload`).

    Those of a training are of what is trained, gradients of risks of what is measured.

    Args:
        trains, measures: whether the job updates weights, and whether it measures.
    """
    trained, risks = FULL * shape.trained, 2 * FULL * shape.measured
    held = 2.0 * ("optimizer" in losses.offload and trains)
    aside = 0.0
    if losses.watched and "shares" in losses.offload:
        held += 2 * losses.regularizer + losses.decay
        aside = 2 * losses.regularizer  # the gradients of both losses, before an update
    before = now = 0.0
    if "measurement" in losses.offload and measures:
        before = trained + risks  # weights, and gradients of both risks
        # The gradients at this step come before those of the last one go; half-way as well, and
        # there the weights, unless it is adapters that are put half-way (`adapters.half_way`).
        now = before + risks + simpson * (risks + trained * (not shape.merged))
    return trained * held + max(trains * (trained * aside + before), now)


def total(parts: Parts) -> float:
    """All bytes."""
    return sum(parts.values())


def peak(moments: Mapping[str, Parts], size: Callable[[Parts], float] = total) -> tuple[str, Parts]:
    """The moment at which most is held, by some size, and what is."""
    return max(moments.items(), key=lambda item: size(item[1]))


def activations(
    shape: Shape, precision: str, batch: Batch, checkpointing: bool = False, kl: bool = False
) -> dict[str, float]:
    """What a forward pass leaves for its backward pass."""
    tokens = batch.rows * batch.width
    block, logits = tokens * shape.kept(precision), _logits(shape, batch)
    passing = logits * (_LOGITS_KL if kl else _LOGITS[precision])
    if checkpointing:
        # Where a block is computed again, what the logits needed is gone, but for themselves; its
        # backward pass comes on top.
        inputs = tokens * shape.layers * FULL * shape.hidden
        found = {"activations": inputs + max(_AGAIN * block + logits, passing)}
    else:
        found = {"activations": shape.layers * block + passing}
    if precision == "bf16":
        blocks = shape.matrices - shape.embedding
        held = blocks / shape.layers if checkpointing else blocks
        found["rounded weights"] = HALF * (held + shape.embedding)
    return found


def _of_a_loss(
    shape: Shape,
    precision: str,
    batch: Batch,
    checkpointing: bool,
    losses: Losses,
    refusals: Batch | None,
) -> dict[str, float]:
    """What the forward passes of the loss that leaves most do for its backward pass."""
    found = activations(shape, precision, batch, checkpointing, losses.kl)
    if refusals is None:
        return found
    return max(found, _of_pairs(shape, precision, batch, refusals, checkpointing), key=total)


def _of_pairs(
    shape: Shape, precision: str, answers: Batch, refusals: Batch, checkpointing: bool
) -> dict[str, float]:
    """What the passes over answers and refusals leave for the one backward pass through both.

    Each has rounded weights of its own. The refusals, which came last, are gone through first, when
    the answers' logits have no gradients yet.
    """
    first, last = (
        activations(shape, precision, texts, checkpointing) for texts in (refusals, answers)
    )
    logits, beside = _logits(shape, answers), _logits(shape, refusals)
    kept = (_LOGITS[precision] - _GRADIENTS) * logits
    if checkpointing:
        inputs = answers.rows * answers.width * shape.layers * FULL * shape.hidden
        meet = max(first["activations"] + inputs + kept, last["activations"] + beside)
    else:
        meet = first["activations"] + last["activations"] - _GRADIENTS * logits
    rounded = {name: first[name] + last[name] for name in first if name != "activations"}
    return {"activations": meet, **rounded}


def _logits(shape: Shape, batch: Batch) -> float:
    return batch.rows * batch.labels * shape.vocabulary * FULL


def training(
    shape: Shape,
    precision: str,
    batch: Batch,
    losses: Losses,
    checkpointing: bool = False,
    micro_batches: int = 2,
    refusals: Batch | None = None,
) -> dict[str, Parts]:
    """The moments of a step of training: moment -> parts.

    Args:
        refusals: the refusals beside the answers of a batch, if a loss looks at them.
    """
    held = _held(shape, precision, losses)
    several = 1 + (losses.regularizer and "shares" not in losses.offload)
    one = FULL * shape.trained
    # From the second micro-batch on there are gradients to which others are added; the last one to
    # come is the embedding's.
    more = micro_batches > 1
    passing = FULL * min(shape.embedding, shape.trained) if more else 0
    kept = _of_a_loss(shape, precision, batch, checkpointing, losses, refusals)
    return {
        "the last pass begins": {**held, "gradients": (several - (not more)) * one, **kept},
        "the last pass ends": {**held, "gradients": several * one, "in passing": passing},
    }


def _held(shape: Shape, precision: str, losses: Losses) -> dict[str, float]:
    one = FULL * shape.trained
    moment = losses.regularizer and losses.shares > 0
    adapters = one if shape.rank else 0
    return {
        "weights": FULL * shape.parameters + adapters,
        "original model": original(shape, precision) * losses.original,
        "optimiser": 0 if "optimizer" in losses.offload else 2 * one,
        "shares": one * (losses.shares + moment),
    }


def original(shape: Shape, precision: str) -> float:
    """Bytes of a θ_o that stays (`models.compute.frozen`)."""
    rounded = shape.linear if precision == "bf16" else 0
    return FULL * (shape.parameters - rounded) + HALF * rounded


def measurement(
    shape: Shape,
    precision: str,
    batch: Batch,
    losses: Losses,
    in_run: bool = False,
    several_terms: bool = True,
    simpson: bool = False,
    tables: bool = True,
    directions: int = 2,
    checkpointing: bool = False,
    refusals: Batch | None = None,
) -> dict[str, Parts]:
    """The moments of a measured step after the first: moment -> parts.

    Args:
        several_terms: whether a regularizer or probe is measured besides the objective.
        tables: whether instances or tokens are measured.
        checkpointing: whether the passes that differentiate losses compute activations again.
        refusals: as of `training`.
    """
    one = FULL * shape.measured
    held = _held(shape, precision, losses)
    if not in_run:
        kept_beside = ("weights", "original model")
        shares = FULL * shape.trained * losses.shares
        held = {**{n: held[n] for n in kept_beside}, "shares": shares}
    parked = "measurement" in losses.offload
    kept = activations(shape, precision, batch, checkpointing, losses.kl)
    # Where everything is parked but the gradient that is being computed, tensors still pass by.
    here, position = (0, 0) if parked else (one, FULL * shape.trained)
    last = {"previous step": position, "directions": 2 * here}
    passing = FULL * shape.largest
    terms = one + several_terms * here
    moments: dict[str, Parts] = {
        "changes of risk": {
            **held,
            "previous step": position + 2 * here,
            "directions": 2 * here,
            "in passing": _PASSING * passing,
        },
        "gradients of risks begin": {
            **held,
            "previous step": position + 2 * here,
            "gradients": one + here,
            **kept,
        },
        "gradients of terms end": {**held, **last, "gradients": terms, "in passing": passing},
        "gradients of terms begin": {
            **held,
            **last,
            "gradients": terms,
            **_of_a_loss(shape, precision, batch, checkpointing, losses, refusals),
        },
    }
    if simpson:
        # Those that adapters are merged into are put half-way themselves (`adapters.half_way`).
        moments["half-way"] = {
            **moments["changes of risk"],
            "weights of this step": one + FULL * shape.trained if shape.merged else position,
            "gradients": one + here,
            **kept,
        }
    if tables:
        rounded = min(shape.linear, shape.measured) if parked and precision == "bf16" else 0
        last["directions"] = directions * (one - (FULL - HALF) * rounded)
        along = (1 + directions) * _LOGITS_ALONG * _logits(shape, batch)
        if parked:
            held["original model"] = 0
        moments["tokens"] = {
            **held,
            **last,
            "rounded weights": HALF * rounded,
            "activations": along,
        }
        moments["instances"] = {**held, **last, **activations(shape, precision, batch)}
    return moments


def scoring(shape: Shape, precision: str, batch: Batch, losses: Losses) -> dict[str, Parts]:
    """The moment at which texts are scored in the middle of a training: moment -> parts."""
    scored = _LOGITS[precision] * _logits(shape, batch)
    return {"texts are scored": {**_held(shape, precision, losses), "activations": scored}}


def evaluation(
    shape: Shape, precision: str, batch: Batch, length: int, gradient_norm: bool
) -> dict[str, Parts]:
    """The moments of an evaluation: moment -> parts.

    Args:
        length: tokens of a generation, prompt included.
    """
    one, size = FULL * shape.parameters, HALF if precision == "bf16" else FULL
    held: Parts = {"weights": one}
    moments: dict[str, Parts] = {
        "texts are scored": {**held, "activations": _LOGITS[precision] * _logits(shape, batch)},
        "answers are generated": {
            **held,
            "rounded weights": HALF * shape.matrices if precision == "bf16" else 0,
            "keys and values": batch.rows * length * shape.layers * 2 * shape.keys * size,
        },
    }
    if gradient_norm:
        row = Batch(1, batch.width, batch.labels)
        moments["gradients of rows begin"] = {**held, **activations(shape, precision, row)}
        moments["gradients of rows end"] = {**held, "gradients": one}
    return moments
