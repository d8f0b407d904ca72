"""The bench of the engine, run with a tiny model."""

from argparse import Namespace

import engine
import pandas as pd


def test_every_candidate_runs_and_is_reported(tmp_path):
    given = Namespace(micro_batch=2, repeats=1, out=tmp_path)
    engine.run("tiny", "cpu", "float32", [2, 1], given)
    table = pd.read_csv(tmp_path / "engine_tiny_cpu_float32.csv")
    first = table[table["rows"] == 2]
    assert first["candidate"].tolist() == list(engine.CANDIDATES)
    assert first["ratio"].iloc[0] == 1 and (table["seconds"] > 0).all()
    assert set(table.loc[table["rows"] == 1, "candidate"]).isdisjoint(engine.OTHERS)
