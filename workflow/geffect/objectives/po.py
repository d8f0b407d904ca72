"""Preference optimisation (PO): the risk of a randomly drawn refusal as the answer (PAPER).

The loop supplies the refusals: redrawn at every visit in training, drawn once for G-effects.
"""

from geffect.losses import risk

HYPERPARAMETERS = {}
NEEDS = ["refusals"]
REDUCTION = "token"


def weight(view):
    """w_i = -1: [B, T]. The refusals' likelihood rises."""
    return -view.logp.new_ones(view.logp.shape)


def loss(view):
    """- Σ log p(y_idk,i) over the refusal's label tokens."""
    return risk(view)
