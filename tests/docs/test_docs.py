"""The README and the documentation: every block runs or says why not, every path exists.

A block of bash, python or yaml carries a comment in the line before it:

    <!-- run: NAME -->               run in order with the other blocks of that name on the page, in
                                     one copy of the repository
    <!-- run: NAME, file: PATH -->   the same, but the block becomes this file of the copy first
    <!-- not run: REASON -->         only read

A block of yaml is a configuration. One on own data is planned, with small files; others are checked
unless a block of bash plans them. What a reader puts over config.yaml alone is not tried over the
demo, which empties what config.yaml asks for.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
import yaml
from checkout import REPORT
from snakemake.utils import update_config

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        REPOSITORY / "config/README.md",
        *(REPOSITORY / "docs").glob("*.md"),
    ]
)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (?:run: (?P<name>[\w-]+)(?:, file: (?P<file>\S+))?|not run: .+) -->$")
CHECKED = ("bash", "python", "yaml")
FOLDERS = ("workflow", "tests", "docs", "config", "slurm", "profiles", "envs", "bench", ".ci")
DEMO = "results/demo"


class Block(NamedTuple):
    """A fenced block of a page, and the comment before it."""

    page: str
    line: int
    language: str
    text: str
    mark: re.Match | None

    @property
    def name(self):
        return self.mark and self.mark["name"]


def _blocks():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            before = text[: fence.start()].rstrip("\n").rpartition("\n")[2]
            line = text.count("\n", 0, fence.start()) + 1
            name = str(page.relative_to(REPOSITORY))
            yield Block(name, line, fence[1], fence[2], MARK.match(before))


BLOCKS = list(_blocks())
RUNS = list(dict.fromkeys((block.page, block.name) for block in BLOCKS if block.name))


@pytest.fixture
def demo(tiny_model, tokenizer):
    """A function: puts tiny random models and a few rows where the demo has its own."""
    import pandas as pd
    import torch

    def rows(start, stop):
        return pd.DataFrame(
            {
                "row": number,
                "question": f"What is number {number}?",
                "answer": f"It is {number} of them.",
                "paraphrased_question": f"Which number is {number}?",
                "paraphrased_answer": f"Number {number}, of them all.",
                "perturbed_answer": [f"It is {number + k}." for k in (1, 2)],
            }
            for number in range(start, stop)
        )

    def make(folder):
        (folder / DEMO / "data").mkdir(parents=True)
        names = ("held_out", "real_authors", "world_facts", "forget10")
        for start, name in enumerate(names):
            rows(5 * start, 5 * start + 5).to_parquet(folder / DEMO / "data" / f"{name}.parquet")
        cell = "cells/tiny-phi/forget10/{}/seed42/model"
        models = ["models/tiny-phi/full/seed42/model"]
        models += [cell.format(name) for name in ("npo+none", "npo+kl")]
        for name in models:
            tiny_model(dtype=torch.float32, tokenizer=tokenizer).save_pretrained(
                folder / DEMO / name
            )
            tokenizer.save_pretrained(folder / DEMO / name)

    return make


@pytest.mark.parametrize("page", [str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_every_block_is_run_or_says_why_not(page):
    unmarked = [
        f"{block.page}:{block.line} ({block.language})"
        for block in BLOCKS
        if block.page == page and block.language in CHECKED and block.mark is None
    ]
    assert not unmarked


def test_there_are_blocks_to_run():
    assert {block.language for block in BLOCKS if block.name} == set(CHECKED)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), RUNS, ids=[f"{page}-{name}" for page, name in RUNS])
def test_blocks_run(page, name, checkout, demo, tmp_path, monkeypatch):
    (tmp_path / "clone").mkdir()
    folder = checkout(tmp_path / "clone")
    monkeypatch.chdir(folder)
    blocks = [block for block in BLOCKS if (block.page, block.name) == (page, name)]
    if any(DEMO in block.text for block in blocks):
        demo(folder)
    for block in blocks:
        if block.mark["file"]:
            path = folder / block.mark["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            given, file = yaml.safe_load(block.text), block.mark["file"]
            if "tables" in given.get("data", {}):
                _write_own_files(given["data"]["tables"])
                _run(block, folder, ["snakemake", "all", "-n", "-q", "rules", "--configfile", file])
            elif not any(file and file in b.text for b in blocks if b.language == "bash"):
                _check_configuration(given)
        elif block.mark["file"]:
            _check_loss(block)
        elif block.language == "bash":
            _run(block, folder, ["bash", "-euo", "pipefail", "-c", block.text])
        else:
            _run(block, folder, [sys.executable, "-c", block.text])


def test_the_public_sets_take_a_model_of_ones_own(tmp_path, monkeypatch):
    """By either remedy of the page's last lines; without one, the probe of RR has no layer."""
    from geffect.config import Config
    from geffect.errors import ConfigError

    text = (REPOSITORY / "docs/own_data.md").read_text(encoding="utf-8")
    advice = re.findall(r"`((?:geffect|regularizers): \{[^`]+)`", text.rpartition("\n\n")[2])
    remedies = [yaml.safe_load(re.sub("MODEL", "mine", re.sub(r"\bN\b", "9", a))) for a in advice]
    assert len(remedies) == 2
    monkeypatch.chdir(tmp_path)
    refused = []
    for file in ("lume.yaml", "muse.yaml", "knowundo.yaml"):
        (block,) = (b for b in BLOCKS if b.mark and b.mark["file"] == file)
        given = _merged("config.yaml", yaml.safe_load(block.text))
        _write_own_files(given["data"]["tables"])
        given["models"]["mine"] = given["models"]["phi-1_5"]
        given["grid"][0]["models"] = ["mine"]
        for remedy in remedies:
            Config(_merged(given, remedy))
        try:
            Config(given)
        except ConfigError as error:
            assert "regularizers.rr.layer: missing" in str(error)
            refused.append(file)
    assert refused == ["muse.yaml", "knowundo.yaml"]


