"""KL: mean over positions of KL(p(·; θ_o) ‖ p(·; θ)) on retain data."""

NEEDS = ["reference_logits"]
MINIMUM = 0
POSITIONS = ["labels", "all"]


def loss(view):
    """Σ_v p_o(v) (log p_o(v) - log p(v)): [B, T]."""
    logp = _log_softmax(view.logits)
    logp_ref = _log_softmax(view.logits_ref)
    return (logp_ref.exp() * (logp_ref - logp)).sum(dim=-1)


def _log_softmax(logits):
    at_least_float32 = logits if logits.itemsize >= 4 else logits.float()
    return at_least_float32.log_softmax(dim=-1)
