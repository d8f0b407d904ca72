"""A loss: a pure function of what it sees of a batch, bound to everything that it depends on.

Training descends it and the engine differentiates it; neither knows its formula. The mean of a
loss pools all of a batch (training) or of a data set (G-effects): its values are summed over
micro-batches and divided by their global count, so how a batch is split changes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jsonschema
from torch import Tensor
from transformers import PreTrainedModel

from geffect.data.batches import Batch, collate
from geffect.data.encoding import Example
from geffect.errors import LossError
from geffect.losses import registry
from geffect.losses.registry import HIDDEN_NEEDS, ORIGINAL_NEEDS
from geffect.losses.view import View, view
from geffect.models.components import block_count
from geffect.models.compute import input_device
from geffect.names import OBJECTIVE, REGULARIZER

PADDED_LENGTH = 500
"""TOFU's max_length, to which the authors pad every batch (`positions: all`)."""


@dataclass(frozen=True)
class Loss:
    """A loss with its hyper-parameters and everything that it looks at besides the model.

    Attributes:
        name: its name in messages.
        values: (view, **hyper) -> values [B, T], or [B] under the reduction "sample".
        weights: (view, **hyper) -> the weights w of a gradient Σ w ∇log p, of the same shape; of
            pairs, two of them: for the labels of answers and of refusals, each [B] or [B, T]. With
            runners-up also two of them. None where the loss does not reweight log-likelihoods.
        hyper: the hyper-parameters.
        reduction: "token" pools values over label tokens, "sample" over samples.
        needs: what it needs besides log-probabilities (keys of `registry.NEEDS`).
        minimum: its lower bound, if one is declared.
        coefficient: λ, by which training and the term `combined` multiply it.
        positions: "labels", or "all" of the padded positions.
        original: the original model θ_o, if it needs that; no gradient flows into θ_o.
        control_vector: RMU's u [d].
    """

    name: str
    values: Callable[..., Tensor]
    weights: Callable[..., Tensor] | None = None
    hyper: Mapping[str, Any] = field(default_factory=dict)
    reduction: str = "token"
    needs: frozenset[str] = frozenset()
    minimum: float | None = None
    coefficient: float = 1.0
    positions: str = "labels"
    original: PreTrainedModel | None = None
    control_vector: Tensor | None = None

    @classmethod
    def load(
        cls,
        kind: str,
        name: str,
        hyper: Mapping[str, Any],
        coefficient: float = 1.0,
        positions: str = "labels",
    ) -> "Loss":
        """A registered loss.

        Args:
            kind: "objective" or "regularizer".
            name: its name in the package, or the path of its file.
            hyper: the hyper-parameters that the file declares; what has a default may be left out.
            coefficient: λ.
            positions: one of those that the file declares.

        Raises:
            ConfigError: there is no such file.
            LossError: hyper-parameters or positions are not those that the file declares, or a
                value is out of range.
        """
        declared = registry.get(kind, name)
        if (
            not set(declared.hyperparameters) - set(declared.defaults)
            <= set(hyper)
            <= set(declared.hyperparameters)
        ):
            wanted = ", ".join(declared.hyperparameters) or "none"
            given = ", ".join(hyper) or "none"
            raise LossError(f"{kind} {name!r}: its hyper-parameters are {wanted}, not {given}")
        for key, value in hyper.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise LossError(f"{kind} {name!r}: {key}: {value} is not finite; choose a number")
            fragment = declared.hyperparameters[key]
            for error in jsonschema.Draft202012Validator(fragment).iter_errors(value):
                raise LossError(f"{kind} {name!r}: {key}: {error.message}; choose a value in range")
        if positions not in declared.positions:
            known = ", ".join(declared.positions)
            raise LossError(f"{kind} {name!r}: pools the positions {known}, not {positions!r}")
        module = declared.module()
        return cls(
            name=declared.name,
            values=module.loss,
            weights=module.weight if declared.weighted else None,
            hyper={**declared.defaults, **hyper},
            reduction=declared.reduction,
            needs=declared.needs,
            minimum=declared.minimum,
            coefficient=coefficient,
            positions=positions,
        )

    @property
    def looks_at_original(self) -> bool:
        """Whether it needs the original model θ_o."""
        return bool(self.needs & ORIGINAL_NEEDS)

    @property
    def pairs_refusals(self) -> bool:
        """Whether it looks at a refusal beside every answer."""
        return "refusal_pairs" in self.needs

    @property
    def looks_at_runner_up(self) -> bool:
        """Whether it looks at the most probable token other than every label."""
        return "runner_up" in self.needs

    @property
    def weighs_labels_alone(self) -> bool:
        """Whether its gradient is that of its labels' log-likelihoods, reweighted."""
        others = self.pairs_refusals or self.looks_at_runner_up
        return self.weights is not None and not others

    @property
    def keeps_original(self) -> bool:
        """Whether it needs θ_o itself, and not only log-probabilities, which a batch may bring."""
        return bool(self.needs & ORIGINAL_NEEDS - {"reference_logp"})

    def check_layer(self, model: PreTrainedModel) -> None:
        """Raises LossError if it looks at a layer that a model does not have."""
        layer, blocks = self.hyper.get("layer"), block_count(model.config)
        if self.needs & HIDDEN_NEEDS and layer and blocks and layer > blocks:
            raise LossError(
                f"{self.name}: layer {layer}, but {type(model).__name__} has {blocks} blocks; "
                f"choose one of 1..{blocks}"
            )

    def bind(
        self, original: PreTrainedModel | None = None, control_vector: Tensor | None = None
    ) -> "Loss":
        """A copy that is bound to θ_o and u, so far as it needs them."""
        return replace(
            self,
            original=original if self.looks_at_original else None,
            control_vector=control_vector if "control_vector" in self.needs else None,
        )

    def batches(self, examples: Sequence[Example], size: int) -> list[Batch]:
        """The examples in batches as this loss pools them, `size` rows at a time.

        Raises:
            LossError: it looks at refusals, and an example has none beside it.
        """
        if self.pairs_refusals and any(example.refusal is None for example in examples):
            raise LossError(f"{self.name}: an example has no refusal beside it; set its `refusal`")
        pad_to = PADDED_LENGTH if self.positions == "all" else None
        starts = range(0, len(examples), size)
        return [collate(examples[start : start + size], pad_to) for start in starts]

    def view(self, model: PreTrainedModel, batch: Batch) -> View:
        """What this loss sees of a batch; runs the model, and θ_o if it needs that."""
        return view(
            model,
            batch.to(input_device(model)),
            self.needs,
            layer=self.hyper.get("layer"),
            original=self.original,
            control_vector=self.control_vector,
        )

    def count(self, batch: Batch) -> int:
        """The number of values of a batch that the mean pools."""
        return len(batch.input_ids) if self.reduction == "sample" else batch.label_count

    def total(self, seen: View) -> Tensor:
        """The sum of the values that the mean pools: a differentiable scalar.

        Raises:
            LossError: the values do not have the shape that the reduction implies.
        """
        return self._pool(self.values(seen, **self.hyper), seen)

    def weight(self, seen: View) -> Tensor:
        """The weights of the view's labels (of pairs: the answers'), detached: [B, T] or [B].

        Raises:
            LossError: this loss declares none.
        """
        return self._weights(seen)[0]

    def refusal_weight(self, seen: View) -> Tensor:
        """The weights of the labels of a view's refusals, detached: [B, T] or [B].

        Raises:
            LossError: this loss declares none, or does not look at pairs.
        """
        if not self.pairs_refusals:
            raise LossError(f"{self.name} does not look at refusals beside the answers")
        return self._weights(seen)[1]

    def runner_up_weight(self, seen: View) -> Tensor:
        """The weights of the runners-up to a view's labels, detached: [B, T] or [B].

        Raises:
            LossError: this loss declares none, or does not look at runners-up.
        """
        if not self.looks_at_runner_up:
            raise LossError(f"{self.name} does not look at the runners-up to the labels")
        return self._weights(seen)[1]

    def _weights(self, seen: View) -> list[Tensor]:
        if self.weights is None:
            raise LossError(f"{self.name} does not reweight log-likelihoods: it has no weight()")
        found = self.weights(seen, **self.hyper)
        several = self.pairs_refusals or self.looks_at_runner_up
        return [w.detach() for w in (found if several else (found,))]

    def total_weight(self, seen: View) -> Tensor:
        """The sum of the weights (of pairs: the answers') over what the mean pools."""
        weight = self.weight(seen)
        if not self.pairs_refusals:
            return self._pool(weight, seen)
        return seen.over_tokens(weight) if weight.dim() == 2 else weight.sum()

    def _pool(self, values: Tensor, seen: View) -> Tensor:
        expected = seen.mask.shape if self.reduction == "token" else seen.mask.shape[:1]
        if values.shape != expected:
            raise LossError(
                f"{self.name}: returns values of shape {list(values.shape)}, but the reduction "
                f"{self.reduction!r} pools {list(expected)}; set REDUCTION or fix loss()"
            )
        return seen.over_tokens(values) if self.reduction == "token" else values.sum()


RISK = Loss("risk", lambda seen: -seen.logp)
"""R(D; θ) = mean over label tokens of -log p(y_i | x, y_<i; θ), in nats."""


def objective(name: str, **hyper: Any) -> Loss:
    """An unlearning objective by its name in the package or the path of its file.

    Raises:
        ConfigError: there is no such file.
        LossError: hyper-parameters are not those that it declares.
    """
    return Loss.load(OBJECTIVE, name, hyper)


def regularizer(
    name: str, coefficient: float = 1.0, positions: str = "labels", **hyper: Any
) -> Loss:
    """A regularizer (retain objective) by its name or path, with its coefficient λ.

    Raises:
        ConfigError: there is no such file.
        LossError: hyper-parameters or positions are not those that it declares.
    """
    return Loss.load(REGULARIZER, name, hyper, coefficient, positions)
