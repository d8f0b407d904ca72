"""A Slurm that answers as it is told: fake squeue, sacct, scontrol and scancel on PATH."""

import json
import os
import sys

import pytest

# Reads what Slurm holds from a file beside it, so that scancel in one process changes squeue's
# answer in the next one.
FAKE = """#!{python}
import json, os, sys
from pathlib import Path

here = Path(__file__).parent
state = json.loads((here / "state.json").read_text())
name, arguments = Path(__file__).name, sys.argv[1:]
with open(here / "calls", "a") as calls:
    print(name, *arguments, file=calls)
if name in state["broken"]:
    sys.exit(name + ": error: " + state["broken"][name])
option = lambda flag: arguments[arguments.index(flag) + 1].split(",") if flag in arguments else None
if name == "squeue":
    ids, names = option("--jobs"), option("--name")
    found = [j for j in state["queue"] if (not ids or str(j[0]) in ids)]
    found = [j for j in found if not names or j[2] in names]
    if ids and len(ids) == 1 and not found:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for job, status, _ in found:
        print(job, status)
elif name == "scancel" and not state["deaf"]:
    state["queue"] = [
        [job, "CANCELLED" if str(job) in arguments else status, run]
        for job, status, run in state["queue"]
    ]
    (here / "state.json").write_text(json.dumps(state))
elif name == "sacct":
    for job, status in state["accounting"]:
        if str(job).split(".")[0] in option("-j"):
            print(job, status, sep="|")
elif name == "scontrol":
    job = arguments[-1]
    print(f"JobId={job}", "   StdErr=x", f"   StdOut={here / job}.log", sep="\\n")
"""


class FakeSlurm:
    """queue: (id, state, name); accounting: (id or id.step, state)."""

    def __init__(self, folder):
        self.folder = folder
        self._state = {"queue": [], "accounting": [], "broken": {}, "deaf": False}
        for name in ("squeue", "sacct", "scontrol", "scancel"):
            (folder / name).write_text(FAKE.replace("{python}", sys.executable))
            (folder / name).chmod(0o755)
        self._write()

    def _write(self):
        (self.folder / "state.json").write_text(json.dumps(self._state))

    @property
    def queue(self):
        return [tuple(j) for j in json.loads((self.folder / "state.json").read_text())["queue"]]

    @queue.setter
    def queue(self, jobs):
        self._state["queue"] = jobs
        self._write()

    def accounting(self, *rows):
        self._state["accounting"] = rows
        self._write()

    def broken(self, command, message):
        self._state["broken"][command] = message
        self._write()

    def deaf(self):
        """scancel succeeds, and nothing happens."""
        self._state["deaf"] = True
        self._write()

    def log(self, job, *lines):
        path = self.folder / f"{job}.log"
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def calls(self, command):
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == command]


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("slurm")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return FakeSlurm(folder)
