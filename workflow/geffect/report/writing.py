"""Writes tables for programs (CSV) and for readers (Markdown, LaTeX)."""

from __future__ import annotations

import io
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from geffect import files
from geffect.names import CELL, REFERENCES

if TYPE_CHECKING:
    from geffect.report.registry import Declaration
    from geffect.report.results import Results

ABBREVIATIONS = {
    "ES": "extraction strength",
    "FQ": "forget quality (p value)",
    "MU": "model utility",
    "EM": "exact memorization",
    "AUC": "area under the curve of a membership inference attack",
    "PrivLeak": "privacy leakage",
    "Prob.": "probability of the answer",
    "e": "G-effect",
    "Σ": "sum over the run, per update",
    "ΔR": "measured change of the risk over the run",
    "↑": "higher is better",
    "↓": "lower is better",
    "→": "closer is better",
}

SPELLED = ("ES", "FQ", "MU", "EM", "Prob.")
"""What is written out where there is room for it."""
HEADINGS = {"dataset": "data set", "n_seeds": "seeds"}
"""Of columns that many tables have."""
MISSING = "–"
ENDS = ("sd", "low", "high")
"""What a column may have besides itself, as `mu_sd`."""
# A LaTeX table that is wider than the text of a plain `article` is split. In points, for 8 pt type
# (Computer Modern, rounded up), the gap between two columns included.
WIDTH, GAP, POINTS = 345, 6, 4.75
OTHER_POINTS = {
    character: points
    for characters, points in (
        (" .,:;'()[]-ijlftrs", 3.4),
        ("0123456789aceogz–", 4.25),
        (f"{string.ascii_uppercase}mw±−→ΔΣ", 7.9),
    )
    for character in characters
}
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "→": r"$\rightarrow$",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "λ": r"$\lambda$",
        "Σ": r"$\Sigma$",
        "Δ": r"$\Delta$",
    }
)


class Column(NamedTuple):
    """How a column of numbers is shown to readers.

    Attributes:
        header: its heading; an arrow at its end says what is wanted (↑, ↓).
        form: "fixed" (four decimals, which compare best in [0, 1]), "scientific", or "" (four
            significant digits).
    """

    header: str
    form: str = ""


def heading(name: str, columns: Mapping[str, Column]) -> str:
    """The heading of a column for readers who have room, with what is `SPELLED` written out."""
    header = columns[name].header if name in columns else HEADINGS.get(name, name.replace("_", " "))
    return " ".join(ABBREVIATIONS[w] if w in SPELLED else w for w in header.split(" "))


def save(
    declaration: Declaration, results: Results, folder: Path, notes: Iterable[str] = ()
) -> list[Path]:
    """Makes a table and writes it in the formats that it declares; returns the files.

    Args:
        declaration: of the table.
        results: what it looks at.
        folder: where its files go.
        notes: what readers need to know; they stand at the end of the caption.
    """
    module = declaration.module()
    frame = module.table(results)
    paths = {suffix: folder / f"{declaration.name}.{suffix}" for suffix in declaration.formats}
    if list(paths) == ["csv"]:
        files.write_text(frame.to_csv(index=False), paths["csv"])
    else:
        own = [module.note(results)] if hasattr(module, "note") else []
        caption = " ".join([declaration.caption, *own, *notes])
        look = getattr(module, "COLUMNS", {})
        write(frame, **paths, caption=caption, columns=look, mark_best=hasattr(module, "MARK_BEST"))
    return list(paths.values())


