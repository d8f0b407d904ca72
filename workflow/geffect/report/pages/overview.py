"""The first page of a run: what forgets, what harms, where, from when on, through which tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from geffect.names import (
    CELL,
    COMPONENTS,
    NO_REGULARIZER,
    OBJECTIVE,
    REFERENCES,
    RETAIN,
    TOTAL,
    UNEXPLAINED,
)
from geffect.report.pages import render
from geffect.report.statements.verdict import ALL_SPLITS, CHANGE, GEFFECT, number

ROW = CELL[:-1]
NOTICEABLE = 0.1
"""Nats per token: a smaller change of a risk is not spoken of."""


def answers(main: pd.DataFrame, risk: pd.DataFrame, worst: pd.DataFrame) -> pd.DataFrame:
    """What every (model, split, objective, regularizer) did, averaged over seeds.

    Args:
        main: tables/main.csv.
        risk: rows of `risk.parquet` of all cells, with their keys.
        worst: as `tokens.most_damaging` returns, of all (model, split).

    Returns:
        ROW, `status`, `n_seeds`, `change_unlearn`, `es_unlearn`, `change_retain`, `es_retain`,
        `per_nat` (rise of R_r for each nat of R_u), `layer` and `layer_share` (the component that
        R_r rose most through, and its share of the attributed change), `from_step` (the first
        measured step at which R_r has risen by NOTICEABLE nats), `tokens` (a list of texts). What
        cannot be said is missing.
    """
    rows = []
    for entry in main[~main["objective"].isin(REFERENCES)].to_dict("records"):
        key = {name: entry[name] for name in ROW}
        own = _of(risk, key)
        texts = _of(worst, key)
        forgotten, harm = entry.get("change_unlearn"), entry.get("change_retain")
        rows.append(
            {
                **key,
                "status": entry["status"],
                "n_seeds": entry["n_seeds"],
                "change_unlearn": forgotten,
                "es_unlearn": entry.get("es_exact_unlearn"),
                "change_retain": harm,
                "es_retain": entry.get("es_exact_retain"),
                "per_nat": harm / forgotten if forgotten and forgotten >= NOTICEABLE else math.nan,
                **_where(own),
                "from_step": _from_step(own),
                "tokens": texts.groupby("text", sort=False)["share"]
                .sum()
                .nlargest(5)
                .index.tolist()
                if len(texts)
                else [],
            }
        )
    columns = [
        *ROW,
        "status",
        "n_seeds",
        "change_unlearn",
        "es_unlearn",
        "change_retain",
        "es_retain",
    ]
    columns += ["per_nat", "layer", "layer_share", "from_step", "tokens"]
    return pd.DataFrame(rows, columns=columns)


def _of(frame: pd.DataFrame, key: Mapping[str, Any]) -> pd.DataFrame:
    chosen = pd.Series(True, frame.index)
    for name, value in key.items():
        chosen &= frame[name].eq(value)
    return frame[chosen]


def _where(risk: pd.DataFrame) -> dict[str, Any]:
    rows = risk[risk["dataset"].eq(RETAIN) & risk["component"].isin(COMPONENTS)]
    sums = rows[rows["term"].ne(UNEXPLAINED)].groupby("component")["predicted_change"].sum()
    runs = max(1, len(risk[["seed"]].drop_duplicates())) if len(risk) else 1
    if not len(sums) or not sums.sum() >= NOTICEABLE * runs:
        return {"layer": None, "layer_share": math.nan}
    return {"layer": sums.idxmax(), "layer_share": float(sums.max() / sums.sum())}


def _from_step(risk: pd.DataFrame) -> float:
    rows = risk[
        risk["dataset"].eq(RETAIN) & risk["component"].eq(TOTAL) & risk["term"].eq(OBJECTIVE)
    ]
    mean = rows.groupby("step")["measured_change"].mean().sort_index()
    # What is up to the next measured step stands at a step.
    risen = mean.cumsum().shift(1)
    late = risen[risen >= NOTICEABLE]
    return float(late.index[0]) if len(late) else math.nan


def sentences(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(question, answer) of one (model, split), from its runs without a regularizer."""
    plain = rows[rows["regularizer"].eq(NO_REGULARIZER) & rows["status"].eq("ok")]
    plain = plain.dropna(subset=["change_unlearn", "change_retain"])
    lines: list[tuple[str, str]] = []
    if plain.empty:
        return [("No answers", "no run without a regularizer has finished.")]
    most, least = (plain.loc[getattr(plain["change_unlearn"], f)()] for f in ("idxmax", "idxmin"))
    lines.append(
        (
            "Which objective forgets?",
            f"{most['objective']} most: it raises the risk on the forget set by "
            f"{number(most['change_unlearn'])} nats per token"
            + _recites(most, "es_unlearn", "D_u")
            + (
                f". {least['objective']} least: {number(least['change_unlearn'])} nats"
                + _recites(least, "es_unlearn", "D_u")
                if len(plain) > 1
                else ""
            )
            + ".",
        )
    )
    harm = plain.loc[plain["change_retain"].idxmax()]
    ratios = plain.dropna(subset=["per_nat"])
    lines.append(
        (
            "Which harms retention?",
            f"{harm['objective']} most: it raises the risk on the retained data by "
            f"{number(harm['change_retain'])} nats per token"
            + _recites(harm, "es_retain", "D_r")
            + (
                ". For each nat of forgetting, "
                f"{ratios.loc[ratios['per_nat'].idxmin(), 'objective']} harms least "
                f"({number(ratios['per_nat'].min())}) and "
                f"{ratios.loc[ratios['per_nat'].idxmax(), 'objective']} most "
                f"({number(ratios['per_nat'].max())}); runs stop at different depths, so see the "
                "statements for comparisons at equal forgetting"
                if len(ratios) > 1
                else ""
            )
            + ".",
        )
    )
    layered = plain.dropna(subset=["layer"])
    if len(layered):
        counts = layered["layer"].value_counts()
        lines.append(
            (
                "In which layers?",
                f"R_r rises most through {counts.index[0]} in {counts.iloc[0]} of {len(layered)} "
                f"objectives; for {harm['objective']}, "
                + (
                    f"{harm['layer']} makes {harm['layer_share']:.0%} of it."
                    if pd.notna(harm["layer"])
                    else "it does not rise."
                ),
            )
        )
    late = plain.dropna(subset=["from_step"])
    if len(late):
        first, last = late["from_step"].min(), late["from_step"].max()
        names = ", ".join(late.loc[late["from_step"].eq(first), "objective"])
        unharmed = plain.loc[plain["from_step"].isna(), "objective"]
        span = f"{first:.0f} for {names}"
        if first != last:
            span += f" and at the latest {last:.0f}"
        lines.append(
            (
                "From which step on?",
                f"The first measured step at which R_r has risen by {NOTICEABLE} nats is {span}"
                + (f"; never: {', '.join(unharmed)}" if len(unharmed) else "")
                + ".",
            )
        )
    tokens = ", ".join(f"“{shown(text)}”" for text in harm["tokens"])
    lines.append(
        (
            "Through which tokens?",
            f"In {harm['objective']}, added up over D_u: {tokens}."
            if tokens
            else "not measured (geffect.tokens).",
        )
    )
    return lines


