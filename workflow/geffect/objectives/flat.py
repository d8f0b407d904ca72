"""FLAT (forget-data-only loss adjustment) by total variation: ½ tanh(P_answer) - ½ tanh(P_refusal).

P is the mean of p_i over a text's label tokens. Minimising this maximises the variational form of
the divergence between refusals and answers, for which g* = ½ tanh and f*(t) = t (Wang et al. 2025,
arXiv 2410.11143).
"""

NEEDS = ["refusal_pairs"]
REDUCTION = "sample"


def _probability(view):
    return view.per_sample(view.logp.exp()) / view.lengths


def _slope(view):
    """The derivative of ½ tanh(P) with respect to every log p_i: [B, T]."""
    slope = (1 - _probability(view).tanh() ** 2) / (2 * view.lengths)
    return (slope[:, None] * view.logp.exp()).detach()


def weight(view):
    """w_i = ± ½ (1 - tanh² P) p_i / |y|, + for answers and - for refusals: two of [B, T]."""
    return _slope(view), -_slope(view.refusal)


def loss(view):
    """½ tanh(P_answer) - ½ tanh(P_refusal) of every pair: [B]."""
    return (_probability(view).tanh() - _probability(view.refusal).tanh()) / 2