def _run(block, folder, command):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "workflow")}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, f"{block.page}:{block.line}\n{block.text}\n{output}"


def _merged(*configurations):
    """Configurations over one another; the names of files stand for what is in them."""
    result = {}
    for given in configurations:
        if isinstance(given, str):
            given = yaml.safe_load((REPOSITORY / given).read_text(encoding="utf-8"))
        update_config(result, given)
    return result


def _check_configuration(given):
    """A configuration over the paper's or the demo's, or over both where it has no grid."""
    from geffect.config import SCHEMA, Config

    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(_merged("config.yaml", given))
    models = {model for block in given.get("grid", ()) for model in block["models"]}
    if "tiny-phi" in models or not models:
        Config(_merged("config.yaml", "config/demo.yaml", given))
    if "tiny-phi" not in models:
        Config(_merged("config.yaml", given))


def _write_own_files(tables):
    """Small files wherever `data.tables` names some, with the columns that it names."""
    columns_of = {}
    background = [tables[name] for name in ("real_authors", "world_facts") if tables.get(name)]
    for entry in [*background, *(e for split in tables["splits"].values() for e in split.values())]:
        source = {"file": entry} if isinstance(entry, str) else entry
        names = {**tables.get("columns", {}), **source.get("columns", {})}
        here = columns_of.setdefault(source["file"], {}).setdefault(source.get("lists"), {})
        for field in ("question", "answer"):
            text = f"The {field} of {source.get('lists')} {{}} in {source['file']}"
            here |= {names.get(field, field): text}
        here |= source.get("where", {})
        here |= {"perturbed_answer": ["wrong"]} if entry in background else {}
    for name, lists in columns_of.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        _write_rows(Path(name), {key: _rows(columns) for key, columns in lists.items()})


def _rows(columns):
    """Enough rows for a batch beside the held-out ones."""
    for number in range(140):
        yield {
            name: value.format(number) if isinstance(value, str) else value
            for name, value in columns.items()
            if name is not None
        }


def _write_rows(path, lists):
    import pandas as pd

    if None not in lists:
        path.write_text(json.dumps({key: list(rows) for key, rows in lists.items()}), "utf-8")
        return
    (rows,) = lists.values()
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)


def _check_loss(block):
    """A file that the registry takes for an objective, and that can be imported."""
    from geffect.losses import registry

    registry.get("objective", block.mark["file"]).module()


def test_code_in_python_blocks_is_python():
    for block in BLOCKS:
        if block.language == "python" and block.name:
            ast.parse(block.text, filename=f"{block.page}:{block.line}")


