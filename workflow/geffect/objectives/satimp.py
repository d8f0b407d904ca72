"""SatImp (saturation and importance): mean of w_i log p_i with w_i = p_i^β1 (1 - p_i)^β2.

The first factor leaves alone what is forgotten, the second what is common knowledge (Yang et al.
2025, arXiv 2505.11953). WGA is β2 = 0.
"""

HYPERPARAMETERS = {
    "beta1": {"type": "number", "minimum": 0},
    "beta2": {"type": "number", "minimum": 0},
}


def weight(view, beta1, beta2):
    """w_i = p_i^β1 (1 - p_i)^β2, detached: [B, T]."""
    logp = view.logp.detach()
    return (beta1 * logp).exp() * (-logp.expm1()) ** beta2


def loss(view, beta1, beta2):
    """w_i log p_i: [B, T]."""
    return weight(view, beta1, beta2) * view.logp
