"""NLL (gradient difference): the risk on retain data (PAPER, Retain objectives)."""

from geffect.losses import risk

HYPERPARAMETERS = {}
NEEDS = []
REDUCTION = "token"


def loss(view):
    """- Σ log p_i over the label tokens of retain samples."""
    return risk(view)
