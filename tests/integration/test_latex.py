"""The LaTeX tables of a run, compiled: they fit into the text, and nothing in them is tiny."""

import re
import subprocess

import pandas as pd
import pytest
from checkout import CELLS

from geffect.names import CELL
from geffect.report import registry, writing
from geffect.report.cells import ROW
from geffect.report.tables import main, published

pytestmark = pytest.mark.latex

# Streams of text are not compressed, so that the sizes of letters can be read.
DOCUMENT = r"""\documentclass{article}
\pdfcompresslevel=0
\pdfobjcompresslevel=0
\usepackage{booktabs}
\begin{document}
\input{%s}
\end{document}
"""
FOOTNOTESIZE = 7.97  # Computer Modern of 8 TeX points, in points of a PDF
DECLARED = {n: d for n, d in registry.catalogue(registry.TABLE).items() if "tex" in d.formats}


def compiled(tex, folder):
    """The log and the PDF of a document that holds a table alone."""
    document = folder / "document.tex"
    document.write_text(DOCUMENT % tex)
    ended = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document.name],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    log = document.with_suffix(".log").read_text(errors="replace")
    return log, document.with_suffix(".pdf").read_bytes()


def assert_legible(tex, folder):
    log, pdf = compiled(tex, folder)
    assert not re.findall(r"Overfull \\hbox.*", log)
    sizes = {float(size) for size in re.findall(rb"/F\d+ ([\d.]+) Tf", pdf)}
    assert sizes and min(sizes) >= FOOTNOTESIZE, sizes
    scales = re.findall(rb"([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+) [-\d.]+ [-\d.]+ cm", pdf)
    assert scales and set(scales) == {(b"1", b"0", b"0", b"1")}, "nothing is shrunk"
    parts = tex.read_text(encoding="utf-8").count(r"\begin{table*}")
    pages = int(re.search(r"\((\d+) pages?,", log)[1])
    assert 1 <= pages <= parts, "every part fits on a page"


def test_every_table_of_a_run_compiles(local_run, tmp_path):
    found = sorted(local_run.path("tables").glob("*.tex"))
    assert {path.stem for path in found} >= {"main", "utility", "privacy"}
    for tex in found:
        assert_legible(tex, tmp_path)


def frame_of(name, run):
    """A table of a run; those that it has none of (published, relearn, quantized) of its cells."""
    if name in ("relearn", "quantized"):
        table = DECLARED[name].module()
        status = pd.concat(pd.read_parquet(run.cell(c, "geffect.parquet"))[CELL][:1] for c in CELLS)
        status["status"] = "ok"
        nothing = pd.DataFrame()
        if name == "relearn":
            return table.relearn_table(nothing, nothing, [], status)
        return table.quantized_table(nothing, status)
    if name != "published":
        return pd.read_csv(run.path(f"tables/{name}.csv"))
    ours = pd.read_csv(run.path("tables/main.csv"))
    return published.compared(ours, ours[[*ROW, *main.VALUES]].fillna(0.5))


@pytest.mark.parametrize("name", DECLARED)
def test_so_do_tables_with_spreads_and_longer_names(name, local_run, tmp_path, rng):
    frame = frame_of(name, local_run)
    numbers = [c for c in frame if f"{c}_sd" in frame]
    frame["model"] = "llama-3.2-11b"
    frame["regularizer"] = "kl_weak"
    for column in numbers:
        frame[column] = -(10 ** rng.uniform(-5, 5, len(frame)))
        frame[f"{column}_sd"] = 10 ** rng.uniform(-5, 5, len(frame))
    if "status" in frame:
        frame["status"], frame["n_seeds"] = "diverged", 3
    paths = [tmp_path / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")]
    columns = getattr(DECLARED[name].module(), "COLUMNS", {})
    writing.write(frame, *paths, caption="A caption of 100% of D_u & D_r.", columns=columns)
    assert_legible(paths[-1], tmp_path)
