"""Representation retention (RR): mean over positions of ‖φ_l(s; θ) - φ_l(s; θ_o)‖².

The squared norm is averaged over the hidden dimension; positions are those that predict labels.
"""

HYPERPARAMETERS = {"layer": {"type": "integer", "minimum": 1}}
NEEDS = ["hidden_states", "reference_hidden_states"]
MINIMUM = 0


def loss(view, layer):
    """The mean over dimensions of (φ_l - φ_o,l)²: [B, T]."""
    return (view.hidden - view.hidden_ref).square().mean(dim=-1)
