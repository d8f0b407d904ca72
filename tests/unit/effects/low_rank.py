"""Models with adapters of LoRA by hand: the weights that they stand for, and the chain rule.

What is known of an adapter here is its parameters' names and its scale; nothing is asked of PEFT.
"""

import copy

import numpy as np
import torch

from geffect.names import MERGED

RANK, ALPHA = 2, 3.0
SCALE = ALPHA / RANK


def factors(model):
    """Module -> A and B in numpy."""
    found = {}
    for name, p in model.named_parameters():
        for side in "AB":
            if name.endswith(f".lora_{side}.default.weight"):
                key = name.removesuffix(f".lora_{side}.default.weight")
                found.setdefault(key, {})[side] = p.detach().double().numpy()
    return found


def transposed(plain, module):
    """Conv1D keeps its weight the other way round."""
    return type(plain.get_submodule(module)).__name__ == "Conv1D"


def merged_by_hand(model, base):
    """A plain model with W0 + s · BA."""
    plain = copy.deepcopy(base)
    with torch.no_grad():
        for module, found in factors(model).items():
            delta = SCALE * found["B"] @ found["A"]
            delta = delta.T if transposed(plain, module) else delta
            weight = plain.get_submodule(module).weight
            weight.add_(torch.from_numpy(np.ascontiguousarray(delta)).to(weight))
    return plain


def in_coordinates(of_plain, model, plain, coordinates):
    """A gradient of the plain model in one of the two coordinates, by the names in `model`."""
    result = {}
    for module, found in factors(model).items():
        whole = of_plain[f"{module}.weight"]
        if coordinates == MERGED:
            result[f"{module}.base_layer.weight"] = whole
            continue
        whole = whole.T if transposed(plain, module) else whole
        result[f"{module}.lora_A.default.weight"] = SCALE * found["B"].T @ whole
        result[f"{module}.lora_B.default.weight"] = SCALE * whole @ found["A"].T
    return result
