"""The wheel: built from the repository, it works in an environment outside of it."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from common import rows_of

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "workflow/geffect"
DATA = ("py.typed", "config/schema.yaml", "data/refusals.txt", "data/tofu_sha256.json")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def _run(*command, cwd, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the repository, where no earlier build has left anything."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "workflow", source / "workflow", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    _run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment with the wheel, and with the dependencies that are here."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin/python"
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile")
    _run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    (packages,) = folder.glob("lib/*/site-packages")
    # Lines of .pth files over there are not read, so an editable installation is not seen.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {f"geffect/{name}" for name in DATA} <= names
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert names == {path.relative_to(PACKAGE.parent).as_posix() for path in files}


def test_the_installed_package_is_the_one_that_is_used(python, tmp_path):
    code = "import geffect; print(geffect.__file__); print(geffect.objective('npo', beta=0.5).name)"
    path, name = _run(python, "-c", code, cwd=tmp_path).split()
    assert Path(path).is_relative_to(python.parents[1])
    assert name == "npo"


def test_the_commands_are_installed(python, tmp_path):
    shown = _run(python.with_name("geffect"), "--help", cwd=tmp_path)
    assert shown.startswith("usage: geffect")
    for command in ("status", "evaluate", "reweight"):
        assert command in shown
        assert f"usage: geffect {command}" in _run(
            python.with_name("geffect"), command, "--help", cwd=tmp_path
        )


def test_a_configuration_is_checked_against_the_schema_in_the_wheel(python, tmp_path):
    code = "import sys, yaml; from geffect.config import Config; Config(yaml.safe_load(sys.stdin))"
    configuration = (REPOSITORY / "config.yaml").read_text(encoding="utf-8")
    _run(python, "-c", code, cwd=tmp_path, input=configuration)


def test_the_readmes_lines_of_python_run(python, tmp_path, tiny_model, tokenizer):
    """In a folder that has a random model and a few rows wherever the lines name a file."""
    import torch

    block = PYTHON.search((REPOSITORY / "README.md").read_text(encoding="utf-8"))[1]
    paths = dict.fromkeys(re.findall(r'"(results/[^"]+)"', block))
    assert "geffect.measure(" in block and len(paths) >= 3
    for number, name in enumerate(paths):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pd.DataFrame(rows_of(5 * number, 5 * number + 5)).to_parquet(path)
        else:
            tiny_model(dtype=torch.float32, tokenizer=tokenizer).save_pretrained(path)
            tokenizer.save_pretrained(path)
    shown = _run(python, "-c", block, cwd=tmp_path)
    assert re.search(r"^(total|.* total) ", shown, re.MULTILINE), shown
