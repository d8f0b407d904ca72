"""The change of risk by term and component adds up."""

import numpy as np
import pandas as pd
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


def test_a_run_with_a_step_that_could_not_be_measured_has_no_sums(risk, gap):
    table, whole = attributed(gap[0]), attributed(risk)
    columns = ["predicted_change", "measured_change"]
    there = whole["regularizer"].eq("none") & whole["seed"].eq(1) & whole["dataset"].eq("unlearn")
    assert there.any() and table.loc[there, columns].isna().all(axis=None)
    pd.testing.assert_frame_equal(table[~there], whole[~there])


def test_a_run_that_was_measured_once_has_no_row(risk):
    last = risk[risk["step"].eq(risk["step"].max())]
    assert attributed(last).empty
