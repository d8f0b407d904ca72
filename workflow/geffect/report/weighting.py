"""The weight that NPO gives to samples, for cells of any objective."""

import numpy as np
import pandas as pd

from geffect.names import TOTAL
from geffect.report.results import Results

PAPER_BETA = 0.5
"""β of NPO in the paper, for configurations without a variant of NPO."""


def npo_weight(logp: pd.Series, logp_ref: pd.Series, beta: float | np.ndarray) -> pd.Series:
    """w_s = 2 p^β / (p^β + p_o^β), p = p(s; θ) under the current and p_o under the original model.

    Args:
        logp, logp_ref: log p(s) and log p_o(s), summed over the label tokens of the answer.
        beta: NPO's hyper-parameter, one for all or one of each row.
    """
    ratio = (logp - logp_ref).to_numpy(dtype="float64")
    return pd.Series(2 * np.exp(-np.logaddexp(0, -beta * ratio)), index=logp.index)


def beta(results: Results, variant: str | None = None) -> float:
    """β of a variant of NPO; else of the one that stands for NPO; else the paper's."""
    names = results.families().get("npo", [])
    chosen = variant if variant in names else next(iter(names), None)
    hyper = results.variants.get(str(chosen), {}).get("hyper", {})
    return float(hyper.get("beta", PAPER_BETA))


def weighted_instances(results: Results) -> pd.DataFrame:
    """The total effects of all samples, with NPO's weight `npo_weight` of each at every step.

    Cells of NPO have it with their own β, all others with that of `beta`. Empty where the cells
    have no instances.
    """
    rows = results.frame("instances", component=TOTAL)
    if rows.empty:
        return rows
    of_variant = {v: beta(results, v) for v in rows["objective"].unique()}
    betas = rows["objective"].map(of_variant).to_numpy(dtype="float64")
    return rows.assign(npo_weight=npo_weight(rows["logp"], rows["logp_ref"], betas))
