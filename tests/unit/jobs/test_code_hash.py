"""The code hash: what it sees (code that is reached) and what it must not see (all else)."""

import ast
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from geffect.jobs import code_hash as sources

SCRIPTS = sources.PACKAGE.parent / "scripts"
OUTSIDE = ("jobs", "config", "messages.py")  # no result depends on them

FILES = {
    "__init__.py": "",
    "middle.py": "from geffect import deep\n\n\ndef middle():\n    return deep.deep()\n",
    "deep.py": "def deep():\n    return 1\n",
    "inside.py": "VALUE = 1\n",
    "aside.py": "VALUE = 1\n",
    "folder/__init__.py": "",
    "folder/part.py": "VALUE = 1\n",
    "folder/other.py": "VALUE = 1\n",
    "objectives/__init__.py": "",
    "objectives/one.py": "def loss(view):\n    return 1\n",
    "objectives/two.py": "def loss(view):\n    return 2\n",
}
ENTRY = '''"""A script."""

import json

import geffect.middle
from geffect.folder.part import VALUE


def main(x):
    """Says what it does."""
    from geffect.inside import VALUE as inside

    return geffect.middle.middle() + VALUE + inside + json.loads("1")
'''


def clear():
    sources._read.cache_clear()
    sources._resolve.cache_clear()


class Package:
    """A package to edit, and an entry script beside it."""

    def __init__(self, root):
        self.root, self.entry = root, root.parent / "scripts" / "entry.py"

    def write(self, name, text):
        path = self.entry if name == "entry" else self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name, old, new):
        path = self.entry if name == "entry" else self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def hash(self, *objectives):
        clear()
        paths = (self.root / "objectives" / f"{name}.py" for name in objectives)
        return sources.code_hash(self.entry, *paths)


@pytest.fixture
def package(tmp_path, monkeypatch):
    package = Package(tmp_path / "geffect")
    for name, text in FILES.items():
        package.write(name, text)
    package.write("entry", ENTRY)
    monkeypatch.setattr(sources, "PACKAGE", package.root)
    yield package
    clear()


def test_the_hash_is_stable_and_does_not_depend_on_where_the_code_lies(package, monkeypatch):
    first = package.hash()
    assert package.hash() == first
    moved = package.root.parent / "a" / "b"
    shutil.copytree(package.root, moved / "geffect")
    shutil.copytree(package.entry.parent, moved / "scripts")
    monkeypatch.setattr(sources, "PACKAGE", moved / "geffect")
    assert Package(moved / "geffect").hash() == first


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("entry", "def main", "# why\ndef main"),
        ("entry", '"""A script."""', ""),
        ("entry", '"""A script."""', '"""Another\n\nscript."""'),
        ("entry", '    """Says what it does."""\n', ""),
        ("entry", "main(x)", "main(\n    x,\n)"),
        ("entry", '"1"', "'1'"),
        ("deep.py", "return 1", "return (1)  # one"),
        ("deep.py", "def deep():\n", 'def deep():\n    """One."""\n'),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(package, name, old, new):
    before = package.hash()
    package.edit(name, old, new)
    assert package.hash() == before


def test_docstrings_of_classes_and_asynchronous_functions_do_not_count(package):
    code = "class A:\n    {0}\n    x = 1\n\n    async def f(self):\n        {0}\n        return 1\n"
    package.write("deep.py", code.format('"""One."""'))
    before = package.hash()
    package.write("deep.py", code.format('"""Two."""'))
    assert package.hash() == before


