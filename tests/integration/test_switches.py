"""Switches of a run in all pairs: its tables are complete, add up, and know no switch but those
that change what is asked for.
"""

import dataclasses
import itertools
import os
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from settings import PAPER

from geffect.effects.measurement import Measurement, measure_checkpoints
from geffect.losses import loss
from geffect.losses.loss import regularizer
from geffect.models.checkpoints import Checkpoints, moved_until, trajectory
from geffect.models.compute import computing_in
from geffect.models.folder import save_model
from geffect.names import COMPONENTS, REGULARIZER, TOTAL
from geffect.training.unlearning import Observers, Run

pytestmark = pytest.mark.slow

SWITCHES = {
    "precision": ("float32", "bf16"),
    "gradient_checkpointing": (False, True),
    "in_run": (False, True),
    "keep_checkpoints": (False, True),
    "reduction": ("global", "microbatch"),
    "positions": ("labels", "all"),
    "retain_rows": ("held_out", "train"),
    "objective": ("npo", "rmu", "dpo"),
}
BLOCKS, STEPS = 3, [0, 1, 2]
SETTINGS = dataclasses.replace(
    PAPER, epochs=2, batch_size=4, micro_batch_size=2, learning_rate=1e-3, weight_decay=0.1
)


def assert_same(tables, others):
    assert set(tables) == set(others)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, others[name], check_exact=True)


def pairs_of(row):
    return set(itertools.combinations(sorted(row.items()), 2))


def covering(switches, rng, tries=50):
    """Rows of values, of which every two switches take every two values together in one."""
    names = list(switches)
    every = itertools.product(*(range(len(switches[name])) for name in names))
    missing = set().union(
        *(pairs_of({n: switches[n][i] for n, i in zip(names, c, strict=True)}) for c in every)
    )
    rows = []
    while missing:
        drawn = [
            {name: values[rng.integers(len(values))] for name, values in switches.items()}
            for _ in range(tries)
        ]
        best = max(drawn, key=lambda row: len(pairs_of(row) & missing))
        if pairs_of(best) & missing:
            rows.append(best)
            missing -= pairs_of(best)
    return rows


# Drawn where tests are collected, so that each is one of its own.
ROWS = covering(SWITCHES, np.random.default_rng(int(os.environ["GEFFECT_TEST_SEED"])))


def test_the_rows_have_all_pairs(seed):
    for a, b in itertools.combinations(SWITCHES, 2):
        found = {(row[a], row[b]) for row in ROWS}
        assert found == set(itertools.product(SWITCHES[a], SWITCHES[b])), (a, b)
    assert len(ROWS) < 20


@pytest.fixture
def tables_of(cell_of, tiny_model, tokenizer, tmp_path, monkeypatch):
    """Functions that give a row its cell; its tables, its log, and the checkpoints that stay."""
    monkeypatch.setattr(loss, "PADDED_LENGTH", 60)  # nothing is learnt from 500 positions
    original = tmp_path / "original"
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, original)

    def build(row):
        cell = cell_of(row["objective"], None, forget=4)
        cell.losses[REGULARIZER] = regularizer("kl", 0.5, positions=row["positions"])
        return cell

    def run(row, cell, name):
        settings = dataclasses.replace(
            SETTINGS,
            gradient_checkpointing=row["gradient_checkpointing"],
            reduction=row["reduction"],
        )
        folder, last = tmp_path / name, STEPS[-1]
        made = Run(cell, original, "cpu")
        retain = cell.held_out if row["retain_rows"] == "held_out" else cell.sample(made.draws)
        measurement = Measurement(cell, made.draws, {}, retain, 8)
        kept = [1] if row["in_run"] else None
        checkpoints = Checkpoints(folder / "checkpoints", last, kept)
        if row["in_run"]:
            looks = measurement.looks_at_original
            measurement.begin(made.model, made.original if looks else None)
            watching = [checkpoints] if row["keep_checkpoints"] else []
            observer = Observers(*watching, measurement)
            outcome = made.train(settings, 1, observer, "run")
        else:
            outcome = made.train(settings, 1, checkpoints, "run")
            save_model(made.model, cell.encoder.tokenizer, folder / "model")
            folders = trajectory(original, folder / "checkpoints", folder / "model", last)
            moved = partial(moved_until, folder / "checkpoints")
            measure_checkpoints(folders, measurement, "cpu", "geffect", moved)
            if row["keep_checkpoints"]:
                again = Measurement(cell, made.draws, {}, retain, 8)
                measure_checkpoints(folders, again, "cpu", "geffect", moved)
                assert_same(again.tables(), measurement.tables())
        there = sorted(path.name for path in (folder / "checkpoints").glob("step-*"))
        return measurement.tables(), outcome.frame(), there

    return build, run


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row.values())))
def test_tables_are_complete_add_up_and_do_not_depend_on_how_they_were_made(row, tables_of):
    build, run = tables_of
    cell = build(row)
    flipped = row | {key: not row[key] for key in ("gradient_checkpointing", "in_run")}
    with computing_in(row["precision"]):
        tables, log, there = run(row, cell, "one")
        others, other_log, _ = run(flipped, cell, "other")
    left = row["keep_checkpoints"] or not row["in_run"]
    assert there == (["step-00001"] if left else [])

    geffect, places = tables["geffect"], [TOTAL, *COMPONENTS, "layer.1", "layer.2", "layer.3"]
    keys = ["step", "term", "dataset", "component"]
    terms, datasets = ["objective", "regularizer", "combined"], ["unlearn", "retain"]
    wanted = pd.MultiIndex.from_product([STEPS, terms, datasets, places], names=keys)
    assert set(geffect[keys].itertuples(index=False, name=None)) == set(wanted)
    assert len(geffect) == len(wanted)
    assert np.isfinite(geffect["geffect"]).all()
    for name in ("instances", "tokens"):
        assert np.isfinite(tables[name][["e_unlearn", "e_retain"]]).all(axis=None)
        assert set(tables[name]["step"]) == set(STEPS)
    whole = tables["risk"].query("component == 'total' and step < 2")
    assert len(whole) == 2 * 2 * 4
    for _, rows in whole.groupby(["step", "dataset"]):
        change = rows["measured_change"].unique().item()
        assert rows["predicted_change"].sum() == pytest.approx(change, rel=1e-9, abs=1e-12)
    assert log["step"].tolist() == [1, 2] and np.isfinite(log["loss"]).all()

    assert_same(others, tables)
    pd.testing.assert_frame_equal(log, other_log, check_exact=True)