def write(
    frame: pd.DataFrame,
    csv: str | Path,
    md: str | Path,
    tex: str | Path,
    caption: str,
    columns: Mapping[str, Column],
    mark_best: bool = False,
) -> None:
    """Write a table for programs (CSV) and for readers (markdown, LaTeX).

    The CSV has every column at full precision and `pandas.read_csv` reads it back exactly. For
    readers a column and its `_sd` become one, `mean ± sd`, rounded, and the caption explains the
    abbreviations. The LaTeX file, to \\input, holds as many `table*` as the columns need to stay
    legible, each with the keys of the rows; it needs the package booktabs.

    Args:
        frame: any table of plain text and numbers.
        csv, md, tex: files to write, in folders that exist.
        caption: plain text.
        columns: how columns are shown; those that are not named keep their names.
        mark_best: whether to mark the best and second best numbers of every model and split, by
            the arrows of their headings, reference models aside.

    Raises:
        ValueError: a text column would not be read back as it is (such as the name `null`).
    """
    frame = frame.reset_index(drop=True)
    text = frame.to_csv(index=False, lineterminator="\n")
    _refuse_lossy_text(frame, text)
    files.write_text(text, csv)
    shown = for_readers(frame, columns)
    marks = best(frame, columns) if mark_best else {}
    marked = _marked(shown, columns, marks, "**{}**", "*{}*")
    markdown = marked.to_markdown(
        index=False, disable_numparse=True, colalign=_alignment(frame, shown)
    )
    caption = f"{caption} {legend(shown)}".strip()
    files.write_text(f"{caption}\n\n{markdown}\n", md)
    latex_marks = {(place[0], columns[place[1]].header): mark for place, mark in marks.items()}
    latex = _latex(shown, _alignment(frame, shown), caption, f"tab:{Path(tex).stem}", latex_marks)
    files.write_text(latex, tex)


def _refuse_lossy_text(frame: pd.DataFrame, text: str) -> None:
    read = pd.read_csv(io.StringIO(text))
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            for before, after in zip(frame[column], read[column], strict=True):
                if not pd.isna(before) and before != after:
                    raise ValueError(
                        f"{before!r} in column {column!r} would be read back as {after!r}"
                    )


def for_readers(frame: pd.DataFrame, known: Mapping[str, Column]) -> pd.DataFrame:
    """The same table as text: rounded, `mean ± sd` in one column, headers with directions."""
    columns = {}
    for name in visible(frame):
        if name == "status" and "n_seeds" in frame:
            texts = [_status(*pair) for pair in zip(frame["status"], frame["n_seeds"], strict=True)]
        else:
            form = known.get(name, Column(name)).form
            extra = [frame.get(f"{name}_{end}", pd.Series(np.nan, frame.index)) for end in ENDS]
            if f"{name}_sd" in frame:  # the interval is another table's
                extra[1:] = [extra[0] * np.nan] * 2
            texts = [_with_ends(form, *row) for row in zip(frame[name], *extra, strict=True)]
        columns[known.get(name, Column(name)).header] = texts
    return pd.DataFrame(columns, dtype=object)


def visible(frame: pd.DataFrame) -> list[str]:
    """The columns that stand for themselves: not the spread or interval of another one."""

    def belongs(name: str) -> bool:
        stem, _, end = name.rpartition("_")
        return end in ENDS and stem in frame

    return [name for name in frame if not belongs(name)]


def _with_ends(form: str, value: Any, spread: float, low: float, high: float) -> str:
    text = _text(form, value)
    if not pd.isna(spread):
        return f"{text} ± {_text(form, spread, digits=2)}"
    if pd.isna(low) or pd.isna(high):
        return text
    return f"{text} [{_text(form, low)}, {_text(form, high)}]"


def best(frame: pd.DataFrame, columns: Mapping[str, Column]) -> dict[tuple[int, str], int]:
    """(row, column) -> 0 for the best numbers and 1 for the second best of a model and split.

    Numbers that look the same to readers are equally good. Columns without an arrow at the end of
    their heading have none, nor has a group with a single number, nor has a row that is the mean
    over fewer seeds than others: one seed may be harder than another.
    """
    found = {}
    cells = frame[~frame["objective"].isin(REFERENCES)]
    for _, rows in cells.groupby(["model", "split"], sort=False):
        if "n_seeds" in rows:
            rows = rows[rows["n_seeds"].eq(rows["n_seeds"].max())]
        for name, column in columns.items():
            wanted = {"↑": -1, "↓": 1}.get(column.header[-1:])
            if wanted is None or name not in rows:
                continue
            values = rows[name][np.isfinite(rows[name].astype("float64"))]
            seen = {i: float(_text(column.form, v).replace("−", "-")) for i, v in values.items()}
            ranks = sorted({wanted * value for value in seen.values()})
            if len(ranks) > 1:
                for index, value in seen.items():
                    if (rank := ranks.index(wanted * value)) < 2:
                        found[int(str(index)), name] = rank
    return found