SAME = {
    "annotations of parameters and results": (
        "def deep(a, *b, c=1, **d):\n    return a\n",
        "def deep(a: int, *b: str, c: int = 1, **d: int) -> dict[str, int]:\n    return a\n",
    ),
    "annotations of asynchronous functions": (
        "async def deep(a):\n    return a\n",
        "async def deep(a: int) -> int:\n    return a\n",
    ),
    "annotations of variables": (
        "X = 1\n\n\ndef deep():\n    y = {}\n    return y\n",
        "X: int = 1\n\n\ndef deep():\n    z: int\n    y: dict[str, int] = {}\n    return y\n",
    ),
    "what fields are annotated with": (
        "@dataclass\nclass A:\n    x: int\n    y: str = 'a'\n",
        "@dataclass\nclass A:\n    x: float\n    y: str | None = 'a'\n",
    ),
    "descriptions of attributes": ("X = 1\n", 'X = 1\n"""One."""\n'),
    "what only type checkers import": (
        "if TYPE_CHECKING:\n    from a import b\n",
        "if TYPE_CHECKING:\n    from geffect.aside import VALUE\n",
    ),
    "the text of an error": (
        "def deep(x):\n    if x:\n        raise ValueError('a')\n",
        "def deep(x):\n    if x:\n        raise ValueError(f'b {x}', x)\n",
    ),
    "the text of an error that has a cause": (
        "try:\n    f()\nexcept OSError as e:\n    raise ValueError('a') from e\n",
        "try:\n    f()\nexcept OSError as e:\n    raise ValueError(f'b {e}') from e\n",
    ),
    "the body of an error's class": (
        "class XError(Exception):\n    pass\n\n\nclass YError(XError):\n    pass\n",
        "class XError(Exception):\n    at = 1\n\n\nclass YError(XError):\n"
        "    def __init__(self, x):\n        super().__init__(f'{x}: broken')\n",
    ),
    **{
        f"log.{level}": ("def deep():\n    f()\n", f"def deep():\n    log.{level}('x')\n    f()\n")
        for level in ("debug", "info", "warning", "error", "exception")
    },
    "a log line of a script": ("f()\n", "f()\ncontext.log.info('wrote %s', 1)\n"),
    "the log line that is all there is": (
        "if x:\n    log.info('a')\n",
        "if x:\n    log.warning('b %s', x)\n",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_cannot_change_a_result_does_not_count(name, package):
    first, second = SAME[name]
    package.write("deep.py", first)
    before = package.hash()
    package.write("deep.py", second)
    assert package.hash() == before
    package.write("deep.py", f"{second}\n\nVALUE = 1\n")
    assert package.hash() != before


OTHER = {
    "the class of an error": ("raise ValueError('a')\n", "raise KeyError('a')\n"),
    "whether an error is raised": ("if x:\n    raise X\n", "if x:\n    pass\n"),
    "when an error is raised": ("if x:\n    raise X('a')\n", "if x > 1:\n    raise X('a')\n"),
    "a list that is called log": ("log = []\n", "log = []\nlog.append(1)\n"),
    "what is appended to it": ("log.append(1)\n", "log.append(2)\n"),
    "another object's info": ("pass\n", "other.info(1)\n"),
    "what a log line's result is used for": ("x = log.info(1)\n", "x = log.info(2)\n"),
    "what else hangs on the condition of a log line": (
        "if x:\n    log.info('a')\n",
        "if x:\n    log.info('a')\n    f()\n",
    ),
    "a class that is no error": (
        "class SquaredError:\n    power = 2\n",
        "class SquaredError:\n    power = 3\n",
    ),
    "the base of an error": (
        "class XError(AError):\n    pass\n",
        "class XError(BError):\n    pass\n",
    ),
    "whether an attribute is a field": (
        "@dataclass\nclass A:\n    x: int = 1\n",
        "@dataclass\nclass A:\n    x = 1\n",
    ),
    "the order of fields": (
        "@dataclass\nclass A:\n    x: int\n    y: int\n",
        "@dataclass\nclass A:\n    y: int\n    x: int\n",
    ),
    "what is no field by its annotation": (
        "@dataclass\nclass A:\n    x: int = 1\n",
        "@dataclass\nclass A:\n    x: ClassVar[int] = 1\n",
    ),
    "the default of a parameter": (
        "def f(a: int = 1):\n    pass\n",
        "def f(a: int = 2):\n    pass\n",
    ),
    "the value of an annotated variable": ("x: int = 1\n", "x: int = 2\n"),
    "a decorator": ("def f():\n    pass\n", "@cache\ndef f():\n    pass\n"),
    "what is imported while nobody checks types": (
        "if TYPE_CHECKING:\n    A = 1\nelse:\n    A = 2\n",
        "if TYPE_CHECKING:\n    A = 1\nelse:\n    A = 3\n",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_may_change_a_result_counts(name, package):
    first, second = OTHER[name]
    package.write("deep.py", first)
    before = package.hash()
    package.write("deep.py", second)
    assert package.hash() != before


def test_a_string_that_is_no_docstring_counts(package):
    package.write("deep.py", 'def deep():\n    return """one"""\n')
    before = package.hash()
    package.edit("deep.py", "one", "two")
    assert package.hash() != before


def test_modules_that_are_not_imported_do_not_count(package):
    before = package.hash()
    package.edit("aside.py", "1", "2")
    package.edit("folder/other.py", "1", "2")
    package.write("new.py", "VALUE = 1\n")
    package.entry.with_name("another.py").write_text("VALUE = 1\n")
    assert package.hash() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("entry", "main(x)", "main(y)"),
        ("middle.py", "return ", "return 2 * "),
        ("deep.py", "return 1", "return 2"),
        ("inside.py", "1", "2"),
        ("folder/part.py", "1", "2"),
    ],
    ids=["the entry", "an import", "an import's import", "an import in a function", "a submodule"],
)
def test_code_that_is_reached_counts(package, name, old, new):
    before = package.hash()
    package.edit(name, old, new)
    assert package.hash() != before


@pytest.mark.parametrize(
    "statement",
    [
        "import geffect.aside",
        "import geffect.aside as a",
        "from geffect import aside",
        "from geffect.aside import VALUE",
        "from geffect.aside import *",
        "def f():\n    import geffect.aside",
        "if True:\n    from geffect import aside",
    ],
)
def test_every_form_of_import_is_followed(package, statement):
    package.edit("deep.py", "def deep", f"{statement}\n\n\ndef deep")
    before = package.hash()
    package.edit("aside.py", "1", "2")
    assert package.hash() != before


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("deep.py", "from . import aside"),
        ("deep.py", "from .aside import VALUE"),
        ("folder/part.py", "from ..aside import VALUE"),
        ("folder/part.py", "from .. import aside"),
    ],
)
def test_relative_imports_are_followed(package, name, statement):
    package.write(name, f"{statement}\n\n\ndef deep():\n    return 1\n")
    before = package.hash()
    package.edit("aside.py", "1", "2")
    assert package.hash() != before


