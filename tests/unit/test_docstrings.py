"""Every public function and class says what it is and what it takes."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workflow/geffect"
PATHS = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
# One file per loss stays free of imports that only annotations would need.
UNANNOTATED = ("objectives/", "regularizers/")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _public(name):
    return not name.startswith("_") or name == "__call__"


def _definitions(body, prefix=""):
    """(qualified name, node) of the functions and classes of a module and of its classes."""
    for node in body:
        if isinstance(node, FUNCTIONS):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}", node
            yield from _definitions(node.body, f"{prefix}{node.name}.")


def _definitions_of(path):
    return list(_definitions(ast.parse(path.read_text(encoding="utf-8")).body))


@pytest.mark.parametrize("name", PATHS)
def test_public_things_have_a_docstring(name):
    tree = ast.parse(PATHS[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    silent = [
        f"{qualified} (line {node.lineno})"
        for qualified, node in _definitions(tree.body)
        if all(map(_public, qualified.split("."))) and not ast.get_docstring(node)
    ]
    assert not silent


@pytest.mark.parametrize("name", [n for n in PATHS if not n.startswith(UNANNOTATED)])
def test_functions_are_annotated(name):
    bare = [
        f"{qualified} (line {node.lineno})"
        for qualified, node in _definitions_of(PATHS[name])
        if isinstance(node, FUNCTIONS) and not _annotated(node, "." in qualified)
    ]
    assert not bare


def _annotated(function, is_method):
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    if is_method and "staticmethod" not in decorators:
        named = named[1:]  # self or cls
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    returns = function.returns is not None or function.name == "__init__"
    return returns and all(argument.annotation is not None for argument in (*named, *starred))


def test_methods_of_classes_are_seen():
    found = dict(_definitions_of(PACKAGE / "losses/loss.py"))
    assert {"Loss", "Loss.load", "Loss._pool", "objective"} <= set(found)
