"""SimNPO (simple NPO): -(2/β) · mean over samples of log σ(-β · (mean_i log p_i + δ)).

NPO without θ_o: the mean log-likelihood of the answer's tokens stands for the ratio (Fan et al.
2024, arXiv 2410.07163, equation 4). The paper's margin is γ = β · δ; δ is what its code takes.
"""

from torch.nn.functional import softplus

HYPERPARAMETERS = {
    "beta": {"type": "number", "exclusiveMinimum": 0},
    "delta": {"type": "number", "minimum": 0},
}
REDUCTION = "sample"


def _mean(view):
    return view.per_sample(view.logp) / view.lengths


def weight(view, beta, delta):
    """w_s = 2 σ(β · (mean_i log p_i + δ)) / |y|, detached: [B]."""
    return 2 * (beta * (_mean(view).detach() + delta)).sigmoid() / view.lengths


def loss(view, beta, delta):
    """-(2/β) log σ(-β · (mean_i log p_i + δ)) of every sample: [B]."""
    return 2 / beta * softplus(beta * (_mean(view) + delta))
