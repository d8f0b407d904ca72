"""Rank correlation over cells, with its interval."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

FEWEST = 5


def spearman(x: pd.Series, y: pd.Series, resamples: int, seed: int) -> tuple[float, float, float]:
    """Spearman's ρ, and the ends of its 95% bootstrap interval over the pairs; missing where one
    of the two is constant.
    """
    rng = np.random.default_rng(seed)
    pairs = np.array([x, y], dtype="float64")
    if len(np.unique(pairs[0])) < 2 or len(np.unique(pairs[1])) < 2:
        return (float("nan"),) * 3
    drawn = rng.integers(pairs.shape[1], size=(resamples, pairs.shape[1]))
    ranks = [pd.DataFrame(values[drawn]).rank(axis=1).to_numpy() for values in pairs]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    norms = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    known = norms > 0
    resampled = (centred[0] * centred[1]).sum(axis=1)[known] / norms[known]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(spearmanr(*pairs).statistic), float(low), float(high)


def said(x: pd.Series, y: pd.Series, resamples: int, seed: int) -> str:
    """The correlation in two short lines; or that there is none, since cells are few or alike."""
    if len(x) < FEWEST:
        return f"n = {len(x)}: too few for ρ"
    rho, low, high = spearman(x, y, resamples, seed)
    if not np.isfinite(rho):
        return f"n = {len(x)}, no ρ: constant"
    return f"ρ = {rho:.2f}, n = {len(x)}\n[{low:.2f}, {high:.2f}]".replace("-", "−")
