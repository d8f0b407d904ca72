"""`make bench-chain TINY=1`: the chain that one GPU is to run at full size, tiny and on the CPU."""

import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_chain_of_full_size_runs_tiny_as_make_says(checkout, tmp_path):
    made = Checkout(checkout(tmp_path))
    shown = subprocess.run(
        ["make", "--dry-run", "bench-chain", "TINY=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", "")
    (line,) = (line for line in shown.splitlines() if "/snakemake " in line)
    _, *arguments = shlex.split(line)
    made.run(*arguments)
    table = pd.read_csv(made.folder / "results/full_size_tiny/tables/main.csv")
    assert {"original", "ga"} <= set(table["objective"])
    cell = made.folder / "results/full_size_tiny/cells/random-phi-1_5/forget05/ga+none/seed42"
    assert pd.read_parquet(cell / "tokens.parquet")["e_retain"].notna().all()
