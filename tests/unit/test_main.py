"""The commands: each is found by its name, and gets its own arguments."""

import importlib
import sys

import pytest

from geffect import __main__ as commands

MODULES = {
    "status": "geffect.jobs.status",
    "evaluate": "geffect.evaluation.command",
    "effects": "geffect.effects.command",
    "cost": "geffect.cost.command",
    "draw": "geffect.report.command",
    "reweight": "geffect.effects.reweighting",
}


@pytest.fixture
def ran(monkeypatch):
    """(command, its arguments) of every command that was run; it ends with the number of them."""
    ran = []
    for name, module in MODULES.items():

        def main(arguments, name=name):
            ran.append((name, arguments))
            return len(arguments) or None

        monkeypatch.setattr(importlib.import_module(module), "main", main)
    return ran


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("arguments", [[], ["--failed", "x"]])
def test_a_command_gets_its_arguments_and_gives_its_status(name, arguments, ran):
    assert commands.main([name, *arguments]) == len(arguments)
    assert ran == [(name, arguments)]


def test_arguments_are_those_of_the_process(ran, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["geffect", "status", "results/demo"])
    assert commands.main() == 1
    assert ran == [("status", ["results/demo"])]


@pytest.mark.parametrize(("given", "status"), [([], 2), (["-h"], 0), (["--help"], 0)])
def test_help_lists_the_commands(given, status, ran, capsys):
    assert commands.main(given) == status
    shown = capsys.readouterr().out
    assert all(name in shown for name in MODULES) and "geffect.jobs" not in shown
    assert not ran


def test_an_unknown_command_is_one_line_with_the_known_ones(ran, capsys):
    assert commands.main(["state"]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "'state'" in told and all(name in told for name in MODULES)
    assert not ran
