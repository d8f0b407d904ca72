"""KL: mean over positions of KL(p(·; θ_o) ‖ p(·; θ)) on retain data (PAPER, Retain objectives)."""

HYPERPARAMETERS = {}
NEEDS = ["reference_logits"]
REDUCTION = "token"
MINIMUM = 0
POSITIONS = ["labels", "all"]


def loss(view):
    """Σ over positions of Σ_v p_o(v) (log p_o(v) - log p(v))."""
    logp = _log_softmax(view.logits)
    logp_ref = _log_softmax(view.logits_ref)
    return view.over_tokens((logp_ref.exp() * (logp_ref - logp)).sum(dim=-1))


def _log_softmax(logits):
    at_least_float32 = logits if logits.itemsize >= 4 else logits.float()
    return at_least_float32.log_softmax(dim=-1)