def test_the_parents_of_an_imported_module_count(package):
    before = package.hash()
    package.write("folder/__init__.py", "import math\n")
    assert package.hash() != before


def test_imports_in_a_circle_end(package):
    package.edit("deep.py", "def deep", "from geffect import middle\n\n\ndef deep")
    assert package.hash() == package.hash()


def test_modules_of_other_packages_are_not_followed(package):
    package.write("deep.py", "import geffectual.aside\nfrom json import aside\n")
    before = package.hash()
    package.edit("aside.py", "1", "2")
    assert package.hash() == before


def test_an_objective_counts_only_where_it_is_named(package):
    without, one, two = package.hash(), package.hash("one"), package.hash("two")
    assert len({without, one, two}) == 3
    package.edit("objectives/one.py", "return 1", "return 3")
    assert package.hash() == without
    assert package.hash("one") != one
    assert package.hash("two") == two


def test_what_an_entry_is_called_or_where_it_stands_in_the_list_is_no_surprise(package):
    assert package.hash("one", "two") == package.hash("two", "one")
    assert package.hash("one", "one") == package.hash("one")


@pytest.mark.parametrize("folder", ["jobs", "config"])
def test_how_a_job_is_run_and_found_again_does_not_count(folder, package):
    package.write(f"{folder}/__init__.py", "")
    package.write(f"{folder}/part.py", "VALUE = 1\n")
    package.edit("deep.py", "def deep", f"from geffect.{folder} import part\n\n\ndef deep")
    before = package.hash()
    package.edit(f"{folder}/part.py", "1", "2")
    package.write(f"{folder}/__init__.py", "from geffect import aside\n")
    package.edit("aside.py", "1", "2")
    assert package.hash() == before


def test_where_messages_go_does_not_count(package):
    package.write("messages.py", "VALUE = 1\n")
    package.edit("deep.py", "def deep", "from geffect import messages\n\n\ndef deep")
    before = package.hash()
    package.edit("messages.py", "1", "2")
    assert package.hash() == before


