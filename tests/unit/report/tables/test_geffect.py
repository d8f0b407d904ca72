"""Cumulated G-effects against slow loops over fresh random frames."""

import numpy as np
import pandas as pd
import pytest
from made_up import cumulated_slowly, effects_of, name_cell

from geffect.names import CELL
from geffect.report.tables.geffect import cumulated


def test_cumulated_equals_a_loop_for_any_steps_and_row_order(rng):
    rows = []
    for seed in range(4):
        steps = rng.choice(100, size=rng.integers(1, 9), replace=False).tolist()
        rows += effects_of(name_cell("ga", seed=seed), rng, steps)
    frame = pd.DataFrame(rows).sample(frac=1, random_state=int(rng.integers(1 << 31)))
    frame.loc[rng.uniform(size=len(frame)) < 0.03, "geffect"] = np.nan
    keys = [*CELL, "term", "dataset", "component"]
    result = cumulated(frame)
    assert list(result) == [*keys, "cumulated"]
    assert result[keys].equals(frame[keys].drop_duplicates().reset_index(drop=True))
    for row in result.to_dict("records"):
        group = [r for r in frame.to_dict("records") if all(r[key] == row[key] for key in keys)]
        assert row["cumulated"] == pytest.approx(cumulated_slowly(group), nan_ok=True)


def test_cumulated_has_no_number_where_there_is_none(rng):
    single = pd.DataFrame(effects_of(name_cell("ga"), rng, steps=[0]))
    assert cumulated(single)["cumulated"].isna().all()
    run = pd.DataFrame(effects_of(name_cell("ga"), rng, steps=[0, 5, 8]))
    last_missing = run.assign(geffect=run["geffect"].where(run["step"].ne(8)))
    pd.testing.assert_frame_equal(cumulated(last_missing), cumulated(run))
    middle_missing = run.assign(geffect=run["geffect"].where(run["step"].ne(5)))
    assert cumulated(middle_missing)["cumulated"].isna().all()


def test_cumulated_of_no_rows_has_its_columns():
    assert list(cumulated(pd.DataFrame()))[-1] == "cumulated"


def test_cumulated_refuses_a_step_measured_twice(rng):
    frame = pd.DataFrame(effects_of(name_cell("ga"), rng))
    with pytest.raises(ValueError, match="row twice: model=tiny"):
        cumulated(pd.concat([frame, frame]))
