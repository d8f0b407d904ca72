"""The change of risk by term and component adds up."""

import numpy as np
import pytest

from geffect.names import COMPONENTS
from geffect.report.tables.attribution import attributed


def test_the_shares_of_a_run_add_up_to_its_measured_change(risk):
    table = attributed(risk)
    keys = ["regularizer", "seed", "dataset"]
    totals = table[table["component"].eq("total")]
    for _, rows in totals.groupby(keys):
        measured = rows["measured_change"].unique()
        np.testing.assert_allclose(measured, measured[0], rtol=1e-12)
        assert rows["predicted_change"].sum() == pytest.approx(measured[0])
    parts = table[table["component"].isin(COMPONENTS)]
    summed = parts.groupby([*keys, "term"])["predicted_change"].sum()
    expected = totals[totals["term"].ne("unexplained")].set_index([*keys, "term"])
    np.testing.assert_allclose(summed, expected["predicted_change"].reindex(summed.index))
