"""The table of statements for readers."""

from __future__ import annotations

import math

import pandas as pd

from geffect.report.statements.verdict import ALL_SPLITS, CHANGE, GEFFECT, counted, number
from geffect.report.writing import Column

COLUMNS = {
    "name": Column("the paper says"),
    "by": Column("judged by"),
    "part_verdict": Column("verdict on the part"),
    "low": Column("95% low"),
    "high": Column("95% high"),
    "interval": Column("interval over"),
}
"""How the table of statements is shown on the page of tables."""
HEADING = {GEFFECT: "by G-effects", CHANGE: "by the change of risk"}


def measured(row: pd.Series) -> str:
    """The value of a claim's quantity, its interval, and what the claim wants."""
    if math.isnan(row["value"]):
        return "–"
    text = number(row["value"])
    if not math.isnan(row["low"]):
        text += f" [{number(row['low'])}, {number(row['high'])}] over {row['interval']}"
    return f"{text} (wanted: {row['wanted']})"


def _verdict(rows: pd.DataFrame) -> str:
    """The verdict on a statement, and of several parts how many hold."""
    verdict, parts = rows["verdict"].iloc[0], rows["part_verdict"].tolist()
    said = counted(parts)
    return verdict if said == verdict else f"{verdict} ({said})"


def markdown(table: pd.DataFrame, caption: str) -> str:
    """The verdicts of every (model, split) at a glance, and below them why.

    Args:
        table: as `statements.table` returns.
        caption: plain text.
    """
    lines = [caption, ""]
    for (model, split), rows in table.groupby(["model", "split"], sort=False):
        lines += [f"## {model}, {split if split != ALL_SPLITS else 'all splits'}", ""]
        lines += [f"| | statement | {HEADING[GEFFECT]} | {HEADING[CHANGE]} |"]
        lines += ["|--:|---|---|---|"]
        for statement, of in rows.groupby("statement"):
            verdicts = [_verdict(of[of["by"].eq(by)]) for by in (GEFFECT, CHANGE)]
            lines.append(f"| {statement} | {of['name'].iloc[0]} | {' | '.join(verdicts)} |")
        lines.append("")
        for row in rows.to_dict("records"):
            place = f"{row['statement']}{row['part']}, {HEADING[row['by']]}"
            lines.append(
                f"- **{place}**: {row['claim']}. *{row['part_verdict']}*: "
                f"{measured(pd.Series(row))}; {row['reason']}."
            )
        lines.append("")
    return "\n".join(lines)