def test_only_the_packages_own_folders_are_outside(package):
    package.write("folder/jobs.py", "VALUE = 1\n")
    package.write("configuration.py", "VALUE = 1\n")
    package.edit("deep.py", "def deep", "from geffect.folder import jobs\n\n\ndef deep")
    package.edit("deep.py", "def deep", "from geffect import configuration\n\n\ndef deep")
    package.write("folder/messages.py", "VALUE = 1\n")
    package.edit("deep.py", "def deep", "from geffect.folder import messages\n\n\ndef deep")
    for name in ("folder/jobs.py", "folder/messages.py", "configuration.py"):
        before = package.hash()
        package.edit(name, "1", "2")
        assert package.hash() != before, name


# The real package. Stage -> what a rule names besides its script; losses come with the cells.
STAGES = {path.stem: () for path in sorted(SCRIPTS.glob("*.py"))}
STAGES["unlearn, measuring"] = ("effects/measurement.py",)
# Imports what a stage imports, and says which files of the package that has run.
IMPORTING = """
import importlib, json, runpy, sys
found = {}
for stage, (script, *modules) in json.loads(sys.argv[1]).items():
    for name in [n for n in sys.modules if n.split(".")[0] == "geffect"]:
        del sys.modules[name]
    runpy.run_path(script)
    for module in modules:
        importlib.import_module(module)
    loaded = [m for n, m in sys.modules.items() if n.split(".")[0] == "geffect"]
    found[stage] = [m.__file__ for m in loaded]
print(json.dumps(found))
"""


def script_of(stage):
    return f"{stage.partition(',')[0]}.py"


@pytest.fixture(scope="module")
def imported():
    """Stage -> the files of the package that Python runs when its script is imported."""
    asked = {}
    for stage, entries in STAGES.items():
        modules = ("geffect." + entry.removesuffix(".py").replace("/", ".") for entry in entries)
        asked[stage] = [str(SCRIPTS / script_of(stage)), *modules]
    result = subprocess.run(
        [sys.executable, "-c", IMPORTING, json.dumps(asked)],
        env={"PYTHONPATH": str(sources.PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(result.stdout)
    return {
        stage: {Path(path).relative_to(sources.PACKAGE).as_posix() for path in paths}
        for stage, paths in found.items()
    }


@pytest.fixture
def real(tmp_path, monkeypatch):
    """A copy of the package and the scripts to edit; what was read is cached by its content."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sources.PACKAGE, tmp_path / "geffect", ignore=ignored)
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=ignored)
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "geffect")

    known = cache(lambda path, text: read(path))
    read = sources._read.__wrapped__
    sources._resolve.cache_clear()
    monkeypatch.setattr(sources, "_read", lambda path: known(path, path.read_text()))
    yield tmp_path
    sources._resolve.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sees_an_edit_of_every_module_that_it_imports_and_of_no_other(
    stage, real, imported
):
    entries = [real / "scripts" / script_of(stage)]
    entries += [real / "geffect" / name for name in STAGES[stage]]
    before = sources.code_hash(*entries)
    seen = set()
    for path in sorted((real / "geffect").rglob("*.py")):
        text = path.read_text()
        path.write_text(f"{text}\n\nEDITED = 1\n")
        if sources.code_hash(*entries) != before:
            seen.add(path.relative_to(real / "geffect").as_posix())
        path.write_text(text)
    assert sources.code_hash(*entries) == before
    expected = {name for name in imported[stage] if name.split("/")[0] not in OUTSIDE}
    assert seen == expected and len(seen) > 3


def test_every_stage_that_computes_sees_how_its_device_is_prepared(imported):
    """A job prepares it from outside of every hash (`jobs.engine`)."""
    computing = {p.stem for p in SCRIPTS.glob("*.py") if "context.computing(" in p.read_text()}
    assert len(computing) == 9
    for stage in computing:
        assert "models/compute.py" in imported[stage], stage


def test_what_is_imported_by_name_is_what_the_rules_know_of():
    """Syntax trees do not show it: losses, the engine in a run, commands, public names."""
    names = {"import_module", "__import__", "spec_from_file_location", "exec_module", "runpy"}
    found = set()
    for path in [*sources.PACKAGE.rglob("*.py"), *SCRIPTS.glob("*.py")]:
        tree = ast.parse(path.read_text())
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        used |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        if used & names:
            found.add(path.relative_to(sources.PACKAGE.parent).as_posix())
    assert found == {
        "geffect/__init__.py",
        "geffect/__main__.py",
        "geffect/declarations.py",
        "geffect/jobs/engine.py",
        "scripts/unlearn.py",
    }