@pytest.mark.parametrize("page", [str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_every_path_of_the_repository_exists(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = re.findall(r"`([^`\s{}*]+/[^`\s{}*]*)`", FENCE.sub("", text))
    paths = [path for path in named if path.split("/")[0] in FOLDERS]
    assert not [path for path in paths if not (REPOSITORY / path).exists()]
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", FENCE.sub("", text))
    assert not [link for link in links if not ((REPOSITORY / page).parent / link).exists()]


@pytest.mark.parametrize("page", ["config/README.md", "docs/configuration.md"])
def test_every_configuration_is_in_the_tables(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    named = re.findall(r"^\| `config/(\w+\.yaml)`", text, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml"))


@pytest.mark.parametrize("page", ["config/README.md", "docs/cluster.md"])
def test_tofu_is_downloaded_as_the_code_wants_it(page):
    from geffect.data.tofu import REVISION

    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert re.findall(r"--revision (\w+) --local-dir TOFU", text) == [REVISION]


@pytest.mark.parametrize("start", ["README.md", "docs/index.md"])
def test_every_page_can_be_reached_from_the_start(start):
    text = (REPOSITORY / start).read_text(encoding="utf-8")
    links = set(re.findall(r"\]\((?:docs/)?(\w+\.md)\b", text))
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"index.md"} <= links


def test_the_start_page_lists_the_commands():
    from geffect.__main__ import COMMANDS

    text = (REPOSITORY / "docs/index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`geffect (\w+)`\].+\| (.+) \|$", text, re.MULTILINE)
    assert dict(rows) == {name: about for name, (_, about) in COMMANDS.items()}


def test_the_readme_is_short_and_has_its_pictures():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    for path in (REPOSITORY / "docs/images").iterdir():
        assert path.stat().st_size < 150_000, path


def test_the_readmes_table_is_consistent_with_the_tutorial():
    """Both quote one finished demo."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    tutorial = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    rows = {
        cells[1].strip(): cells
        for cells in (r.split("|") for r in readme.splitlines()[20:45])
        if len(cells) > 9
    }
    for objective, regularizer, retain, unlearn, utility in re.findall(
        r"^(\w+) +(none|kl) +([\d.]+) +([\d.]+) +([\d.]+)", tutorial, re.MULTILINE
    ):
        cells = rows[objective.replace("_", " ")]
        shown = cells[7:10] if regularizer == "kl" else cells[2:5]
        quoted = [f"{float(value):.2f}" for value in (unlearn, retain, utility)]
        assert [cell.strip() for cell in shown] == quoted


def test_the_tutorials_table_has_the_headings_of_the_main_table():
    from geffect.report.tables.main import COLUMNS

    tutorial = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^objective +regularizer .+$", tutorial, re.MULTILINE)
    headings = {column.header for column in COLUMNS.values()}
    shown = re.split(" {2,}", line)
    assert len(shown) == 7
    assert set(shown[2:]) <= headings


def test_the_tutorials_plan_of_two_changed_cells_is_complete():
    tutorial = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^job +count\n[- ]+\n(.+?)^```$", tutorial, re.MULTILINE | re.DOTALL)
    plan = {job: int(count) for job, count in (line.split() for line in text.splitlines())}
    total = plan.pop("total")
    assert plan == {**dict.fromkeys(("unlearn", "evaluate", "matched"), 2), "all": 1} | (
        dict.fromkeys(REPORT, 1)
    )
    assert total == sum(plan.values())


def test_every_key_of_the_schema_is_on_the_configuration_page():
    sys.path.insert(0, str(REPOSITORY / "docs"))
    try:
        from hooks import SCHEMA, render
    finally:
        sys.path.pop(0)
    page = render()
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))

    def keys(entry):
        for name, inner in entry.get("properties", {}).items():
            yield name
            yield from keys(inner)

    for entry in (schema, *schema["$defs"].values()):
        for key in keys(entry):
            assert re.search(rf"`(?:[\w.]+\.)?{key}`", page), key
    lines = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    undescribed = [cells[1].strip() for cells in lines if not cells[-2].strip()]
    assert not undescribed


def test_every_section_of_a_configuration_is_introduced():
    from geffect.config import SCHEMA

    text = (REPOSITORY / "config/README.md").read_text(encoding="utf-8")
    listed = text.partition("The keys, in the order")[2]
    for key in yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["properties"]:
        assert f"`{key}`" in listed, key


@pytest.mark.docs
def test_the_documentation_builds_strictly(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (make docs installs it)")
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    page = (tmp_path / "configuration/index.html").read_text(encoding="utf-8")
    assert "checkpoint_every" in page
    interface = (tmp_path / "api/index.html").read_text(encoding="utf-8")
    assert "measure_instances" in interface
