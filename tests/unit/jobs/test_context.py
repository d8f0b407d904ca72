"""What a process says of itself, and what a job does with what is damaged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geffect import frames
from geffect.files import hash_folder
from geffect.jobs import context, records
from geffect.jobs.context import job, work
from geffect.jobs.provenance import provenance

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(context.__file__).parents[2])}


def test_ctrl_c_is_one_line_and_no_traceback(tmp_path, capsys):
    path = tmp_path / "results/nano/logs/a.log"
    with pytest.raises(SystemExit) as ended, job("a", path):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "interrupted" in said
    assert json.loads(path.with_name("a.json").read_text())["error"] == "interrupted (Ctrl-C)"


def test_provenance_names_what_a_number_may_depend_on_and_what_it_took(monkeypatch):
    # This process may have started just now, and seconds are rounded.
    monkeypatch.setattr(records, "_STARTED", records._STARTED - 90)
    found = provenance()
    assert found["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert found["gpu"]["count"] == torch.cuda.device_count()
    assert (found["gpu"]["name"] is None) == (not torch.cuda.is_available())
    assert found["peak_memory_mib"] > 50, "torch alone takes more"
    later = provenance()
    assert later["wall_seconds"] >= found["wall_seconds"] >= 90
    assert later["peak_memory_mib"] >= found["peak_memory_mib"]


def test_memory_that_was_taken_and_given_back_counts():
    code = (
        "from geffect.jobs import records; before = records.usage()['peak_memory_mib']\n"
        "taken = b'x' * (before + 200) * 2**20; del taken\n"
        "assert before + 200 <= records.usage()['peak_memory_mib'] <= 2 * before + 300"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


def damaged(folder):
    path = folder / "cells/a/table.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    return path


def test_a_damaged_input_is_one_line_and_made_anew_by_the_next_run(tmp_path, capsys):
    path = damaged(tmp_path)
    with pytest.raises(SystemExit) as ended, job("tables", tmp_path / "logs/tables.log"):
        frames.read(path)
    assert ended.value.code == 1
    assert not path.exists() and path.with_name("table.parquet.damaged").exists()
    shown = capsys.readouterr().err
    assert "table.parquet: is damaged" in shown and "Traceback" not in shown
    assert (tmp_path / "logs/tables.log").read_text().count("error:") == 1


def test_what_is_not_the_runs_own_is_never_moved(tmp_path):
    path = damaged(tmp_path / "of_the_user")
    with pytest.raises(SystemExit), job("tables", tmp_path / "run/logs/tables.log"):
        frames.read(path)
    assert path.exists()


def test_the_state_of_a_job_lies_beside_its_logs(tmp_path):
    log = tmp_path / "logs/unlearn/phi-1.5_forget05.log"
    assert work(log) == tmp_path / "work/unlearn/phi-1.5_forget05"


def test_the_hash_of_a_folder_is_of_its_files(tmp_path):
    # Hub downloads leave a hidden folder among the files.
    (tmp_path / ".cache").mkdir()
    (tmp_path / "config.json").write_text("{}")
    assert list(hash_folder(tmp_path, "*")) == ["config.json"]
