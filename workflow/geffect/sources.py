"""A hash of the code that a stage runs, blind to comments, docstrings and other modules.

Workflows put it where they keep what a result depends on, so that an edit replans just the
stages that import the edited file.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# What only says how a job is run and found again; no number depends on it.
WITHOUT_EFFECT = ("jobs.py", "slurm.py")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(*entries) -> str:
    """Hash of the syntax trees of the entry files and all of this package that they import.

    Modules in `WITHOUT_EFFECT` are left out.

    Objective and regularizer files are found by name at run time, so a stage that uses one names
    it as an entry of its own.
    """
    reached: set[Path] = set()
    blind = {PACKAGE / name for name in WITHOUT_EFFECT}
    waiting = [Path(entry).resolve() for entry in entries]
    while waiting:
        path = waiting.pop()
        if path not in reached and path not in blind:
            reached.add(path)
            waiting.extend(_imports(path))
    digest = hashlib.sha256()
    for path in sorted(reached):
        digest.update(f"{path.name}\n{_normal_form(path)}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _normal_form(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    modules = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom):
            module = _absolute(path, node)
            modules += [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return tuple(found for module in modules for found in _resolve(module))


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    if not path.is_relative_to(PACKAGE):
        return ""
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def _resolve(module: str) -> list[Path]:
    """The files that importing a dotted name of this package runs, its parents included."""
    first, *parts = module.split(".")
    if first != PACKAGE.name:
        return []
    found = [PACKAGE / "__init__.py"]
    for depth in range(1, len(parts) + 1):
        base = PACKAGE.joinpath(*parts[:depth])
        found += [base.with_name(base.name + ".py"), base / "__init__.py"]
    return [path for path in found if path.is_file()]
