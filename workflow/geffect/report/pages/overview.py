"""The first page of a run: what forgets, what harms, where, from when on, through which tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from geffect.names import NO_REGULARIZER
from geffect.report import seeds
from geffect.report.pages import render
from geffect.report.pages.answers import (
    MATCHED,
    NOT_REACHED,
    NOTICEABLE,
    TOO_EARLY,
    Group,
    name,
    of_tag,
    sentences,
    shown,
)
from geffect.report.statements.page import HEADING
from geffect.report.statements.verdict import ALL_SPLITS, CHANGE, GEFFECT, counted, number

Drawn = tuple[str, str, str]
"""An image: its path relative to the page, its name, and what to look for in it."""


def page(
    run: str,
    places: Mapping[tuple[str, str], Sequence[Group]],
    setups: Mapping[tuple[str, str], Sequence[tuple[str, str]]],
    statements: pd.DataFrame,
    figures: Mapping[tuple[str, str], Sequence[Drawn]],
    links: Mapping[tuple[str, str], str],
    tables: str | None,
    of_run: Sequence[Drawn] = (),
) -> str:
    """The page as HTML.

    Args:
        run: the run's name.
        places: (model, split) -> as `answers.groups` returns.
        setups: (model, split) -> as `setup.described` returns.
        statements: tables/statements.csv.
        figures: (model, split) -> its images.
        links: (model, split) -> path of its token page, relative to the page.
        tables: path of the page of tables, relative to the page; None where none is beside it.
        of_run: the images of the whole run.
    """
    sections = []
    for (model, split), groups in places.items():
        judged = statements[statements["model"].eq(model) & statements["split"].eq(split)]
        drawn = list(figures.get((model, split), []))
        first = groups[0]
        # By the same seeds, all variants can stand in one table.
        kept = groups[-1:] if groups[-1].seeds == first.seeds else groups
        sections.append(
            {
                "model": model,
                "split": split,
                "setup": setups.get((model, split), []),
                "answers": sentences(first),
                "compared": seeds.said(first.seeds) if first.seeds else None,
                "groups": [_group(group, of_all=number > 0) for number, group in enumerate(kept)],
                "matched": _matched(first),
                "statements": _statements(judged),
                "key_figures": _chosen(drawn, key=True),
                "figures": _chosen(drawn, key=False),
                "tokens": links.get((model, split)),
            }
        )
    everywhere = statements[statements["split"].eq(ALL_SPLITS)]
    return render(
        "overview.html",
        title=f"Results of run {run}",
        places=sections,
        everywhere=[
            {"model": model, "statements": _statements(of)}
            for model, of in everywhere.groupby("model", sort=False)
        ],
        tables=tables,
        of_run=of_run,
        headings=[HEADING[GEFFECT], HEADING[CHANGE]],
        one_seed=all(len(groups[0].seeds) < 2 for groups in places.values()),
        noticeable=NOTICEABLE,
    )


KEY_FIGURES = ("compare", "trade_off", "outcome")


def _is_key(name: str) -> bool:
    return name.startswith(KEY_FIGURES)


def _chosen(drawn: Sequence[Drawn], key: bool) -> list[Drawn]:
    """The figures that stand on the page, or (key False) behind a click."""
    chosen = [figure for figure in drawn if _is_key(figure[1]) == key]
    # The runs without a regularizer first.
    return sorted(chosen, key=lambda figure: not figure[1].endswith(f"_{NO_REGULARIZER}"))


def _group(group: Group, of_all: bool) -> dict[str, Any]:
    return {
        "of_all": of_all,
        "seeds": seeds.said(group.seeds),
        "rise": None if pd.isna(group.rise) else number(group.rise),
        "rows": [_shown(row, group) for row in group.rows.to_dict("records")],
        "tag": of_tag([text for texts in group.tokens.values() for text in texts], group.tag),
    }


def _at_equal(row: Mapping[str, Any]) -> str:
    """The change of R_r at an equal rise of R_u, or why there is none."""
    if not pd.isna(row["at_equal"]):
        return number(float(row["at_equal"]))
    if row["why"] == NOT_REACHED:
        return f"{NOT_REACHED}: R_u +{number(float(row['rise']))}"
    return TOO_EARLY if row["why"] == TOO_EARLY else "–"


def _layer(row: Mapping[str, Any]) -> str:
    """The layer that R_r rose most through, or how little there is to split."""
    if not row["most"]:
        change = float(row["attributed_retain"])
        return "–" if pd.isna(change) else f"too little: {number(change)}"
    layer = f"{row['most'].replace('.', ' ')} ({row['share']:.0%})"
    return f"{layer}, moves layers {row['reaches']} only" if row["reaches"] else layer


def _state(row: Mapping[str, Any], group: Group) -> str:
    """How a run ended, and its seeds where it is not compared with the others."""
    own = row["seeds"]
    if not own or set(group.seeds) <= set(own):
        return str(row["status"])
    return f"{row['status']}, not compared ({seeds.said(own)})"


def _shown(row: Mapping[str, Any], group: Group) -> dict[str, Any]:
    def text(name: str) -> str:
        return number(float(row[name])) if not pd.isna(row[name]) else "–"

    numeric = ("change_unlearn", "change_retain", "from_step")
    shares = ("es_unlearn", "es_retain")
    run = row["objective"], row["regularizer"]
    return {
        "name": name(run),
        "state": _state(row, group),
        **{name: text(name) for name in numeric},
        **{name: "–" if pd.isna(row[name]) else f"{row[name]:.2f}" for name in shares},
        "at_equal": _at_equal(row),
        "gap": bool(pd.isna(row["at_equal"])),
        "layer": _layer(row),
        "tokens": [shown(token) for token in group.tokens.get(run, [])],
    }


def _hundredths(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _matched(group: Group) -> dict[str, Any] | None:
    """The short form of the table at matched retention; None where it was not asked for."""
    if group.matched is None:
        return None
    return {
        "share": f"{group.es_retain:.0%}",
        "seeds": seeds.said(group.seeds),
        "rows": [
            {
                "name": name((row["objective"], row["regularizer"])),
                **{c: _hundredths(row[c]) for c in ("a", *MATCHED, "es_unlearn_sd")},
            }
            for row in group.matched.to_dict("records")
        ],
        "references": [
            {
                "name": row["objective"].replace("_", " "),
                **{column: _hundredths(row[column]) for column in MATCHED},
            }
            for row in group.references.to_dict("records")
        ],
    }


def _interval(row: Mapping[str, Any]) -> str:
    if pd.isna(row["low"]):
        return ""
    return f"{number(row['low'])} to {number(row['high'])}, over {row['interval']}"


def _statements(rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for statement, of in rows.groupby("statement"):
        found.append(
            {
                "number": int(statement),
                "name": of["name"].iloc[0],
                "badges": {by: _badge(of[of["by"].eq(by)]) for by in (GEFFECT, CHANGE)},
                "parts": [
                    {
                        "part": "" if pd.isna(row["part"]) else row["part"],
                        "by": HEADING[row["by"]],
                        "verdict": row["part_verdict"],
                        **{name: row[name] for name in ("claim", "quantity", "wanted", "reason")},
                        "measured": not pd.isna(row["value"]),
                        "value": number(row["value"]),
                        "interval": _interval(row),
                    }
                    for row in of.to_dict("records")
                ],
            }
        )
    return found


def _badge(rows: pd.DataFrame) -> dict[str, str]:
    return {"verdict": rows["verdict"].iloc[0], "text": counted(rows["part_verdict"].tolist())}
