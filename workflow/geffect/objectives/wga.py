"""Weighted gradient ascent (WGA): mean over label tokens of p_i^α · log p_i."""

HYPERPARAMETERS = {"alpha": {"type": "number", "minimum": 0}}


def weight(view, alpha):
    """w_i = p_i^α, detached: [B, T]. Undoes the inverse confidence in GA's gradient."""
    return (alpha * view.logp.detach()).exp()


def loss(view, alpha):
    """w_i log p_i: [B, T]."""
    return weight(view, alpha) * view.logp
