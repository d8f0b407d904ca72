"""∇R(D) · ∇log p(s) for every sample and component, in one forward and one backward pass.

For a module y = f(x; W) that is linear in its parameters, a sample's ⟨∂log p(s)/∂W, G⟩ is
⟨δ, f(x; G)⟩, δ being the gradient of log p(s) at the module's output: no gradient of a parameter
is ever formed. In units of a forward and backward pass over the same rows (three matrix products
a weight): two products for the pass itself, one more for each direction.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from geffect.data.batches import IGNORED, Batch
from geffect.effects.gradients import Components, Directions, places
from geffect.errors import ModelError
from geffect.losses.loss import Loss
from geffect.losses.view import View, forward, log_probabilities, next_tokens
from geffect.models.compute import autocast, raised
from geffect.names import COMPONENTS, EFFECT_DATASETS, TOTAL

LINEAR_IN_PARAMETERS = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)


def instance_effects(
    model: PreTrainedModel, batch: Batch, directions: Directions, components: Components
) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """The products of every sample's ∇log p(s) with some directions, by component and block.

    log p(s) is the sum over the sample's labels (PG-effect). Tied embeddings are one
    parameter: what its use as unembedding adds counts under `embed` (as in `component_map`).

    Args:
        model: in eval mode; its rows must not see one another.
        components: `models.components.component_map`.

    Returns:
        log p_i [B, T] as in `losses.View`, and per direction: place -> products [B] (float64, on
        the CPU) for each of `gradients.places`.

    Raises:
        ModelError: the pass does not understand a module with parameters.
    """
    taps = _Taps(model, len(batch.input_ids), directions, components)
    with taps.attached(), torch.enable_grad():
        logp = log_probabilities(forward(model, batch).logits, batch)[0]
        logp.sum().backward()
    return logp.detach(), taps.result()


def instance_rows(
    model: PreTrainedModel,
    batch: Batch,
    directions: Directions,
    components: Components,
    numbers: np.ndarray,
    objective: Loss | None = None,
) -> pd.DataFrame:
    """`instance_effects` as a table with a row per sample and place.

    Args:
        batch: with reference log-probabilities (`losses.view.with_reference`).
        numbers: the numbers of the batch's rows [B].
        objective: adds the column `weight`, if it reweights log-likelihoods of these labels.

    Returns:
        `sample`, `component`, `e_unlearn`, `e_retain` (missing where there is no such direction),
        `logp`, `logp_ref` (log p(s) in nats), and `weight` (of token weights: the mean over the
        sample); all values in float64.
    """
    logp, products = instance_effects(model, batch, directions, components)
    assert batch.logp_ref is not None
    columns = {"logp": _by_sample(logp), "logp_ref": _by_sample(batch.logp_ref)}
    if objective is not None and objective.weights is not None:
        seen = View(next_tokens(batch) != IGNORED, logp, logp_ref=batch.logp_ref)
        weight = objective.weight(seen)
        if objective.reduction == "token":
            weight = seen.per_sample(weight) / seen.mask.sum(dim=1)
        columns["weight"] = weight.double().cpu().numpy()
    where = places(components)
    missing = dict.fromkeys(where, torch.full([len(numbers)], math.nan))
    rows = {"sample": np.repeat(numbers, len(where)), "component": where * len(numbers)}
    for name in EFFECT_DATASETS:
        effects = products.get(name, missing)
        rows[f"e_{name}"] = torch.stack([effects[w] for w in where], dim=1).flatten().numpy()
    rows |= {name: np.repeat(values, len(where)) for name, values in columns.items()}
    return pd.DataFrame(rows)


def _by_sample(logp: Tensor) -> np.ndarray:
    return logp.double().sum(dim=1).cpu().numpy()


class _Taps:
    """Hooks on every module with parameters of its own."""

    def __init__(
        self, model: PreTrainedModel, rows: int, directions: Directions, components: Components
    ):
        self.model, self.rows, self.directions = model, rows, directions
        self.components = components
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.sums: dict[tuple[str, str, torch.device], Tensor] = {}

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        handles = []
        try:
            for name, module in self.model.named_modules():
                own = {n: self.names[id(p)] for n, p in module.named_parameters(recurse=False)}
                if own:
                    _check(name, module)
                    handles.append(module.register_forward_hook(partial(self._enter, name, own)))
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()

    def _enter(
        self,
        name: str,
        own: Mapping[str, str],
        module: nn.Module,
        arguments: tuple[Tensor, ...],
        output: Tensor,
    ) -> Tensor:
        if not output.requires_grad:  # the first module: here the graph begins
            output = output.detach().requires_grad_()
        inputs = tuple(argument.detach() for argument in arguments)
        output.register_hook(partial(self._leave, name, own, module, inputs))
        return output

    def _leave(
        self,
        name: str,
        own: Mapping[str, str],
        module: nn.Module,
        inputs: Sequence[Tensor],
        delta: Tensor,
    ) -> None:
        if len(delta) != self.rows:
            raise ModelError(
                f"module {name}: its output [{', '.join(map(str, delta.shape))}] is not by sample; "
                "the instance pass does not understand it"
            )
        of_place: dict[tuple, list[str]] = {}
        for local, full in own.items():
            of_place.setdefault(self.components[full], []).append(local)
        for (component, block), locals_ in of_place.items():
            for direction, tensors in self.directions.items():
                # A tied unembedding's bias is not of its weight's component: f(x; 0, G_bias).
                given = {
                    local: (tensors[full] if local in locals_ else torch.zeros_like(tensors[full]))
                    for local, full in own.items()
                }
                value = self._product(module, inputs, delta, given)
                for place in [component] if block is None else [component, f"layer.{block}"]:
                    key = (direction, place, value.device)
                    self.sums[key] = self.sums[key] + value if key in self.sums else value

    @staticmethod
    @torch.no_grad()
    def _product(
        module: nn.Module, inputs: Sequence[Tensor], delta: Tensor, given: Mapping[str, Tensor]
    ) -> Tensor:
        given = {n: tensor.to(module.get_parameter(n).dtype) for n, tensor in given.items()}
        with autocast(delta.device):
            along = functional_call(module, given, inputs)
        product = torch.linalg.vecdot(raised(delta), raised(along))
        return product.flatten(1).double().sum(dim=1)

    def result(self) -> dict[str, dict[str, Tensor]]:
        zero = torch.zeros(self.rows, dtype=torch.float64)
        products = {name: dict.fromkeys(places(self.components), zero) for name in self.directions}
        for (direction, place, _), value in self.sums.items():
            products[direction][place] = products[direction][place] + value.cpu()
        for sums in products.values():
            sums[TOTAL] = sum((sums[component] for component in COMPONENTS), start=zero)
        return products


def _check(name: str, module: nn.Module) -> None:
    """Raises ModelError unless f(x; W) is known to be linear in W."""
    if isinstance(module, LINEAR_IN_PARAMETERS):
        return
    own = dict(module.named_parameters(recurse=False))
    if type(module).__name__.endswith("RMSNorm") and set(own) == {"weight"}:
        # Some scale by 1 + weight, which is not linear: those do not vanish with it.
        weight = own["weight"]
        zero, one = torch.zeros_like(weight), torch.ones_like(weight)
        if not functional_call(module, {"weight": zero}, (one[None, None],)).any():
            return
    raise ModelError(
        f"module {name} ({type(module).__name__}): the instance pass does not understand its "
        "parameters; add it to LINEAR_IN_PARAMETERS if its output is linear in them"
    )
