"""Published numbers: what is refused, and what is said beside our own."""

import numpy as np
import pandas as pd
import pytest
from made_up import make_frames, name_cell

from geffect.errors import ConfigError, DataError
from geffect.report import published
from geffect.report.tables.main import VALUES, main_table
from geffect.report.tables.published import compared

KNOWN = {"model": ["tiny"], "split": ["forget05"], "objective": ["ga"], "regularizer": ["none"]}
GOOD = """model,split,objective,regularizer,mu,fq
tiny,forget05,ga,none,0.5,
tiny,forget05,original,none,,1e-3
"""
BAD = {
    "no column": ("objective,", "", "no column 'objective'"),
    "unknown column": (",fq", ",f_q", "unknown column 'f_q'; did you mean 'fq'"),
    "twice": (",fq", ",mu", "column 'mu' is there twice"),
    "unknown objective": ("05,ga", "05,gaa", "line 2: unknown objective 'gaa'"),
    "unknown split": ("forget05,ga", "forget5,ga", "line 2: unknown split 'forget5'"),
    "text": ("0.5", "half", "line 2, column mu: 'half' is not a finite number"),
    "not finite": ("0.5", "inf", "'inf' is not a finite number"),
    "cells": ("0.5,", "0.5", "line 2: 5 cells, but the header has 6"),
    "duplicate": ("original,none", "ga,none", "line 3: tiny, forget05, ga, none is in line 2"),
    "reference": ("original,none", "original,kl", "line 3: unknown regularizer 'kl'"),
}


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(GOOD)
    first, second = published.read(path, VALUES, KNOWN)
    assert first["mu"] == 0.5 and np.isnan(first["fq"])
    assert second["objective"] == "original" and second["fq"] == 1e-3


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_line(name, tmp_path):
    old, new, said = BAD[name]
    assert old in GOOD
    path = tmp_path / "published.csv"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        published.read(path, VALUES, KNOWN)
    assert said in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_or_missing_file_is_refused(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(GOOD.splitlines()[0])
    with pytest.raises(ConfigError, match="has no rows"):
        published.read(path, VALUES, KNOWN)
    with pytest.raises(DataError, match="check the path"):
        published.read(tmp_path / "none.csv", VALUES, KNOWN)


def test_theirs_stand_beside_ours_with_the_difference_and_our_interval(rng):
    metrics, effects, status = make_frames([name_cell("ga", seed=s) for s in range(3)], rng)
    ours = main_table(metrics, effects, status)
    row = ours.iloc[0]
    middle = (row["mu_low"] + row["mu_high"]) / 2
    keys = {k: row[k] for k in ("model", "split", "objective", "regularizer")}
    theirs = pd.DataFrame([{**keys, "mu": middle, "fq": row["fq_high"] + 0.1}])
    theirs = pd.concat([theirs, theirs.assign(objective="po", fq=np.nan)])
    table = compared(ours, theirs)
    assert table["metric"].tolist() == ["mu", "fq", "mu"]
    assert table["inside"].tolist()[:2] == ["yes", "no"] and pd.isna(table["inside"][2])
    np.testing.assert_allclose(table["difference"][:2], table["ours"][:2] - table["theirs"][:2])
    assert table["objective"].tolist() == ["ga", "ga", "po"] and np.isnan(table["ours"][2])
