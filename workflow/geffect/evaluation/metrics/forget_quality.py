"""Forget quality (TOFU): can the unlearned model be told from one that never saw the data?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp


def forget_quality(ratios_unlearned: ArrayLike, ratios_retain: ArrayLike) -> float:
    """P-value of the two-sample Kolmogorov-Smirnov test between truth ratios.

    Args:
        ratios_unlearned: geometric truth ratios of the unlearned model on the forget set,
            dimensionless, (rows,).
        ratios_retain: the same of the matching retain model, (rows,); the two may differ in
            their number of rows.

    Returns:
        The p-value in [0, 1], 1 for equal samples; nan if a ratio is not finite.

    Raises:
        ValueError: a sample that is empty or not one-dimensional.

    Source: TOFU, "Forget Quality".
    """
    unlearned = _sample(ratios_unlearned, "ratios_unlearned")
    retain = _sample(ratios_retain, "ratios_retain")
    # The test only ranks, so it would rank an infinity like any other number.
    if not (np.isfinite(unlearned).all() and np.isfinite(retain).all()):
        return float("nan")
    return float(ks_2samp(unlearned, retain).pvalue)


def _sample(ratios: ArrayLike, name: str) -> NDArray[np.float64]:
    ratios = np.asarray(ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size == 0:
        raise ValueError(f"{name} has shape {ratios.shape}: pass at least one row, (rows,)")
    return ratios
