"""CE-U (cross-entropy unlearning): the cross-entropy to the model's own softmax without the label.

The target q, which carries no gradient, is p without p_i, renormalised (Yang 2025, arXiv
2503.01224). The cross-entropy is -log(1 - p_i) plus the entropy of q, which is a constant of the
gradient and is left out. So CE-U descends on the unlikelihood loss of Welleck et al. (2020, arXiv
1908.04319), and its gradient is Σ w_i ∇log p_i with w_i = p_i / (1 - p_i).
"""

from math import inf

from torch import finfo


def weight(view):
    """w_i = p_i / (1 - p_i), detached: [B, T]. Bounded where p_i rounds to 1."""
    logp = view.logp.detach()
    return 1 / (-logp.clamp(max=-finfo(logp.dtype).eps)).expm1()


def loss(view):
    """-log(1 - p_i), added up over the other tokens, so that p_i may round to 1: [B, T]."""
    return -view.distribution.scatter(-1, view.labels[..., None], -inf).logsumexp(dim=-1)
