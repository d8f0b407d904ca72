"""The code hash: what it sees (code that is reached) and what it must not see (all else)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geffect import sources

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
    for function in (sources._tree, sources._normal_form, sources._imports):
        function.cache_clear()


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


def test_every_module_that_the_real_package_imports_is_reached():
    """Runs the real import and compares it with what the syntax trees say."""
    code = (
        "import sys, geffect.fictional, geffect.evaluation.folder\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'geffect'))"
    )
    root = Path(sources.__file__).parent
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {Path(p).relative_to(root) for p in result.stdout.split()}
    reached, waiting = set(), [root / "fictional.py", root / "evaluation/folder.py"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting.extend(sources._imports(path))
    assert imported - {p.relative_to(root) for p in reached} == set()


def test_how_a_job_is_run_and_found_again_does_not_count(package):
    package.write("jobs.py", "VALUE = 1\n")
    package.edit("deep.py", "def deep", "from geffect import jobs\n\n\ndef deep")
    before = package.hash()
    package.edit("jobs.py", "1", "2")
    assert package.hash() == before
