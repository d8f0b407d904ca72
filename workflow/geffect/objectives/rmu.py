"""Representation misdirection (RMU): mean over positions of ‖φ_l(s_<i) - c·u‖² (PAPER).

The squared norm is averaged over the hidden dimension; positions are those that predict labels.
"""

HYPERPARAMETERS = {
    "layer": {"type": "integer", "minimum": 1},
    "c": {"type": "number", "exclusiveMinimum": 0},
}
NEEDS = ["hidden_states", "control_vector"]
REDUCTION = "token"


def loss(view, layer, c):
    """Σ over label positions of the mean over dimensions of (φ_l - c·u)²."""
    return view.over_tokens((view.hidden - c * view.control).square().mean(dim=-1))
