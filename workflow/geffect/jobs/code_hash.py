"""A hash of the code that a stage runs, blind to everything that cannot change a result.

Workflows put it where they keep what a result depends on, so that an edit replans just the stages
that import the edited file. The hash does not see comments, docstrings and type annotations; the
text of errors (the arguments of `raise`, and the bodies of classes called ...Error); log lines; and
what is in `OUTSIDE`, from which nothing is imported that a number depends on.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
OUTSIDE = ("jobs", "config", "messages.py")
_NO_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")
_LEVELS = ("debug", "info", "warning", "error", "exception")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(*entries: str | Path) -> str:
    """Hash of the syntax trees of the entry files and of everything in this package they import.

    Files that are found by name at run time (those of losses, whatever `importlib` imports) have to
    be passed as entries of their own.
    """
    outside = [PACKAGE / name for name in OUTSIDE]
    reached: set[Path] = set()
    waiting = [Path(entry).resolve() for entry in entries]
    while waiting:
        path = waiting.pop()
        if path not in reached and not any(path.is_relative_to(place) for place in outside):
            reached.add(path)
            waiting.extend(_read(path)[1])
    digest = hashlib.sha256()
    for path in sorted(reached):
        inside = path.is_relative_to(PACKAGE)
        name = path.relative_to(PACKAGE).as_posix() if inside else path.name
        digest.update(f"{name}\n{_read(path)[0]}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _read(path: Path) -> tuple[str, tuple[Path, ...]]:
    """A file without what is for readers and type checkers alone, and what it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    visitor = _WithoutTexts()
    form = ast.dump(visitor.visit(tree))
    modules = [module for node in visitor.imports for module in _modules(path, node)]
    return form, tuple(imported for module in modules for imported in _resolve(module))


class _WithoutTexts(ast.NodeTransformer):
    """Removes what cannot change a result from a syntax tree, and notes the imports that stay."""

    def __init__(self) -> None:
        self.imports: list[ast.Import | ast.ImportFrom] = []

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        super().generic_visit(node)
        if hasattr(node, "body") and node.body == []:
            node.body = [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> ast.AST:
        self.imports.append(node)
        return node

    visit_ImportFrom = visit_Import

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if node.name.endswith("Error") and any(map(_is_error, node.bases)):
            node.body = []
        annotated = [s for s in node.body if isinstance(s, ast.AnnAssign)]
        self.generic_visit(node)
        # What is annotated is a field of a dataclass, unless these say otherwise.
        fields = [
            (ast.unparse(s.target), *(n for n in _NO_FIELDS if n in ast.unparse(s.annotation)))
            for s in annotated
        ]
        node.body += [ast.Expr(ast.Constant(str(fields)))] if fields else []
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            owner = ast.unparse(call.func.value)
            if owner in ("log", "context.log") and call.func.attr in _LEVELS:
                return None
        if isinstance(call, ast.Constant):  # the description of an attribute
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        return self.generic_visit(node)


def _is_error(base: ast.expr) -> bool:
    return ast.unparse(base).endswith(("Error", "Exception"))


def _modules(path: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The dotted names that a file imports by a statement, where these are modules."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return names
    module = _absolute(path, node)
    return [module, *(f"{module}.{name}" for name in names)]


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    if not path.is_relative_to(PACKAGE):
        return ""
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


@cache
def _resolve(module: str) -> list[Path]:
    """The files that importing a dotted name of this package runs, its parents included."""
    first, *parts = module.split(".")
    if first != PACKAGE.name:
        return []
    paths = [PACKAGE / "__init__.py"]
    for depth in range(1, len(parts) + 1):
        base = PACKAGE.joinpath(*parts[:depth])
        paths += [base.with_name(base.name + ".py"), base / "__init__.py"]
    return [path for path in paths if path.is_file()]
