"""DPO with refusals: -(2/β) · mean of log σ(β · (log r(refusal) - log r(answer))).

r = p(s; θ) / p(s; θ_o), and the refusal to the same question is the preferred answer. The factor
2/β is that of NPO, which is what is left without the refusal (Zhang et al. 2024, arXiv 2404.05868);
the loss of Rafailov et al. (2023, arXiv 2305.18290) is β/2 times this one.
"""

from torch.nn.functional import softplus

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["reference_logp", "refusal_pairs"]
REDUCTION = "sample"


def _preference(view):
    """log r(answer) - log r(refusal): [B]."""
    answer, refusal = (v.per_sample(v.logp - v.logp_ref) for v in (view, view.refusal))
    return answer - refusal


def weight(view, beta):
    """w_s = 2 σ(β · (log r(answer) - log r(refusal))) and -w_s, detached: two of [B]."""
    answer = 2 * (beta * _preference(view).detach()).sigmoid()
    return answer, -answer


def loss(view, beta):
    """-(2/β) log σ(β · (log r(refusal) - log r(answer))) of every pair: [B]."""
    return 2 / beta * softplus(beta * _preference(view))