def _marked(
    shown: pd.DataFrame,
    columns: Mapping[str, Column],
    marks: Mapping[tuple[int, str], int],
    *patterns: str,
) -> pd.DataFrame:
    marked = shown.copy()
    for (index, name), rank in marks.items():
        header = columns[name].header
        marked.loc[index, header] = patterns[rank].format(marked.loc[index, header])
    return marked


def _text(form: str, value: Any, digits: int = 4) -> str:
    if pd.isna(value):
        return MISSING
    if not isinstance(value, (float, np.floating)):
        return str(value)
    if form == "scientific":
        return f"{value:.2e}"
    number = f"{value:.4f}" if form == "fixed" else f"{value:.{digits}g}"
    return f"−{number[1:]}" if number.startswith("-") else number


def _status(status: str, n_seeds: int) -> str:
    if status == "ok" or n_seeds == 0:
        return status
    return f"some seeds {status}"


def _alignment(frame: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in visible(frame)]
    assert len(numeric) == shown.shape[1]
    return ["right" if right else "left" for right in numeric]


def legend(shown: Iterable[str]) -> str:
    """What the abbreviations and arrows of some headers stand for."""
    used = {word for name in shown for word in str(name).split()}
    known = [f"{name}: {text}" for name, text in ABBREVIATIONS.items() if name in used]
    return f"{'; '.join(known)}." if known else ""


def _latex(
    shown: pd.DataFrame,
    alignment: list[str],
    caption: str,
    label: str,
    marks: Mapping[tuple[int, str], int],
) -> str:
    parts = _parts(shown)
    lines = ["% needs \\usepackage{booktabs}"]
    for number, columns in enumerate(parts, start=1):
        of_part = "" if len(parts) == 1 else f" ({number} of {len(parts)})"
        text = f"{caption}{of_part}" if number == 1 else f"{caption.partition('.')[0]}{of_part}."
        sides = [side for name, side in zip(shown, alignment, strict=True) if name in columns]
        lines += [
            r"\begin{table*}[t]",
            r"\centering",
            r"\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
            rf"\caption{{{text.translate(LATEX)}}}",
            rf"\label{{{label if number == 1 else f'{label}-{number}'}}}",
            _tabular(shown[columns], sides, marks),
            r"\end{table*}",
        ]
    return "\n".join([*lines, ""])


def _tabular(
    shown: pd.DataFrame, alignment: list[str], marks: Mapping[tuple[int, str], int]
) -> str:
    escaped = shown.map(lambda text: text.translate(LATEX))
    for (index, header), rank in marks.items():
        if header in escaped:
            text = escaped.loc[index, header]
            escaped.loc[index, header] = rf"\{('textbf', 'underline')[rank]}{{{text}}}"
    headers = {}
    for name, side in zip(shown, alignment, strict=True):
        stacked = r"\\".join(line.translate(LATEX) for line in _lines(name))
        headers[name] = rf"\shortstack[{side[0]}]{{{stacked}}}" if " " in name else stacked
    return (
        escaped.rename(columns=headers)
        .style.hide(axis="index")
        .to_latex(hrules=True, column_format="".join(side[0] for side in alignment))
        .rstrip("\n")
    )


def _parts(shown: pd.DataFrame) -> list[list[str]]:
    """The columns of each part of a table: the keys of its rows, and what fits beside them."""
    keys = [name for name in shown if name in CELL]
    parts: list[list[str]] = [[]]
    room = free = WIDTH - sum(_width(shown, name) for name in keys)
    for name in shown.columns.drop(keys):
        width = _width(shown, name)
        if width > free and parts[-1]:
            parts.append([])
            free = room
        parts[-1].append(name)
        free -= width
    return [[*keys, *part] for part in parts]


def _width(shown: pd.DataFrame, name: str) -> float:
    texts = [*shown[name], *_lines(name)]
    return GAP + max(sum(OTHER_POINTS.get(c, POINTS) for c in text) for text in texts)


def _lines(header: str) -> list[str]:
    """A header in two lines of about the same length, if it has several words; arrows stay put."""
    words = header.split(" ")
    cuts = [n for n in range(1, len(words)) if words[n] not in "↑↓→"]
    if not cuts:
        return [header]
    halves = [(" ".join(words[:n]), " ".join(words[n:])) for n in cuts]
    return list(min(halves, key=lambda pair: max(map(len, pair))))
