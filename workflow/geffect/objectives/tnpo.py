"""Token-wise NPO (TNPO): mean of w_i log p_i, w_i = 2 p_i^β / (p_i^β + p_o,i^β) (PAPER)."""

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["reference_logp"]
REDUCTION = "token"


def weight(view, beta):
    """w_i = 2 p_i^β / (p_i^β + p_o,i^β), detached: [B, T]."""
    return 2 * (beta * (view.logp - view.logp_ref).detach()).sigmoid()


def loss(view, beta):
    """Σ w_i log p_i over label tokens."""
    return view.over_tokens(weight(view, beta) * view.logp)
