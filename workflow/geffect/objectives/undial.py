"""UNDIAL (self-distillation from adjusted logits): the cross-entropy to softmax(z_o - β · 1_y).

z_o are the logits of θ_o, lowered by β at the label (Dong et al. 2025, arXiv 2402.10052).
"""

from torch import full_like

HYPERPARAMETERS = {"beta": {"type": "number", "exclusiveMinimum": 0}}
NEEDS = ["reference_logits"]


def loss(view, beta):
    """-Σ_v t_v log p(v) with t = softmax(z_o - β · 1_y): [B, T]."""
    reference, label = view.distribution_ref, view.labels[..., None]
    penalty = full_like(label, -beta, dtype=reference.dtype)
    target = reference.scatter_add(-1, label, penalty).softmax(dim=-1)
    return -(target * view.distribution).sum(dim=-1)
