"""A copy of the repository, and the nano configuration that its runs use."""

import os
import re
from pathlib import Path

import forked

NANO = Path(__file__).parent / "integration/nano.yaml"
CELLS = ["npo+kl", "wga+nll", "rmu+rr", "ga_exploding+none"]
FINITE = CELLS[:-1]
REPORT = {"tables", "statements", "token_page", "figures", "run_figures", "overview"}
"""The rules that sum up and show what cells left behind."""
TABLES = ("geffect", "risk", "trajectory", "instances", "tokens")


def grid_of(cell: str) -> dict:
    """The entry of a grid that has one cell of the nano configuration."""
    objective, regularizer = cell.split("+")
    return {
        "models": ["nano-phi"],
        "splits": ["forget10"],
        "objectives": [objective],
        "regularizers": [regularizer],
        "seeds": [3],
    }


class Checkout:
    """A copy of the repository in which files may be edited, and its runs."""

    configuration = (NANO,)

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *arguments, expect=0, more_config=()) -> str:
        """The output of Snakemake with the copy's configuration."""
        configuration = ["--configfile", *self.configuration, *more_config]
        return self.run(*configuration, *arguments, expect=expect)

    def run(self, *arguments, expect=0) -> str:
        """The output of Snakemake; scripts are forks (tests/forked.py), which saves imports."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "workflow")}
        result = forked.snakemake([*map(str, arguments)], self.folder, environment)
        output = result.stdout + result.stderr
        assert result.returncode == expect, output
        return output

    def planned(self, *arguments, more_config=()) -> dict[str, set[str]]:
        """Rule -> the cells (or "") of the jobs that a dry run plans."""
        output = self.snakemake("-n", "--cores", 2, *arguments, more_config=more_config)
        jobs: dict[str, set[str]] = {}
        rule = None
        for line in output.splitlines():
            if found := re.match(r"(?:local)?rule (\w+):", line):
                rule = found[1]
                jobs[rule] = jobs.get(rule, set())
            elif found := re.match(r"    output: \S*?/cells/\S+?/\S+?/(\S+?)/", line):
                jobs[rule].add(found[1])
        jobs.pop("all", None)
        return jobs

    def path(self, name: str, root="results") -> Path:
        return self.folder / root / "nano" / name

    def cell(self, cell: str, name: str, root="results") -> Path:
        return self.path(f"cells/nano-phi/forget10/{cell}/seed3/{name}", root)

    def edit(self, name: str, old: str, new: str):
        """Replaces text in a file of the copy; returns a function that undoes it."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return lambda: path.write_text(text)
