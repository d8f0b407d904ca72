"""Representation misdirection (RMU): mean over positions of ‖φ_l(s_<i) - c·u‖² (Li et al. 2024).

The squared norm is averaged over the hidden dimension; positions are those that predict labels.
With `normalize`, u has length 1, as in the code of Li et al. (arXiv 2403.03218): without it u is
about √(d/3) long, so that values of c of the two are not comparable.
"""

HYPERPARAMETERS = {
    "layer": {"type": "integer", "minimum": 1},
    "c": {"type": "number", "exclusiveMinimum": 0},
    "normalize": {"type": "boolean", "default": False},
}
NEEDS = ["hidden_states", "control_vector"]


def loss(view, layer, c, normalize):
    """The mean over dimensions of (φ_l - c·u)²: [B, T]."""
    direction = view.control / view.control.norm() if normalize else view.control
    return (view.hidden - c * direction).square().mean(dim=-1)
