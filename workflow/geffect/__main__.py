"""The commands: `geffect status`, `evaluate`, `effects`, `cost`, `draw`, `reweight`."""

import importlib
import sys

COMMANDS = {
    "status": ("geffect.jobs.status", "shows what is done, running or failed in a run, and why"),
    "evaluate": ("geffect.evaluation.command", "evaluates any model folder"),
    "effects": ("geffect.effects.command", "measures G-effects of saved checkpoints"),
    "cost": ("geffect.cost.command", "shows what a configured grid will cost"),
    "draw": ("geffect.report.command", "draws figures of a run again"),
    "reweight": ("geffect.effects.reweighting", "judges a weighting scheme on a finished run"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command with its arguments; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print("usage: geffect COMMAND ...; `geffect COMMAND --help` explains one\n")
        for name, (_, about) in COMMANDS.items():
            print(f"  {name:<10} {about}")
        return 0 if given else 2
    if given[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"error: unknown command {given[0]!r}; choose one of {known}", file=sys.stderr)
        return 2
    return importlib.import_module(COMMANDS[given[0]][0]).main(given[1:]) or 0


if __name__ == "__main__":
    sys.exit(main())
