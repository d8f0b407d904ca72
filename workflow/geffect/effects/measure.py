"""G-effects of a model in memory, in one call each."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from geffect.data.batches import Batch
from geffect.data.encoding import Example
from geffect.effects.gradients import (
    Directions,
    Gradient,
    data_batches,
    effect_rows,
    gradient,
    numbered,
)
from geffect.effects.instances import instance_rows
from geffect.effects.tokens import token_rows
from geffect.errors import ConfigError
from geffect.losses.loss import RISK, Loss
from geffect.losses.view import with_reference
from geffect.models.components import component_map
from geffect.models.compute import evaluating, input_device
from geffect.names import OBJECTIVE, REGULARIZER, RETAIN, UNLEARN


def measure(
    model: PreTrainedModel,
    objective: Loss,
    forget: Sequence[Example],
    retain: Sequence[Example],
    regularizer: Loss | None = None,
    regularizer_examples: Sequence[Example] | None = None,
    objective_examples: Sequence[Example] | None = None,
    original: PreTrainedModel | None = None,
    control_vector: torch.Tensor | None = None,
    micro_batch_size: int = 8,
) -> pd.DataFrame:
    """The G-effects e(D, L; θ) = ∇R(D; θ) · ∇L(θ) of an objective, and of a regularizer.

    Args:
        model: at θ, a Hugging Face causal language model.
        objective: over `objective_examples`, or all of `forget`. One that trains on refusals (PO)
            needs examples with these as their answers, one that looks at refusals beside the
            answers (DPO, FLAT) examples with their `refusal`.
        forget: D_u.
        retain: the data to be retained.
        regularizer: over `regularizer_examples`, or all of `retain`; includes its λ.
        original: θ_o, for losses that need it.
        control_vector: RMU's u [d], for losses that need it.
        micro_batch_size: rows at once; a matter of memory only.

    Returns:
        A row per `term` (objective, regularizer, combined = objective + λ · regularizer),
        `dataset` (unlearn, retain) and `component` (total, embed, shallow, middle, deep, lm,
        layer.1 ...): `geffect` (nats per unit of squared parameter), `cosine`, `norm_loss`,
        `norm_risk` (of the gradients).

    Raises:
        ConfigError: a loss needs θ_o or u, or the objective examples with refusals, and they are
            not given.
        LossError: a loss looks at a layer that the model does not have.
        DataError: a data set is empty, or a row has no label token.
        NotFiniteError: a gradient is not finite.
    """
    losses = {OBJECTIVE: objective} | ({} if regularizer is None else {REGULARIZER: regularizer})
    check_given(losses, control_vector, objective_examples, "objective_examples")
    for loss in losses.values():
        loss.check_layer(model)
    losses = {n: _bound(n, loss, original, control_vector) for n, loss in losses.items()}
    examples = {
        OBJECTIVE: forget if objective_examples is None else objective_examples,
        REGULARIZER: retain if regularizer_examples is None else regularizer_examples,
    }
    with evaluating(model):
        rows = effect_rows(
            {name: loss.coefficient for name, loss in losses.items()},
            lambda n: gradient(model, losses[n], examples[n], micro_batch_size, n)[1],
            _risks(model, forget, retain, micro_batch_size),
            component_map(model),
        )
    return pd.DataFrame(rows)


def check_given(
    losses: Mapping[str, Loss],
    control_vector: torch.Tensor | None,
    objective_rows: Sequence[Example] | None,
    argument: str,
) -> None:
    """Checks that what losses look at is given.

    Args:
        losses: `objective`, and perhaps `regularizer`.
        objective_rows: those of the objective's own gradient.
        argument: what these are called where they are given.

    Raises:
        ConfigError: RMU's u, or rows with refusals as their answers, are missing.
    """
    for kind, loss in losses.items():
        if "control_vector" in loss.needs and control_vector is None:
            raise ConfigError(
                f"{kind} {loss.name!r} needs RMU's direction; pass the run's own in Python, "
                "control_vector="
            )
    objective = losses[OBJECTIVE]
    if "refusals" in objective.needs and objective_rows is None:
        raise ConfigError(
            f"objective {objective.name!r} trains on refusals; pass the rows that have them as "
            f"their answers ({argument})"
        )


def measure_instances(
    model: PreTrainedModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    original: PreTrainedModel | None = None,
    micro_batch_size: int = 8,
) -> pd.DataFrame:
    """∇R(D; θ) · ∇log p(s; θ) of every forget sample s (the PG-effect), by component.

    Args:
        original: θ_o, for `logp_ref`; without it the model itself stands in.

    Returns:
        A row per `sample` (row of `forget`) and `component`: `e_unlearn`, `e_retain`, `logp`,
        `logp_ref` (log p(s) in nats under θ and θ_o).

    Raises:
        DataError: a data set is empty, or a row has no label token.
    """
    components = component_map(model)

    def rows(batch: Batch, directions: Directions, numbers: np.ndarray) -> pd.DataFrame:
        return instance_rows(model, batch, directions, components, numbers)

    frame = _by_batch(model, forget, retain, original, micro_batch_size, rows)
    return frame.sort_values("sample", kind="stable", ignore_index=True)


def measure_tokens(
    model: PreTrainedModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    original: PreTrainedModel | None = None,
    micro_batch_size: int = 8,
) -> pd.DataFrame:
    """∇R(D; θ) · ∇log p_i of every label token of the forget set.

    `reweighted` turns the table into the G-effect of any reweighted log-likelihood.

    Args:
        original: θ_o, for `logp_ref`; without it the model itself stands in.

    Returns:
        A row per label token: `step` (0), `text` ("answer"), `sample`, `token` (position in the
        answer), `id`, `logp`, `logp_ref` (nats), `e_unlearn`, `e_retain`; `entropy` (nats) of the
        model's distribution there, `runner_up` (the id of the most probable token other than the
        label), `logp_runner_up`, `e_unlearn_runner_up`, `e_retain_runner_up`.

    Raises:
        DataError: a data set is empty, or a row has no label token.
    """

    def rows(batch: Batch, directions: Directions, numbers: np.ndarray) -> pd.DataFrame:
        return token_rows(model, batch, directions, numbers)

    frame = _by_batch(model, forget, retain, original, micro_batch_size, rows)
    frame = frame.sort_values(["sample", "token"], kind="stable", ignore_index=True)
    frame.insert(0, "text", "answer")
    frame.insert(0, "step", 0)
    return frame


def _by_batch(
    model: PreTrainedModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    original: PreTrainedModel | None,
    micro_batch_size: int,
    rows: Callable[[Batch, Directions, np.ndarray], pd.DataFrame],
) -> pd.DataFrame:
    """The rows of every batch of the forget set, along the gradients of both risks."""
    with evaluating(model):
        directions = Directions(_risks(model, forget, retain, micro_batch_size))
        batches = data_batches(RISK, forget, micro_batch_size, UNLEARN)
        return pd.concat(
            [
                rows(
                    with_reference(original or model, batch.to(input_device(model))), directions, n
                )
                for n, batch in numbered(forget, batches)
            ]
        )


def _risks(
    model: PreTrainedModel,
    forget: Sequence[Example],
    retain: Sequence[Example],
    micro_batch_size: int,
) -> dict[str, Gradient]:
    return {
        name: gradient(model, RISK, examples, micro_batch_size, name)[1]
        for name, examples in ((UNLEARN, forget), (RETAIN, retain))
    }


def _bound(
    name: str, loss: Loss, original: PreTrainedModel | None, control_vector: torch.Tensor | None
) -> Loss:
    if loss.looks_at_original and original is None:
        raise ConfigError(f"{name} {loss.name!r} needs the original model; pass original=")
    return loss.bind(original, control_vector)
