"""What is written is whole or not there, and what is damaged is an error that says so."""

import errno
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from geffect import files, frames
from geffect.errors import DamagedError, DataError, DiskError


def test_a_folder_takes_its_name_only_when_it_is_whole(tmp_path):
    folder = tmp_path / "deep" / "result"
    with files.written_folder(folder) as partial:
        (partial / "a").write_text("1")
        assert not folder.exists()
    assert [p.name for p in folder.iterdir()] == ["a"]
    assert not partial.exists()


def test_a_failed_folder_leaves_nothing_under_the_final_name(tmp_path):
    folder = tmp_path / "result"
    with pytest.raises(OSError), files.written_folder(folder) as partial:
        (partial / "a").write_text("1")
        raise OSError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_of_a_folder_does_not_get_into_the_next(tmp_path):
    folder = tmp_path / "result"
    (tmp_path / "result.partial").mkdir()
    (tmp_path / "result.partial" / "old").write_text("half")
    with files.written_folder(folder) as partial:
        (partial / "new").write_text("whole")
    assert [p.name for p in folder.iterdir()] == ["new"]


def test_a_failed_write_keeps_what_was_there(tmp_path):
    folder = tmp_path / "result"
    with files.written_folder(folder) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(OSError), files.written_folder(folder) as partial:
        (partial / "b").write_text("2")
        raise OSError
    assert [p.name for p in folder.iterdir()] == ["a"]
    files.write_text("first", tmp_path / "text")
    with pytest.raises(KeyError), files.written(tmp_path / "text") as partial:
        partial.write_text("sec")
        raise KeyError
    assert (tmp_path / "text").read_text() == "first"
    assert not partial.exists()


def test_a_table_that_is_cut_off_is_an_error_that_names_it_at_every_length(tmp_path, rng):
    path = tmp_path / "table.parquet"
    frames.write(pd.DataFrame({"x": rng.normal(size=50), "name": ["a"] * 50}), path)
    assert len(frames.read(path)) == 50
    whole = path.read_bytes()
    for length in {0, 1, len(whole) - 1, *rng.integers(len(whole), size=10).tolist()}:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"table.parquet") as error:
            frames.read(path)
        assert error.value.path == path and "\n" not in str(error.value)
    with pytest.raises(DataError, match="no such"):
        frames.read(tmp_path / "none.parquet")


def test_damaged_json_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "record.json"
    files.write_json({"a": 1}, path)
    assert files.read_json(path) == {"a": 1}
    path.write_text(path.read_text()[:-3])
    with pytest.raises(DamagedError, match=r"record.json"):
        files.read_json(path)


def test_what_is_set_aside_makes_room_for_a_new_one_again_and_again(tmp_path):
    for content in ("one", "two"):
        (tmp_path / "file").write_text(content)
        assert files.set_aside(tmp_path / "file").read_text() == content
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").write_text(content)
        assert (files.set_aside(tmp_path / "model") / "weights").read_text() == content
        assert not (tmp_path / "file").exists() and not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_takes_the_others_along(tmp_path):
    for step in (5, 10):
        (tmp_path / "checkpoints" / f"step-{step:05d}").mkdir(parents=True)
    files.set_aside(tmp_path / "checkpoints" / "step-00005")
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_that_names_what_had_no_room(number, tmp_path):
    with (
        pytest.raises(DiskError, match=r"result.*free some space"),
        files.written(tmp_path / "result"),
    ):
        raise OSError(number, os.strerror(number))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    if os.geteuid() or sys.platform != "linux":
        pytest.skip("mounting a small file system needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_really_full_disk_nothing_half_written_stays(small_disk, rng):
    frame = pd.DataFrame({"x": rng.normal(size=400_000)})
    with pytest.raises(DiskError, match=r"table.parquet"):
        frames.write(frame, small_disk / "table.parquet")
    with (
        pytest.raises(DiskError, match="model"),
        files.written_folder(small_disk / "model") as partial,
    ):
        save_file({"x": torch.zeros(2**20)}, partial / "0.safetensors")
    assert list(small_disk.iterdir()) == []
