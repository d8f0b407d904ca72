"""Snakemake whose scripts are forks of one process that has imported what they need.

    python tests/forked.py ARGUMENTS     # as python -m snakemake ARGUMENTS

A script is a Python of its own, which takes seconds of CPU time to import torch. Here one process
imports what scripts import, and each of them is a fork of it: still a process of its own, with its
own environment, exit status and memory. That such runs have the bytes of ordinary ones is what
tests/slurm compares.

From Python, `snakemake` spares Snakemake's own imports, too, and those of libraries that scripts
share: what is not of the checkout is imported once for all runs.
"""

import ast
import contextlib
import gc
import importlib
import multiprocessing
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

LATER = {"torch": ("geffect.effects.measurement", "transformers.models.phi.modeling_phi")}
"""What scripts that import a module import once they run."""
LIBRARIES = (
    "snakemake.cli",
    "snakemake.script",
    "torch",
    *(name for later in LATER.values() for name in later if not name.startswith("geffect")),
)
"""What is imported once for all runs: nothing of a checkout, whose files tests edit."""


def imported(script: str) -> None:
    """Imports what a script imports at its top."""
    for node in ast.parse(Path(script).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            with contextlib.suppress(ImportError):  # a name in a module; or the script says so
                importlib.import_module(name)
    for module in LATER:
        if module in sys.modules:
            for name in LATER[module]:
                importlib.import_module(name)


def run(script: str, environment: dict[str, str]) -> int:
    """The exit status of a script that is run here."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = [script]
    status = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def serve(requests: socket.socket) -> None:
    """Runs scripts until nobody can ask any more."""
    while True:
        message, (answers,), *_ = socket.recv_fds(requests, 2**20, 1)
        script, environment = pickle.loads(message)
        imported(script)
        if os.fork() == 0:
            # In between, a process that waits for the script, so that this one need not.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            script_is = os.fork()
            if script_is == 0:
                os.close(answers)
                os._exit(run(script, environment))
            os.write(answers, b"%d\n" % script_is)
            _, status = os.waitpid(script_is, 0)
            os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        os.close(answers)


def execute(requests: socket.socket, script: str, environment: dict[str, str], record) -> int:
    """The exit status of a script that is run as a fork of the process that serves requests."""
    from snakemake.benchmark import benchmarked

    reading, writing = os.pipe()
    socket.send_fds(requests, [pickle.dumps((script, environment))], [writing])
    os.close(writing)
    with open(reading) as answers:
        number = int(answers.readline())
        with benchmarked(number if record is not None else False, record):
            return int(answers.readline())


THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
"""As of a script that Snakemake starts with one thread."""


@contextlib.contextmanager
def _one_thread():
    before = dict(os.environ)
    os.environ.update(THREADS)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def main() -> None:
    os.environ.update(THREADS)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with contextlib.suppress(ValueError):  # no message: Snakemake has ended
            serve(theirs)
        os._exit(0)
    theirs.close()

    from subprocess import CalledProcessError

    from snakemake import cli, script

    def execute_script(self, name, edit=False):
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        if status := execute(ours, name, environment, self.bench_record):
            raise CalledProcessError(status, f"{sys.executable} {name}")

    script.PythonScript.execute_script = execute_script
    cli.main()


def snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Snakemake in a folder, as `subprocess.run` tells of it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    with tempfile.NamedTemporaryFile("r") as output, tempfile.NamedTemporaryFile("r") as errors:
        asked = (arguments, str(folder), environment, (output.name, errors.name))
        process = context.Process(target=_inside, args=asked)
        with _one_thread():  # as the server, which starts with the first process, shall have it
            process.start()
        process.join()
        read = output.read(), errors.read()
    return subprocess.CompletedProcess(arguments, process.exitcode, *read)


def _inside(arguments, folder, environment, files) -> None:
    gc.freeze()  # what was imported for all stays shared
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv[:] = [__file__, *arguments]
    for number, path in enumerate(files, start=1):
        with open(path, "w") as file:
            os.dup2(file.fileno(), number)
    main()


if __name__ == "__main__":
    main()
