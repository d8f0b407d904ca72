"""KL: mean over positions of KL(p(·; θ_o) ‖ p(·; θ)) on retain data."""

NEEDS = ["reference_logits"]
MINIMUM = 0
POSITIONS = ["labels", "all"]


def loss(view):
    """Σ_v p_o(v) (log p_o(v) - log p(v)): [B, T]."""
    logp, logp_ref = view.distribution, view.distribution_ref
    return (logp_ref.exp() * (logp_ref - logp)).sum(dim=-1)
