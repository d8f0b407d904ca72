"""ME (maximising entropy): mean over label tokens of KL(uniform ‖ p(·; θ)).

Nothing is said about which token is right (Yuan et al. 2025, arXiv 2410.08109).
"""

from math import log


def loss(view):
    """-log V - mean_v log p(v), V being the size of the vocabulary: [B, T]."""
    distribution = view.distribution
    return -distribution.mean(dim=-1) - log(distribution.shape[-1])
