"""AP (answer preservation): -(1/β) · mean of log σ(-β · log p(refusal) / p(answer)) on retain rows.

Keeps the answer likelier than a refusal to the same question; it does not look at θ_o (Yuan et al.
2025, arXiv 2410.08109).
"""

from torch.nn.functional import softplus

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["refusal_pairs"]
REDUCTION = "sample"


def loss(view, beta):
    """-(1/β) log σ(-β · (log p(refusal) - log p(answer))) of every pair: [B]."""
    answer, refusal = (v.per_sample(v.logp) for v in (view, view.refusal))
    return softplus(beta * (refusal - answer)) / beta
