"""What tables and figures look at."""

import pandas as pd
import pytest
from made_up import SWEEPS, name_cell

from geffect import frames
from geffect.errors import DataError
from geffect.report.results import Results


def test_frames_of_cells_have_their_keys_and_missing_ones_are_left_out(rng, tmp_path):
    cells = [name_cell("ga", seed=seed) for seed in (1, 2, 3)]
    paths = [tmp_path / f"{n}.parquet" for n in range(2)]
    values = rng.normal(size=2)
    for path, value in zip(paths, values, strict=True):
        frames.write(pd.DataFrame({"step": [0, 1], "loss": [value, 0.0]}), path)
    results = Results(cells, {"training": [paths[0], None, paths[1]]})
    frame = results.frame("training")
    assert frame["seed"].tolist() == [1, 1, 3, 3]
    assert results.frame("training", step=0)["loss"].tolist() == values.tolist()
    assert results.frame("geffect").empty
    missing = Results(cells[:1], {"training": [tmp_path / "none.parquet"]})
    with pytest.raises(DataError, match="no such table"):
        missing.frame("training")


def test_a_table_of_the_report_is_cut_to_the_cells(tmp_path):
    table = pd.DataFrame(
        [name_cell(n, model=m) for m in ("tiny", "other") for n in ("original", "ga")]
    )
    table.to_csv(tmp_path / "main.csv", index=False)
    results = Results([name_cell("ga")], {"main": str(tmp_path / "main.csv")})
    assert results.frame("main")["model"].tolist() == ["tiny", "tiny"]


def test_the_variant_that_stands_for_an_objective_has_its_name_else_is_the_first():
    variants = {name: SWEEPS[name] for name in ("wga_a7", "wga", "rmu_l9_c1", "rmu_l5_c1")}
    results = Results([name_cell(name) for name in variants], variants=variants)
    assert results.families() == {"wga": ["wga", "wga_a7"], "rmu": ["rmu_l9_c1", "rmu_l5_c1"]}
    outside = {"mine": {"name": "my_objectives/bounded.py", "hyper": {}}}
    assert Results([name_cell("mine")], variants=outside).families() == {"bounded": ["mine"]}


def test_status_of_a_cell_without_a_log_is_missing():
    cells = [name_cell("ga"), name_cell("po")]
    log = pd.DataFrame({"step": [1, 2], "diverged": [False, True]}).assign(**cells[0])
    results = Results(cells, frames={"training": log})
    assert results.status()["status"].tolist() == ["diverged", "missing"]
    assert results.diverged_steps() == {("tiny", "forget05", "ga", "none", 42): 2}


@pytest.mark.parametrize(
    ("models", "splits", "place"),
    [
        (["tiny"], ["forget05"], ""),
        (["tiny"], ["forget05", "forget10"], " (forget10)"),
        (["tiny", "other"], ["forget05"], " (other)"),
        (["tiny", "other"], ["forget05", "forget10"], " (other, forget10)"),
    ],
)
def test_a_gap_is_that_of_its_cell_and_says_in_which_model_and_split(models, splits, place):
    """The same variant and seed of another model or split has finished."""
    seeds = (1, 2)
    cells = [
        name_cell("ga", seed=seed, model=model, split=split)
        for model in models
        for split in splits
        for seed in seeds
    ]
    *others, last = cells
    logs = [
        pd.DataFrame({"step": [1, 2], "diverged": [False, c == last]}).assign(**c) for c in cells
    ]
    frame = pd.DataFrame([{**cell, "step": 0} for cell in others])
    frames_of = {"training": pd.concat(logs), "geffect": frame}
    assert Results(cells, frames=frames_of).gaps("geffect") == [
        f"ga+none{place} seed 2 diverged at step 2"
    ]
    frames_of["training"] = pd.concat(logs[:-1])
    assert Results(cells, frames=frames_of).gaps("geffect") == [f"ga+none{place} seed 2 is missing"]
    if len(cells) > 2:
        assert f"ga+none{place} has 1 of 2 seeds" in Results(others, frames=frames_of).gaps(
            "geffect"
        )
