"""Weighted token-wise NPO (WTNPO): mean of w_i log p_i with TNPO's weight times WGA's (PAPER)."""

HYPERPARAMETERS = {
    "alpha": {"type": "number", "minimum": 0},
    "beta": {"type": "number", "exclusiveMinimum": 0},
}
NEEDS = ["reference_logp"]
REDUCTION = "token"


def weight(view, alpha, beta):
    """w_i = 2 p_i^(β+α) / (p_i^β + p_o,i^β), detached: [B, T]."""
    logp = view.logp.detach()
    return 2 * (beta * (logp - view.logp_ref)).sigmoid() * (alpha * logp).exp()


def loss(view, alpha, beta):
    """Σ w_i log p_i over label tokens."""
    return view.over_tokens(weight(view, alpha, beta) * view.logp)
