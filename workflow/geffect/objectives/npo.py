"""Negative preference optimisation (NPO): (2/β) · mean over samples of log(1 + (p/p_o)^β).

p = p(s; θ) is the product over all label tokens of a sample (Zhang et al. 2024).
"""

from torch.nn.functional import softplus

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["reference_logp"]
REDUCTION = "sample"


def _log_ratio(view):
    return view.per_sample(view.logp - view.logp_ref)


def weight(view, beta):
    """w_s = 2 p^β / (p^β + p_o^β), detached: [B]. NPO's gradient is Σ w_s ∇log p(s)."""
    return 2 * (beta * _log_ratio(view).detach()).sigmoid()


def loss(view, beta):
    """(2/β) log(1 + (p/p_o)^β) of every sample: [B]."""
    return 2 / beta * softplus(beta * _log_ratio(view))