def _recites(row: pd.Series, column: str, what: str) -> str:
    return "" if pd.isna(row[column]) else f", and then recites {row[column]:.0%} of {what}"


def shown(text: str) -> str:
    """A token's text where no word stands beside it."""
    return text.replace("\n", "⏎").replace(" ", "␣") or "∅"


Drawn = tuple[str, str, str]
"""An image: its path relative to the page, its name, and what to look for in it."""


def page(
    run: str,
    rows: pd.DataFrame,
    statements: pd.DataFrame,
    figures: Mapping[tuple[str, str], Sequence[Drawn]],
    links: Mapping[tuple[str, str], str],
    files: Sequence[tuple[str, str]],
    of_run: Sequence[Drawn] = (),
) -> str:
    """The page as HTML.

    Args:
        run: the run's name.
        rows: as `answers` returns.
        statements: tables/statements.csv.
        figures: (model, split) -> its images.
        links: (model, split) -> path of its token page, relative to the page.
        files: (path relative to the page, what it is).
        of_run: the images of the whole run.
    """
    places = []
    for (model, split), of in rows.groupby(["model", "split"], sort=False):
        judged = statements[statements["model"].eq(model) & statements["split"].eq(split)]
        drawn = list(figures.get((model, split), []))
        places.append(
            {
                "model": model,
                "split": split,
                "answers": sentences(of),
                "rows": [_shown(row) for row in of.to_dict("records")],
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
        places=places,
        everywhere=[
            {"model": model, "statements": _statements(of)}
            for model, of in everywhere.groupby("model", sort=False)
        ],
        files=files,
        of_run=of_run,
        one_seed=bool(rows["n_seeds"].le(1).all()),
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


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    def text(name: str) -> str:
        return number(float(row[name])) if not pd.isna(row[name]) else "–"

    layer = "–" if pd.isna(row["layer"]) else f"{row['layer']} ({row['layer_share']:.0%})"
    numeric = ("change_unlearn", "change_retain", "per_nat", "from_step")
    shares = ("es_unlearn", "es_retain")
    return {
        "name": row["objective"],
        "regularizer": row["regularizer"],
        "status": row["status"],
        **{name: text(name) for name in numeric},
        **{name: "–" if pd.isna(row[name]) else f"{row[name]:.2f}" for name in shares},
        "layer": layer,
        "tokens": [shown(token) for token in row["tokens"]],
    }


def _interval(row: Mapping[str, Any]) -> str:
    if pd.isna(row["low"]):
        return ""
    return f"{number(row['low'])} to {number(row['high'])}, over {row['interval']}"


def _statements(rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for statement, of in rows.groupby("statement"):
        verdicts = of.groupby("by")["verdict"].first()
        found.append(
            {
                "number": int(statement),
                "name": of["name"].iloc[0],
                "geffect": verdicts[GEFFECT],
                "change": verdicts[CHANGE],
                "parts": [
                    {
                        "part": "" if pd.isna(row["part"]) else row["part"],
                        "by": "by G-effects" if row["by"] == GEFFECT else "by change of risk",
                        "verdict": row["part_verdict"],
                        **{name: row[name] for name in ("claim", "quantity", "wanted", "reason")},
                        "value": number(row["value"]),
                        "interval": _interval(row),
                    }
                    for row in of.to_dict("records")
                ],
            }
        )
    return found
