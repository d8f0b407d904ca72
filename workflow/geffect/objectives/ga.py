"""Gradient ascent (GA): mean over label tokens of log p_i (PAPER, Unlearning objectives)."""

HYPERPARAMETERS = {}
NEEDS = []
REDUCTION = "token"


def weight(view):
    """w_i = 1: [B, T]."""
    return view.logp.new_ones(view.logp.shape)


def loss(view):
    """Σ log p_i over label tokens."""
    return view.over_tokens(view.logp)
