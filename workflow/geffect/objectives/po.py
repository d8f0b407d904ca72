"""Preference optimisation (PO): the NLL of a randomly drawn refusal in the answer's place.

Refusals are redrawn at every visit in training, and drawn once for G-effects (Maini et al. 2024).
"""

NEEDS = ["refusals"]


def weight(view):
    """w_i = -1: [B, T]. The refusals' likelihood rises."""
    return -view.logp.new_ones(view.logp.shape)


def loss(view):
    """-log p(y_idk,i) of the refusal's label tokens: [B, T]."""
    return -view.logp
