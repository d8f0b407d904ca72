"""What a process says of itself, and that JSON is written whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from geffect import runtime

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])}


def test_provenance_names_what_a_number_may_depend_on_and_what_it_took():
    found = runtime.provenance()
    assert found["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert found["gpu"]["count"] == torch.cuda.device_count()
    assert (found["gpu"]["name"] is None) == (not torch.cuda.is_available())
    assert found["peak_memory_mib"] > 50, "torch alone takes more"
    later = runtime.provenance()
    for name in ("wall_seconds", "peak_memory_mib"):
        assert later[name] >= found[name] > 0


def test_memory_that_was_taken_and_given_back_counts():
    code = (
        "from geffect import jobs; before = jobs.usage()['peak_memory_mib']\n"
        "taken = b'x' * (before + 200) * 2**20; del taken\n"
        "assert before + 200 <= jobs.usage()['peak_memory_mib'] <= 2 * before + 300"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    runtime.write_json(path, {"b": 1, "a": [2]})
    assert path.read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    try:
        runtime.write_json(path, {"b": {1, 2}})
    except TypeError:
        assert json.loads(path.read_text()) == {"b": 1, "a": [2]}
    assert list(tmp_path.iterdir()) == [path]
