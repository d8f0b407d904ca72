"""Token-wise NPO (TNPO): mean of w_i log p_i with w_i = 2 p_i^β / (p_i^β + p_o,i^β)."""

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["reference_logp"]


def weight(view, beta):
    """w_i = 2 p_i^β / (p_i^β + p_o,i^β), detached: [B, T]."""
    return 2 * (beta * (view.logp - view.logp_ref).detach()).sigmoid()


def loss(view, beta):
    """w_i log p_i: [B, T]."""
    return weight(view, beta) * view.logp
