"""Inverted hinge loss (IHL): mean over label tokens of 1 + p_i - max over the other tokens of p(v).

The likelihood of a label goes to the token that would come next instead, the runner-up r (Cha et
al. 2025, arXiv 2408.06621). The gradient is Σ (p_i ∇log p_i - p_r ∇log p_r).
"""

NEEDS = ["runner_up"]


def weight(view):
    """w_i = p_i of the labels and -p_r of the runners-up, detached: two of [B, T]."""
    return view.logp.detach().exp(), -view.logp_runner_up.detach().exp()


def loss(view):
    """1 + p_i - p_r: [B, T]."""
    return 1 + view.logp.exp() - view.logp_runner_up.exp()
