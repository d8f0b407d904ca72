"""What a Python file declares: the literals at its top level, read without importing it."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geffect.errors import ConfigError


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


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None
