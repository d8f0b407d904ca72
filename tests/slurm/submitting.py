"""Runs through the profile, watched and disturbed from inside; of the nano configuration mostly.

A `sitecustomize.py` in the copy is the first thing that every Python of a run executes. It notes
which script ran where, makes Snakemake look at its jobs every second, and does to a script what a
trial asks for in the environment.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from checkout import NANO, Checkout
from snakemake.utils import update_config

INSIDE = """\
import itertools, os, pathlib, signal, sys, time

if sys.orig_argv[1:3] == ["-m", "snakemake"]:
    import asyncio
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    # The Slurm plugin waits 10 seconds longer after every look at which no job had ended, and has
    # no setting for that: most of a run of short jobs would be waiting.
    async def a_second(executor):
        await asyncio.sleep(1)

    RemoteExecutor.sleep = a_second

script = sys.orig_argv[-1]
if "/.snakemake/scripts/" in script:
    rule = script.split(".")[-2]
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SLURM_JOB_ID", "SLURM_JOB_PARTITION",
             "CUDA_VISIBLE_DEVICES")
    values = " ".join(os.environ.get(name, "-") for name in names)
    with open("scripts.txt", "a") as file:
        file.write(rule + " " + values + "\\n")
    if rule.startswith("unlearn") and "TRIAL_SECONDS_A_STEP" in os.environ:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        def after(*_):
            with open("steps.txt", "a") as file:
                file.write(str(os.getpid()) + "\\n")
            time.sleep(float(os.environ["TRIAL_SECONDS_A_STEP"]))

        register_optimizer_step_post_hook(after)
    if rule.startswith("unlearn") and "TRIAL_RENAME" in os.environ:
        place, number = os.environ["TRIAL_RENAME"].split()
        done, count, rename = pathlib.Path("renamed.txt"), itertools.count(1), pathlib.Path.rename

        def killed(self, target):
            state = pathlib.Path(target).name.startswith("step-")
            if state and not done.exists() and next(count) == int(number):
                done.touch()
                if place == "after":
                    rename(self, target)
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(self, target)

        pathlib.Path.rename = killed
"""


class Submitted(Checkout):
    """A checkout whose config.yaml has a configuration in it, so that commands are literal."""

    def __init__(self, folder, environment, *changes, configuration=NANO):
        super().__init__(folder)
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        settings = json.loads(json.dumps(settings))  # what anchors share would change together
        for change in (yaml.safe_load(configuration.read_text()), *changes):
            update_config(settings, change)
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        (folder / "workflow/sitecustomize.py").write_text(INSIDE)
        path = {"PYTHONPATH": str(folder / "workflow")}
        self.environment = {**os.environ, **environment, **path}

    def start(self, *arguments, command=("-m", "snakemake"), **environment) -> subprocess.Popen:
        """`snakemake --profile slurm ...` with short waits; its output goes to a file."""
        waits = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]
        self.output = self.folder / f"output{len(list(self.folder.glob('output*')))}.txt"
        with open(self.output, "w") as output:
            return subprocess.Popen(
                [sys.executable, *command, "--profile", "slurm", *map(str, arguments), *waits],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def finish(self, process, expect=0, seconds=600) -> str:
        """The output of a process that `start` returned, once it has ended."""
        status = process.wait(seconds)
        text = self.output.read_text()
        assert status == expect, text
        return text

    def submit(self, *arguments, expect=0, **environment) -> str:
        return self.finish(self.start(*arguments, **environment), expect)

    @property
    def scripts(self) -> list[list[str]]:
        """Rule, two variables, Slurm job, partition and GPU of every script that has started."""
        path = self.folder / "scripts.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def record(self, cell: str) -> dict | None:
        """What the job that unlearns a cell says of itself."""
        path = self.path(f"logs/unlearn/nano-phi_forget10_{cell}_seed3.json")
        return json.loads(path.read_text()) if path.exists() else None

    def newest(self, cell: str) -> int:
        """The step of the newest resume state of a cell, 0 where there is none."""
        work = self.path(f"work/unlearn/nano-phi_forget10_{cell}_seed3")
        return max((int(p.name[5:]) for p in work.glob("step-*[0-9]")), default=0)

    def at_work(self, cell: str, step: int, seconds=900) -> dict:
        """The record of the living job of a cell, once it has left a state of at least a step."""
        deadline = time.monotonic() + seconds
        while True:
            assert time.monotonic() < deadline, self.output.read_text()
            record = self.record(cell) if self.newest(cell) >= step else None
            if record and record["state"] == "running" and _is_script(record["pid"]):
                return record
            time.sleep(0.01)

    def kill(self, cell: str, step: int) -> None:
        """kill -9 of the process that unlearns a cell, at or soon after a step."""
        os.kill(self.at_work(cell, step)["pid"], signal.SIGKILL)

    def attempts(self) -> list[int]:
        """How many updates each process has made that took part in unlearning."""
        pids = (self.folder / "steps.txt").read_text().split()
        return [pids.count(pid) for pid in dict.fromkeys(pids)]


def resumed(logs: Path) -> list[int]:
    """The steps after which jobs went on, from all Slurm logs, in the order of job numbers."""
    paths = sorted(logs.rglob("*.log"), key=lambda path: int(path.stem))
    found = (re.search(r"resumed after step (\d+)", p.read_text(errors="replace")) for p in paths)
    return [int(match[1]) for match in found if match]


def _is_script(pid: int) -> bool:
    try:
        return b"/.snakemake/scripts/" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
