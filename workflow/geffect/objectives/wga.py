"""Weighted gradient ascent (WGA): mean of p_i^α · log p_i (PAPER, Unlearning objectives)."""

HYPERPARAMETERS = {"alpha": {"type": "number", "minimum": 0}}
NEEDS = []
REDUCTION = "token"


def weight(view, alpha):
    """w_i = p_i^α, detached: [B, T]. Undoes the inverse confidence in GA's gradient."""
    return (alpha * view.logp.detach()).exp()


def loss(view, alpha):
    """Σ w_i log p_i over label tokens."""
    return view.over_tokens(weight(view, alpha) * view.logp)
