"""Adaptive RMU: mean over positions of ‖φ_l(s_<i) - β · ‖φ_l(s_<i; θ_o)‖ · u/‖u‖‖².

How far a representation is pushed follows its own length under θ_o, which makes β comparable
between layers (Dang et al. 2025, arXiv 2408.06223). Squared norm and positions are as in RMU.
"""

HYPERPARAMETERS = {
    "layer": {"type": "integer", "minimum": 1},
    "beta": {"type": "number", "exclusiveMinimum": 0},
}
NEEDS = ["hidden_states", "reference_hidden_states", "control_vector"]


def loss(view, layer, beta):
    """The mean over dimensions of (φ_l - β · ‖φ_o,l‖ · u/‖u‖)²: [B, T]."""
    length = view.hidden_ref.norm(dim=-1, keepdim=True)
    target = beta * length * (view.control / view.control.norm())
    return (view.hidden - target).square().mean(dim=-1)
