"""Results that say themselves how they were made, compared with what is asked for now.

A workflow engine's own notes stay behind when results are copied; the records beside them do not.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_KEYS = ("cell", "settings", "code")
_SHOWN = 3
_LONGEST = 40


class Difference(NamedTuple):
    """Something that a record and what is asked for now do not have in common, in words."""

    where: str
    before: str
    now: str

    def __str__(self) -> str:
        if self.where == "code" or max(len(self.before), len(self.now)) > _LONGEST:
            return self.where
        return f"{self.where}: {self.before} -> {self.now}"


class Stale(NamedTuple):
    """A result that is not what is asked for now.

    Args:
        kind: what it is (`cell`, `model`, `the data`, ...).
        name: which one; empty where there is only one.
        differences: those that are known; None where nothing says how it was made.
    """

    kind: str
    name: str
    differences: list[Difference] | None


def differences(path: str | Path, made_with: Mapping[str, Any]) -> list[Difference] | None:
    """What a record does not have in common with `provenance.made_with` of the job that would make
    its result now; None where there is no complete record.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(record, dict) or not set(_KEYS) <= set(record):
        return None
    wanted = json.loads(json.dumps(dict(made_with)))
    return [found for key in _KEYS for found in _compare(key, record[key], wanted[key])]


def summary(stale: Iterable[Stale]) -> list[str]:
    """How many results are made again, and why, in a line for each of the two reasons (settings
    or code; no record).
    """
    found = list(stale)
    lines = []
    known = [result for result in found if result.differences is not None]
    if known:
        shown = dict.fromkeys(str(d) for result in known for d in result.differences or ())
        more = len(shown) - _SHOWN
        reasons = ", ".join([*list(shown)[:_SHOWN], *([f"{more} more"] if more > 0 else [])])
        reasons = f" ({reasons})" if reasons else ""
        lines.append(f"made with other settings or code{reasons}: {_count(known)}; planned again")
    unknown = [result for result in found if result.differences is None]
    if unknown:
        lines.append(
            f"with no record of how they were made: {_count(unknown)}; planned again (to keep what "
            "is there as it is: snakemake --touch)"
        )
    return lines


def _compare(where: str, before: Any, now: Any) -> list[Difference]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        inside = "" if where == "settings" else f"{where}."
        return [
            found
            for key in keys
            for found in _compare(f"{inside}{key}", before.get(key), now.get(key))
        ]
    # As text, since the numbers 1 and 1.0 make different tables of settings.
    texts = [json.dumps(value, sort_keys=True) for value in (before, now)]
    where = where.replace(".hyper.", ".")
    return [] if texts[0] == texts[1] else [Difference(where, *texts)]


def _count(stale: list[Stale]) -> str:
    names: dict[str, set[str]] = {}
    for result in stale:
        names.setdefault(result.kind, set()).add(result.name)
    return ", ".join(
        f"{len(found)} {kind}{'s' if len(found) > 1 else ''}" if any(found) else kind
        for kind, found in names.items()
    )
