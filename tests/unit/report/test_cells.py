"""Frames of cells."""

import pandas as pd
from made_up import name_cell

from geffect.names import CELL
from geffect.report import cells


def test_status_and_last_step_of_a_run_are_those_of_its_training_log():
    keys = [name_cell("ga", "kl", 1), name_cell("npo", seed=2), name_cell("ga", seed=3)]
    ends = [True, False, True]
    logs = [
        pd.DataFrame({"step": range(1, 4 + n), "diverged": [False] * (2 + n) + [end]})
        for n, end in enumerate(ends)
    ]
    found = cells.status(keys, logs)
    assert found[CELL].to_dict("records") == keys
    assert found["status"].tolist() == ["diverged", "ok", "diverged"]
    here = ("tiny", "forget05")
    assert cells.diverged_steps(keys, logs) == {
        (*here, "ga", "kl", 1): 3,
        (*here, "ga", "none", 3): 5,
    }
