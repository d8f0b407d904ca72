"""Tables on disk, and the keys of a cell in them."""

import logging
from types import SimpleNamespace

import pandas as pd
import pytest

from geffect import frames
from geffect.errors import DamagedError, DataError

KEY = {"model": "tiny", "split": "forget05", "objective": "npo", "regularizer": "kl", "seed": "7"}
NUMBERED = KEY | {"seed": 7}


def test_the_keys_of_a_cell_stand_before_the_columns_of_its_tables(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table = pd.DataFrame({"step": [0, 5], "e": [0.5, -1.0]})
    found = frames.with_cell(table, KEY)
    assert list(found) == [*KEY, "step", "e"]
    assert found[list(KEY)].to_dict("records") == [NUMBERED, NUMBERED]
    pd.testing.assert_frame_equal(found[["step", "e"]], table)
    paths = {name: tmp_path / f"{name}.parquet" for name in ("a", "b", "c")}
    frames.write_cell({"a": table, "b": table.iloc[:1]}, KEY, paths)
    pd.testing.assert_frame_equal(frames.read(paths["a"]), found)
    assert len(frames.read(paths["b"])) == 1 and not paths["c"].exists()


def test_a_cell_has_a_name_for_logs():
    assert frames.cell_name(SimpleNamespace(**KEY)) == "tiny forget05 npo+kl seed7"


@pytest.mark.parametrize(
    ("corpus", "objective"), [("full", "original"), ("retain95", "retain_model")]
)
def test_a_reference_stands_as_a_cell_without_regularizer(corpus, objective):
    key = {"model": "tiny", "corpus": corpus, "split": "forget05", "seed": 3}
    assert frames.reference_cell(key) == {
        "model": "tiny",
        "split": "forget05",
        "objective": objective,
        "regularizer": "none",
        "seed": 3,
    }


def test_a_table_that_is_not_there_or_none_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    with pytest.raises(DataError, match=r"table\.parquet"):
        frames.read(path)
    path.write_text("no table")
    with pytest.raises(DamagedError, match=r"table\.parquet: is damaged"):
        frames.read(path)


def test_a_written_table_has_no_index(tmp_path):
    table = pd.DataFrame({"x": [1, 2]}, index=[5, 3])
    frames.write(table, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(frames.read(tmp_path / "t.parquet"), table.reset_index(drop=True))
