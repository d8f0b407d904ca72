"""NPO's weight, for cells of any objective."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up import PLAIN, made_up_results

from geffect.report.weighting import PAPER_BETA, beta, npo_weight, weighted_instances


def test_the_weight_is_the_one_that_the_objective_declares(rng):
    torch = pytest.importorskip("torch")
    from geffect.objectives import npo

    logp, logp_ref = -rng.uniform(0, 80, 50), -rng.uniform(0, 80, 50)
    at = rng.uniform(0.05, 3)
    view = SimpleNamespace(
        per_sample=lambda values: values,
        logp=torch.tensor(logp),
        logp_ref=torch.tensor(logp_ref),
    )
    ours = npo_weight(pd.Series(logp), pd.Series(logp_ref), at)
    np.testing.assert_allclose(ours, npo.weight(view, at).numpy(), rtol=1e-12)


def test_weights_stay_finite_where_probabilities_underflow():
    weights = npo_weight(pd.Series([-5000.0, 0.0]), pd.Series([0.0, -5000.0]), 2.0)
    assert weights.tolist() == [0.0, 2.0]


def test_cells_of_npo_have_their_own_beta_and_the_others_that_of_npo(rng):
    variants = {
        "ga": PLAIN["ga"],
        "npo_b2": {"name": "npo", "hyper": {"beta": 2.0}},
        "npo": {"name": "npo", "hyper": {"beta": 0.25}},
    }
    results = made_up_results(rng, variants, seeds=(1,))
    assert [beta(results, v) for v in ("ga", "npo_b2", "npo")] == [0.25, 2.0, 0.25]
    rows = weighted_instances(results)
    assert set(rows["component"]) == {"total"}
    for variant, at in (("ga", 0.25), ("npo_b2", 2.0)):
        mine = rows[rows["objective"].eq(variant)]
        expected = 2 / (1 + np.exp(-at * (mine["logp"] - mine["logp_ref"])))
        np.testing.assert_allclose(mine["npo_weight"], expected)
    alone = made_up_results(rng, {"ga": PLAIN["ga"]}, seeds=(1,))
    assert beta(alone) == PAPER_BETA
