"""Representation misdirection (RMU): mean over positions of ‖φ_l(s_<i) - c·u‖² (Li et al. 2024).

The squared norm is averaged over the hidden dimension; positions are those that predict labels.
"""

HYPERPARAMETERS = {
    "layer": {"type": "integer", "minimum": 1},
    "c": {"type": "number", "exclusiveMinimum": 0},
}
NEEDS = ["hidden_states", "control_vector"]


def loss(view, layer, c):
    """The mean over dimensions of (φ_l - c·u)²: [B, T]."""
    return (view.hidden - c * view.control).square().mean(dim=-1)
