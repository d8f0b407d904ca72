"""The page on own data, as it stands: a CSV file, a model on disk, one command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from geffect.report.tables.main import MAIN_COLUMNS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs/own_data.md"
WITHOUT = {"es_perturb_retain", "es_perturb_unlearn", "fq", "mu"}


def block(language, containing):
    """The first block of the page in a language that contains a text."""
    fences = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    return next(text for text in fences if containing in text)


class Page:
    """A folder in which the page's blocks are run."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, first=""):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        python = os.pathsep.join([str(self.folder / part) for part in (first, "workflow") if part])
        environment = {**os.environ, "PATH": path, "PYTHONPATH": python}
        ended = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def planned(self, first=""):
        output = self.run("snakemake", "-n", "--configfile", "my_data.yaml", first=first)
        return set(re.findall(r"^(?:local)?rule (\w+):", output, re.M)) - {"all"}

    def result(self, name):
        return self.folder / "results/my_data" / name


@pytest.fixture(scope="module")
def page(tmp_path_factory, checkout):
    made = Page(checkout(tmp_path_factory.mktemp("own")))
    made.run(sys.executable, "-c", block("python", "pairs.csv"))
    assert len(pd.read_csv(made.folder / "pairs.csv")) == 60
    (made.folder / "my_data.yaml").write_text(block("yaml", "run: my_data"), encoding="utf-8")
    made.run("bash", "-euo", "pipefail", "-c", block("bash", "my_data.yaml"))
    return made


def test_tables_have_all_columns_and_say_why_some_are_empty(page):
    main = pd.read_csv(page.result("tables/main.csv"))
    assert main["objective"].tolist() == ["original", "retain_model", "npo"]
    assert set(main["split"]) == {"authors"} and set(main["status"]) == {"ok"}
    for column in MAIN_COLUMNS:
        assert main[column].isna().all() if column in WITHOUT else main[column].notna().all()
    assert main.query("objective == 'npo'")[["e_unlearn", "change_retain"]].notna().all(axis=None)
    for name in ("main", "utility", "privacy", "matched"):
        text = page.result(f"tables/{name}.md").read_text("utf-8")
        assert "FQ and the truth ratio of D_u missing (authors)" in text
        assert "the forget rows have no paraphrased_answer" in text
        assert "there are no holdout rows" in text
    metrics = pd.read_csv(page.result("tables/metrics.csv")).set_index(["metric", "dataset"])
    assert metrics.loc[("rouge", "unlearn"), "value"].notna().all()
    assert metrics.loc[("em", "retain"), "value"].notna().all()
    assert metrics.loc[("mia_loss", "unlearn"), "value"].isna().all()


def test_figures_pages_and_statements_are_there(page):
    figures = {path.stem for path in page.result("figures/my_model/authors").glob("*.pdf")}
    assert {"geffect_npo", "trade_off", "performance_npo"} <= figures
    for name in ("report/index.html", "report/my_model/authors/tokens.html"):
        assert page.result(name).stat().st_size > 1000
    statements = pd.read_csv(page.result("tables/statements.csv"))
    assert set(statements["split"]) <= {"authors", "all"} and len(statements)


READS_NOTHING = """
from geffect.data import own

def read(*given, **named):
    raise SystemExit("the own files are read row by row")

own.read = read
"""


def test_what_is_in_a_file_counts_and_not_its_name_or_time(page):
    config, pairs = page.folder / "my_data.yaml", page.folder / "pairs.csv"
    text = config.read_text("utf-8")
    # The data job has checked these very files, so a plan need not do it again.
    (page.folder / "unread").mkdir()
    (page.folder / "unread/sitecustomize.py").write_text(READS_NOTHING, encoding="utf-8")
    assert page.planned(first="unread") == set()
    pairs.rename(page.folder / "moved.csv")
    config.write_text(text.replace("pairs.csv", "moved.csv"), encoding="utf-8")
    os.utime(page.folder / "moved.csv")
    try:
        assert page.planned() == set()
        (page.folder / "moved.csv").rename(pairs)
        config.write_text(text, encoding="utf-8")
        before = pairs.read_bytes()
        pairs.write_bytes(before.replace(b"?", b" then?", 1))
        assert {"data", "finetune", "unlearn", "evaluate", "tables"} <= page.planned()
        with pytest.raises(AssertionError, match="read row by row"):
            page.planned(first="unread")
        pairs.write_bytes(before)
    finally:
        config.write_text(text, encoding="utf-8")


def test_a_model_folder_that_is_rewritten_in_place_is_fine_tuned_again(page):
    weights = page.folder / "my_model/model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        planned = page.planned()
    finally:
        weights.write_bytes(before)
    assert {"take_base", "finetune", "unlearn", "evaluate"} <= planned and "data" not in planned


def test_any_model_is_evaluated_on_the_data_of_the_run(page):
    output = page.run(
        *(sys.executable, "-m", "geffect", "evaluate", "my_model", "--split", "authors"),
        *("--data", "results/my_data/data", "--template", "phi", "--out", "out"),
        *("--set", "bootstrap=0", "--set", "generation_length=64", "--device", "cpu"),
    )
    assert "es_exact" in output
    found = pd.read_parquet(page.folder / "out/samples.parquet")
    assert found["dataset"].value_counts().to_dict() == {"unlearn": 20, "retain": 10}
