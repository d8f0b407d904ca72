"""How a module's output changes along a direction, by type of module: one product rule each.

Of a module y = f(x; W), the instance pass needs ⟨δ, ∂f(x; W)/∂W · G⟩ for every sample, δ being the
gradient at y and G the direction. For any module there is `by_forward_mode`; a rule of its own
makes a type of module cheaper, or possible where it has no forward mode:

    @geffect.product_rule(MyLinear)
    def _(module, inputs, delta, direction):
        along = torch.nn.functional.linear(inputs[0], direction["weight"])
        return (delta * along).flatten(1).sum(dim=1)
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from transformers.pytorch_utils import Conv1D

from geffect.models.compute import autocast, raised

Rule = Callable[[nn.Module, "Inputs", Tensor, Mapping[str, Tensor]], Tensor]

_RULES: dict[type[nn.Module], Rule] = {}


class Inputs(tuple):
    """What a module was called with: the positional arguments, and `named` ones beside them.

    Attributes:
        named: keyword arguments.
        place: which of the module's outputs δ belongs to, counted over the tensors among them.
    """

    named: dict[str, Any]
    place: int

    def __new__(cls, given: tuple, named: dict[str, Any], place: int = 0) -> "Inputs":
        """Positional arguments with the rest beside them."""
        self = super().__new__(cls, given)
        self.named, self.place = named, place
        return self


def product_rule(*types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Registers a function as the product rule of some types of modules.

    It holds for them, and for those of their subclasses that do not override `forward`. A rule
    takes

    - `module`;
    - `inputs`: the positional arguments of its call, detached; `inputs.named` are the others;
    - `delta` [N, ...]: the gradient of Σ log p(s) at its output, N being the number of samples or,
      where the module sees all tokens as one list, of samples times positions;
    - `direction`: G, a tensor for each of the module's own parameters, by its name in the module,
      which is zero for frozen ones;

    and returns ⟨δ_n, ∂y_n/∂W · G⟩ for every n: [N]. What it returns is compared with a backward
    pass per sample the first time that a model is measured, and not used where the two differ.
    """

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(types, rule))
        return rule

    return register


def rule_of(module: nn.Module) -> Rule:
    """The product rule of a module: that of its type, or forward mode."""
    for kind in type(module).__mro__:
        if kind in _RULES and type(module).forward is kind.forward:
            return _RULES[kind]
    return by_linearity if _is_plain_norm(module) else by_forward_mode


def _is_plain_norm(module: nn.Module) -> bool:
    """Whether it scales by its weight; some scale by 1 + weight, and do not vanish with it."""
    own = dict(module.named_parameters(recurse=False))
    if not type(module).__name__.endswith("RMSNorm") or set(own) != {"weight"}:
        return False
    weight = own["weight"]
    zero, one = torch.zeros_like(weight), torch.ones_like(weight)
    try:
        with torch.no_grad():
            return not functional_call(module, {"weight": zero}, (one[None, None],)).any()
    except TypeError:  # it takes more than what it norms
        return False


@product_rule(nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.Conv1d, Conv1D)
@torch.no_grad()
def by_linearity(
    module: nn.Module, inputs: Inputs, delta: Tensor, direction: Mapping[str, Tensor]
) -> Tensor:
    """The rule of modules that are linear in their parameters: ∂f(x; W)/∂W · G = f(x; G)."""
    with autocast(delta.device):
        along = functional_call(module, _like(module, direction), tuple(inputs), inputs.named)
    return products(delta, along)


@torch.no_grad()
def by_forward_mode(
    module: nn.Module, inputs: Inputs, delta: Tensor, direction: Mapping[str, Tensor]
) -> Tensor:
    """The rule of any module that has a forward mode: its own parameters move, nothing else does.

    It costs a forward pass of the module more than `by_linearity`.
    """
    given = _like(module, direction)
    here = {name: module.get_parameter(name).detach() for name in given}

    def output(own: dict[str, Tensor]) -> Tensor:
        found = functional_call(module, own, tuple(inputs), inputs.named)
        return differentiable(found)[inputs.place]

    with autocast(delta.device), sdpa_kernel(SDPBackend.MATH):
        along = jvp(output, (here,), (given,))[1]
    return products(delta, along)


def _like(module: nn.Module, direction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: g.to(module.get_parameter(name).dtype) for name, g in direction.items()}


def differentiable(output: Any) -> list[Tensor]:
    """The tensors of real numbers among a module's outputs."""
    leaves = tree_leaves(output)
    return [t for t in leaves if isinstance(t, Tensor) and t.is_floating_point()]


def products(delta: Tensor, along: Tensor) -> Tensor:
    """⟨delta_n, along_n⟩ for every n, in float64: [N]."""
    product = torch.linalg.vecdot(raised(delta), raised(along))
    return product.reshape(len(delta), -1).double().sum(dim=1)
