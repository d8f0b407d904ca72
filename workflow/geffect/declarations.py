"""What a Python file declares: the literals at its top level, read without importing it."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from geffect.errors import ConfigError, GeffectError
from geffect.files import sha256

_PACKAGE = Path(__file__).parent


def read(path: Path, defaults: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The literals of a file that have one of some names, and the names of its functions.

    Args:
        path: a file of Python.
        defaults: name -> what stands for it where the file does not assign it.

    Raises:
        ConfigError: the file cannot be read, or assigns something else than a literal.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}: syntax error in line {error.lineno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as Python ({error}); check the path") from error
    literals, functions = dict(defaults), set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions.add(node.name)
            continue
        name, value = _assigned(node)
        if name in defaults and value is not None:
            try:
                literals[name] = ast.literal_eval(value)
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"{path}: {name} must be a literal (it is read without importing the file)"
                ) from error
    return literals, functions


def load(path: Path, kind: str, failure: type[GeffectError] = ConfigError) -> ModuleType:
    """A file as a module: one of the package by its name there, any other by its content.

    Args:
        kind: what it declares, which is part of the module's name.

    Raises:
        GeffectError: a `failure`, since the file cannot be imported.
    """
    if path.is_relative_to(_PACKAGE):
        parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
        return importlib.import_module(".".join(parts))
    # By its content: an edited file is another module.
    name = f"{_PACKAGE.name}_{kind}_{path.stem}_{sha256(path)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise failure(
            f"{path}: cannot be imported ({type(error).__name__}: {error}); fix the file"
        ) from error
    return module


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None
