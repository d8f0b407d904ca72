"""Who may import whom in the package; `docs/architecture.md` explains it."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "workflow/geffect"
PAGE = REPOSITORY / "docs/architecture.md"

ROOT = ("names", "errors", "files", "frames", "messages", "progress", "declarations")
LOSSES = (*ROOT, "models", "data", "losses")

# Room -> the rooms, or single modules of a room, that it may import besides itself.
RULES = {
    **dict.fromkeys(ROOT, ROOT),
    "objectives": (),
    "regularizers": (),
    "models": ROOT,
    "data": (*ROOT, "models"),
    "losses": (*ROOT, "models", "data"),
    "cells": LOSSES,
    # Siblings: a change of the training loop cannot change how a G-effect is measured.
    "training": (*LOSSES, "cells"),
    "effects": (*LOSSES, "cells"),
    "evaluation": (*LOSSES, "cells"),
    "report": ROOT,
    # Modules without torch: every cluster job parses the Snakefile again.
    "config": (
        *ROOT,
        "losses.registry",
        "data.own",
        "data.refusals",
        "data.splits",
        "data.templates",
        "data.tofu",
        "training.settings",
    ),
    "jobs": ROOT,
    "cost": (*ROOT, "config", "losses.registry", "data.splits", "training.settings"),
}

# Doors rather than rooms: the public interface, and what is a job or sets one up.
EXEMPT = {"__init__", "__main__", "evaluation.command", "training.job"}

WITHOUT_TORCH = (
    "geffect",
    "geffect.config",
    "geffect.cost.command",
    "geffect.effects.command",
    "geffect.losses.registry",
    "geffect.report.registry",
    "geffect.report.command",
    "geffect.report.tables.main",
    "geffect.report.figures.geffect",
    "geffect.report.statements",
    "geffect.jobs.status",
)


def _name(path):
    """`losses.view` for PACKAGE/losses/view.py, `losses` for PACKAGE/losses/__init__.py."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imports(path):
    """The modules of the package that a file imports, wherever in the file, also for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == PACKAGE.name:
                # `from geffect.losses.view import View` imports the module, not the class.
                yield rest if rest in MODULES else rest.rpartition(".")[0]


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: sorted(set(_imports(path)) - {""}) for name, path in MODULES.items()}


def _within(module, place):
    return module == place or module.startswith(f"{place}.")


def test_every_module_has_a_room():
    rooms = {name.partition(".")[0] for name in MODULES} - EXEMPT
    assert rooms == set(RULES)


@pytest.mark.parametrize("module", sorted(set(MODULES) - EXEMPT))
def test_imports_follow_the_rules(module):
    room = module.partition(".")[0]
    allowed = (room, *RULES[room])
    wrong = [name for name in IMPORTS[module] if not any(_within(name, a) for a in allowed)]
    assert not wrong, f"{module} may import {', '.join(allowed)} only"


def test_no_modules_import_one_another():
    graphlib.TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the circle


def test_the_rules_see_imports_in_functions_and_for_types():
    command = IMPORTS["evaluation.command"]
    assert {"jobs.context", "evaluation.folder"} <= set(command)  # within functions
    assert "losses.loss" in IMPORTS["__init__"]  # under TYPE_CHECKING


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_imports_without_torch(module):
    code = f"import {module}, sys; print(*({{'torch', 'transformers'}} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stdout + ended.stderr


@pytest.mark.skipif(not PAGE.is_file(), reason="docs/architecture.md is not there")
@pytest.mark.parametrize("room", RULES)
def test_the_architecture_page_names_every_room(room):
    shown = f"`{room}`" if room in ROOT else f"`workflow/geffect/{room}/`"
    assert shown in PAGE.read_text(encoding="utf-8")
