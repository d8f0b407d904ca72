"""Inverted hinge loss (IHL): mean over label tokens of 1 + p_i - max over the other tokens of p(v).

The likelihood of a label goes to the token that would come next instead (Cha et al. 2025, arXiv
2408.06621).
"""


def loss(view):
    """1 + p_i - max_{v ≠ y_i} p(v): [B, T]."""
    runner_up = view.distribution.exp().scatter(-1, view.labels[..., None], 0).amax(dim=-1)
    return 1 + view.logp.exp() - runner_up
