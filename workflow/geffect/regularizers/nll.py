"""NLL (gradient difference): the negative log-likelihood of retain data."""


def loss(view):
    """-log p_i: [B, T]."""
    return -view.logp
