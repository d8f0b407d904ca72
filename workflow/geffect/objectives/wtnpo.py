"""Weighted token-wise NPO (WTNPO): mean of w_i log p_i, w_i TNPO's weight times WGA's."""

HYPERPARAMETERS = {
    "alpha": {"type": "number", "minimum": 0},
    "beta": {"type": "number", "exclusiveMinimum": 0},
}
NEEDS = ["reference_logp"]


def weight(view, alpha, beta):
    """w_i = 2 p_i^(β+α) / (p_i^β + p_o,i^β), detached: [B, T]."""
    logp = view.logp.detach()
    return 2 * (beta * (logp - view.logp_ref)).sigmoid() * (alpha * logp).exp()


def loss(view, alpha, beta):
    """w_i log p_i: [B, T]."""
    return weight(view, alpha, beta) * view.logp
