"""Losses as somebody else names or computes them: a text, a `Loss`, or any function of a model."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from torch import Tensor
from transformers import PreTrainedModel

from geffect.data.batches import IGNORED, Batch
from geffect.errors import LossError
from geffect.losses.loss import Loss
from geffect.losses.registry import REDUCTIONS
from geffect.losses.view import View, next_tokens
from geffect.models.compute import autocast, input_device
from geffect.names import REGULARIZER

Function = Callable[[PreTrainedModel, Mapping[str, Tensor]], Tensor]
"""(model, batch) -> the loss's mean over the batch, a differentiable scalar.

A batch is what the model takes: `input_ids`, `attention_mask` and `labels` (-100 where there is
none), each [B, T], right-padded.
"""


@dataclass(frozen=True)
class _Seen(View):
    """What is left to see of a batch of which only the mean is known."""

    mean: Tensor | None = None


def _unknown(seen: View, **hyper: Any) -> Tensor:
    raise LossError("a function's mean is all that is known of it, not its values")


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A loss of which only means over batches are known, and how they pool."""

    function: Function | None = None

    def view(self, model: PreTrainedModel, batch: Batch) -> View:
        """The mean of a batch, in a view that has nothing else."""
        assert self.function is not None
        batch = batch.to(input_device(model))
        filled = batch.labels.new_ones(batch.labels.shape)
        # Padding follows the last label, and nothing before it can see it.
        last = (batch.labels != IGNORED).long().cumsum(dim=1)
        padding = (last == last[:, -1:]) & (batch.labels == IGNORED)
        fields = {
            "input_ids": batch.input_ids,
            "attention_mask": filled.masked_fill(padding, 0),
            "labels": batch.labels,
        }
        with autocast(batch.input_ids.device):
            mean = self.function(model, fields)
        if not isinstance(mean, Tensor) or mean.numel() != 1 or not mean.requires_grad:
            raise LossError(f"{self.name}: returns no differentiable scalar; return its mean")
        mask = next_tokens(batch) != IGNORED
        return _Seen(mask, mask.new_zeros(mask.shape, dtype=mean.dtype), mean=mean.squeeze())

    def count(self, batch: Batch) -> int:
        """How many of what the mean pools a batch has."""
        if self.reduction == "sample":
            return len(batch.input_ids)
        return int((next_tokens(batch) != IGNORED).sum())

    def total(self, seen: View) -> Tensor:
        """The mean of a batch times what it pools."""
        assert isinstance(seen, _Seen) and seen.mean is not None
        return seen.mean * (len(seen.mask) if self.reduction == "sample" else seen.mask.sum())


def function_loss(function: Function, reduction: str = "token", coefficient: float = 1.0) -> Loss:
    """A loss from a function (model, batch) -> mean, such as a trainer's own.

    Args:
        function: gets the model and a batch (`input_ids`, `attention_mask`, `labels`, each [B, T]),
            and returns its mean over the batch, a differentiable scalar.
        reduction: what the mean is over: the "token" with a label, or the "sample". Batches pool
            by it, so that their size changes nothing.
        coefficient: λ, of a regularizer.

    Raises:
        LossError: there is no such reduction.
    """
    if reduction not in REDUCTIONS:
        raise LossError(f"reduction {reduction!r} is unknown; use {' or '.join(REDUCTIONS)}")
    name = getattr(function, "__name__", type(function).__name__)
    return FunctionLoss(
        name, _unknown, reduction=reduction, coefficient=coefficient, function=function
    )


def given_loss(kind: str, given: str | Loss | Function) -> Loss:
    """A loss from what somebody gave for one: `NAME[:key=value,...]`, a `Loss`, a function.

    Args:
        kind: "objective" or "regularizer", whose keys are also `coefficient` and `positions`.
        given: the name is that of the package, or the path of a file.

    Raises:
        ConfigError: there is no such loss.
        LossError: hyper-parameters are not those that it declares, or not written key=value.
    """
    if isinstance(given, Loss):
        return given
    if not isinstance(given, str):
        return function_loss(given)
    name, _, settings = given.partition(":")
    hyper = dict(_setting(kind, given, text) for text in settings.split(",") if text)
    own = {}
    if kind == REGULARIZER:
        own = {key: hyper.pop(key) for key in ("coefficient", "positions") if key in hyper}
    coefficient = own.get("coefficient", 1.0)
    if not isinstance(coefficient, int | float) or not math.isfinite(coefficient):
        raise LossError(f"{kind} {given!r}: its coefficient is not a number; write coefficient=0.5")
    return Loss.load(kind, name, hyper, **own)


def _setting(kind: str, given: str, text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        found = None
    if found is None:
        raise LossError(f"{kind} {given!r}: {text!r} is not key=value; write NAME:key=value,...")
    # YAML takes 1e-3 for a text.
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return key, found
    return key, found
