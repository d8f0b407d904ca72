"""Frames in, frames out: the tables of the report, and how they are written.

The input frames hold any number of cells, one below the other; a cell is named by the columns
`CELL`. Results follow the order in which cells first appear (the order of the configuration),
except that the reference models come first within their model and split.
"""

from __future__ import annotations

import io
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geffect import files
from geffect.files import hash_content
from geffect.names import ATTACKS, CELL, COMBINED, OBJECTIVE, REFERENCES, TOTAL, UTILITY_PARTS

ROW = CELL[:-1]
# From best to worst: a row over several seeds shows the worst one.
STATUSES = ["ok", "missing", "diverged"]

# Column of the main table -> (metric, dataset) in the metrics frame.
MAIN_COLUMNS = {
    "es_exact_retain": ("es_exact", "retain"),
    "es_exact_unlearn": ("es_exact", "unlearn"),
    "es_perturb_retain": ("es_perturb", "retain"),
    "es_perturb_unlearn": ("es_perturb", "unlearn"),
    "fq": ("fq", "unlearn"),
    "mu": ("mu", "all"),
    "prob_unlearn": ("probability", "unlearn"),
    "prob_retain": ("probability", "retain"),
}
UTILITY_SETS = ("retain", "real_authors", "world_facts")
EFFECTS = {"e_unlearn": "unlearn", "e_retain": "retain"}
CHANGES = {"change_unlearn": "unlearn", "change_retain": "retain"}
VALUES = [*MAIN_COLUMNS, *EFFECTS, *CHANGES]
NINE_PARTS = {
    f"{metric}_{dataset}": (metric, dataset)
    for metric, dataset in sorted(UTILITY_PARTS, key=lambda part: UTILITY_SETS.index(part[1]))
}
USAGE = ["wall_seconds", "peak_memory_mib", "peak_gpu_mib"]
PRIVACY = {
    "em_unlearn": ("em", "unlearn"),
    "em_retain": ("em", "retain"),
    **{f"mia_{attack}": (f"mia_{attack}", "unlearn") for attack in ATTACKS},
    "privleak": ("privleak", "unlearn"),
}

HEADERS = {
    "es_exact_retain": "ES exact retain ↑",
    "es_exact_unlearn": "ES exact unlearn ↓",
    "es_perturb_retain": "ES perturb retain ↑",
    "es_perturb_unlearn": "ES perturb unlearn ↓",
    "fq": "FQ ↑",
    "mu": "MU ↑",
    "prob_unlearn": "Prob. unlearn ↓",
    "prob_retain": "Prob. retain ↑",
    # No direction: with AdamW the sign of e says little about what a run did.
    "e_unlearn": "Σ e unlearn",
    "e_retain": "Σ e retain",
    "change_unlearn": "ΔR unlearn (nats) ↑",
    "change_retain": "ΔR retain (nats) ↓",
    "n_seeds": "seeds",
    "em_unlearn": "EM unlearn ↓",
    "em_retain": "EM retain ↑",
    "mia_loss": "AUC loss → 0.5",
    "mia_zlib": "AUC zlib → 0.5",
    "mia_min_k": "AUC min-k → 0.5",
    "mia_min_k_plus_plus": "AUC min-k++ → 0.5",
    "mia_gradient_norm": "AUC gradient norm → 0.5",
    "mia_reference": "AUC reference → 0.5",
    "privleak": "PrivLeak % → 0",
} | {name: f"{name.replace('_', ' ').capitalize()} ↑" for name in NINE_PARTS}
ABBREVIATIONS = {
    "ES": "extraction strength",
    "FQ": "forget quality (p value)",
    "MU": "model utility",
    "EM": "exact memorization",
    "AUC": "area under the curve of a membership inference attack",
    "PrivLeak": "privacy leakage",
    "Prob.": "probability of the answer",
    "e": "G-effect",
    "↑": "higher is better",
    "↓": "lower is better",
    "→": "closer is better",
}
SCIENTIFIC = {"fq"}
# These lie in [0, 1], where a fixed number of decimals compares best.
FIXED = {*MAIN_COLUMNS, *NINE_PARTS, *PRIVACY} - SCIENTIFIC - {"privleak"}
MISSING = "–"
# A LaTeX table that is wider than the text of a plain `article` is split. In points, for 8 pt type
# (Computer Modern, rounded up), the gap between two columns included.
WIDTH, GAP, POINTS = 345, 6, 4.75
OTHER_POINTS = {
    character: points
    for characters, points in (
        (" .,:;'()[]-ijlftrs", 3.4),
        ("0123456789aceogz–", 4.25),
        (f"{string.ascii_uppercase}mw±−→", 7.9),
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


def status(cells: list[dict], training: list[pd.DataFrame]) -> pd.DataFrame:
    """CELL and `status` (ok, diverged) of each cell, from its training log's `diverged`."""
    states = ["diverged" if log["diverged"].any() else "ok" for log in training]
    return pd.DataFrame([{**cell, "status": s} for cell, s in zip(cells, states, strict=True)])


def diverged_steps(cells: list[dict], training: list[pd.DataFrame]) -> dict[tuple, int]:
    """(objective, regularizer, seed) -> the step that ended the run, for those that diverged."""
    return {
        (cell["objective"], cell["regularizer"], cell["seed"]): int(log["step"].iloc[-1])
        for cell, log in zip(cells, training, strict=True)
        if log["diverged"].any()
    }


def cumulated(geffect: pd.DataFrame) -> pd.DataFrame:
    """Sum e(t_i) * (t_{i+1} - t_i) over the measured steps of every cell, term and component.

    The last step of a run has no interval and contributes nothing. A run measured at one step
    only has no interval at all: its value is missing, as it is where a contributing e is.

    Args:
        geffect: columns CELL, `step` (optimiser updates), `term`, `dataset`, `component`,
            `geffect`; rows in any order.

    Returns:
        One row per group in order of first appearance: CELL, `term`, `dataset`, `component`,
        `cumulated` (float64, e times updates).

    Raises:
        ValueError: a column is missing, or a group holds the same step twice.
    """
    keys = [*CELL, "term", "dataset", "component"]
    geffect = _checked(geffect, [*keys, "step", "geffect"], "geffect")
    _refuse_duplicates(geffect, [*keys, "step"], "geffect")
    group = geffect.groupby(keys, sort=False, dropna=False).ngroup()
    rows = geffect.assign(group=group).sort_values(["group", "step"])
    interval = rows.groupby("group")["step"].shift(-1) - rows["step"]
    contribution = (rows["geffect"] * interval).astype("float64")[interval.notna()]
    sums = contribution.groupby(rows["group"]).sum(skipna=False)
    result = geffect[keys].drop_duplicates().reset_index(drop=True)
    return result.assign(cumulated=sums.reindex(result.index).astype("float64"))


def main_table(
    metrics: pd.DataFrame,
    geffect: pd.DataFrame,
    status: pd.DataFrame,
    risk: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put metrics, cumulated G-effects and changes of risk side by side, averaged over seeds.

    Only seeds of status ok enter the averages. A column that some of these seeds lack (or have
    no finite number for) is averaged over the others; where none is left, it is missing.

    Args:
        metrics: CELL, `metric`, `dataset`, `value`; the reference models are cells of objective
            `original` or `retain_model`.
        geffect: as for `cumulated`; the total of the term `combined` is used.
        status: CELL, `status` (ok, diverged, missing). A cell not listed is ok. A cell that is
            ok by this frame but has no finite metric is missing.
        risk: as for `changes.attributed`; None leaves the changes of risk missing.

    Returns:
        One row per (model, split, objective, regularizer): these four, the columns `VALUES`
        (means over seeds), each of them with `_sd` (sample standard deviation, missing for a
        single seed), `n_seeds` (seeds that entered), `status` (the worst over all seeds).

    Raises:
        ValueError: a column is missing, a row appears twice, or a status is unknown.
    """
    metrics = _checked(metrics, [*CELL, "metric", "dataset", "value"], "metrics")
    geffect = _checked(geffect, [*CELL, "step", "term", "dataset", "component"], "geffect")
    status = _checked(status, [*CELL, "status"], "status")
    _refuse_duplicates(status, CELL, "status")
    unknown = sorted(set(status["status"]) - set(STATUSES))
    if unknown:
        raise ValueError(f"unknown status {unknown[0]!r}, expected one of {', '.join(STATUSES)}")

    cells = _cells_in_order(status, metrics, geffect)
    cells = cells.merge(status, how="left", on=CELL)
    cells["status"] = cells["status"].fillna("ok")
    measured = metrics.loc[np.isfinite(metrics["value"].astype("float64")), CELL]
    has_metrics = (
        cells[CELL]
        .merge(measured.drop_duplicates(), how="left", on=CELL, indicator="found")["found"]
        .eq("both")
    )
    cells["status"] = cells["status"].mask(cells["status"].eq("ok") & ~has_metrics, "missing")

    cells = cells.merge(_wide(metrics, MAIN_COLUMNS), how="left", on=CELL)
    cells = cells.merge(_cumulated_totals(geffect), how="left", on=CELL)
    cells = cells.merge(_changes(pd.DataFrame() if risk is None else risk), how="left", on=CELL)
    enters = cells["status"].eq("ok")
    finite = np.isfinite(cells[VALUES]).mul(enters, axis=0)
    cells[VALUES] = cells[VALUES].where(finite)
    cells["n_seeds"] = enters.astype("int64")
    cells["status"] = cells["status"].map(STATUSES.index)

    rows = cells.groupby(ROW, sort=False, dropna=False)
    means = rows[VALUES].mean()
    spread = rows[VALUES].std(ddof=1).add_suffix("_sd")
    worst = rows["status"].max().map(dict(enumerate(STATUSES)))
    return pd.concat([means, spread, rows["n_seeds"].sum(), worst], axis=1).reset_index()


def nine_parts(metrics: pd.DataFrame) -> pd.DataFrame:
    """Spread out the nine numbers that Model Utility is the harmonic mean of.

    Args:
        metrics: CELL, `metric`, `dataset`, `value`.

    Returns:
        One row per cell: CELL, `probability_*`, `rouge_*`, `truth_ratio_*` for the data sets
        retain, real_authors and world_facts, and `mu` (float64, missing where not measured).

    Raises:
        ValueError: a column is missing, or a row appears twice.
    """
    return _by_cell(metrics, NINE_PARTS | {"mu": MAIN_COLUMNS["mu"]})


def privacy(metrics: pd.DataFrame) -> pd.DataFrame:
    """Spread out exact memorization, the AUCs of membership inference, and privleak.

    Args:
        metrics: as for `nine_parts`.

    Returns:
        One row per cell: CELL and the columns `PRIVACY` (float64, missing where not measured:
        membership needs holdout rows, the reference attack another model than the retain model).

    Raises:
        ValueError: a column is missing, or a row appears twice.
    """
    return _by_cell(metrics, PRIVACY)


def provenance(records: Iterable[tuple[Mapping, str, Mapping]]) -> pd.DataFrame:
    """What made the rows of the tables, where, and at what cost.

    Args:
        records: (cell, stage, content of its provenance.json, geffect.json or evaluation.json).

    Returns:
        One row per record: CELL, `stage`, `git_commit`, `git_dirty`, the hashes `code`, `settings`
        and `weights` (of the model that was trained or evaluated),
        `python` and a column per package with their versions, `host`, `device`, `gpus`,
        `wall_seconds`, `peak_memory_mib`, `peak_gpu_mib`.
    """
    return pd.DataFrame(
        [
            {
                **cell,
                "stage": stage,
                "git_commit": record["git"]["commit"],
                "git_dirty": record["git"]["dirty"],
                "code": record.get("code"),
                "settings": hash_content(record["settings"])[:16],
                "weights": hash_content(_weights(record))[:16],
                **_versions(record),
                "host": record["host"],
                "device": record["device"],
                "gpus": record["gpu"]["count"],
                **{name: record[name] for name in USAGE},
            }
            for cell, stage, record in records
        ]
    )


def mixed_versions(records: Iterable[Mapping]) -> list[str]:
    """A warning for each package that the records name in several versions.

    Args:
        records: contents of provenance.json, geffect.json and evaluation.json.
    """
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        for package, version in _versions(record).items():
            known = counts.setdefault(package, {})
            known[version] = known.get(version, 0) + 1
    return [
        f"WARNING: made with several versions of {package}: "
        + ", ".join(
            f"{version} ({number} of {sum(known.values())} records)"
            for version, number in sorted(known.items())
        )
        + "; provenance.csv names the rows."
        for package, known in sorted(counts.items())
        if len(known) > 1
    ]


def _weights(record: Mapping) -> Mapping[str, str]:
    weights = record["weights"]
    return weights.get("unlearned", weights.get("model", weights))


def _versions(record: Mapping) -> dict[str, str]:
    return {"python": record["python"], **dict(sorted(record["packages"].items()))}


def _by_cell(metrics: pd.DataFrame, names: dict[str, tuple[str, str]]) -> pd.DataFrame:
    metrics = _checked(metrics, [*CELL, "metric", "dataset", "value"], "metrics")
    return _cells_in_order(metrics).merge(_wide(metrics, names), how="left", on=CELL)


def write(
    frame: pd.DataFrame, csv: str | Path, md: str | Path, tex: str | Path, caption: str
) -> None:
    """Write a table for programs (CSV) and for readers (markdown, LaTeX).

    The CSV has every column at full precision and `pandas.read_csv` reads it back exactly. For
    readers a column and its `_sd` become one, `mean ± sd`, rounded, and the caption explains the
    abbreviations. The LaTeX file, to \\input, holds as many `table*` as the columns need to stay
    legible, each with the keys of the rows; it needs the package booktabs.

    Args:
        frame: any table of this module, or another one of plain text and numbers.
        csv, md, tex: files to write, in folders that exist.
        caption: plain text.

    Raises:
        ValueError: a text column would not be read back as it is (such as the name `null`).
    """
    frame = frame.reset_index(drop=True)
    text = frame.to_csv(index=False, lineterminator="\n")
    _refuse_lossy_text(frame, text)
    files.write_text(text, csv)
    shown = _for_readers(frame)
    markdown = shown.to_markdown(
        index=False, disable_numparse=True, colalign=_alignment(frame, shown)
    )
    caption = f"{caption} {_legend(shown)}".strip()
    files.write_text(f"{caption}\n\n{markdown}\n", md)
    latex = _latex(shown, _alignment(frame, shown), caption, f"tab:{Path(tex).stem}")
    files.write_text(latex, tex)


def _checked(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    if frame.empty:
        return frame.reindex(columns=list(dict.fromkeys([*frame.columns, *columns])))
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"the {name} frame has no column {missing[0]!r}")
    # Cells concatenated one below the other repeat their index.
    return frame.reset_index(drop=True)


def _refuse_duplicates(frame: pd.DataFrame, keys: list[str], name: str) -> None:
    twice = frame.loc[frame.duplicated(keys), keys]
    if len(twice):
        row = ", ".join(f"{key}={value}" for key, value in twice.iloc[0].items())
        raise ValueError(f"the {name} frame has a row twice: {row}")


def _cells_in_order(*frames: pd.DataFrame) -> pd.DataFrame:
    """The distinct cells, by model and split, references first, else by first appearance."""
    filled = [frame[CELL] for frame in frames if len(frame)]
    cells = pd.concat(filled or [frame[CELL] for frame in frames], ignore_index=True)
    cells = cells.drop_duplicates(ignore_index=True)
    reference = {name: position for position, name in enumerate(REFERENCES)}
    order = pd.DataFrame(
        {
            "model": cells.groupby("model", sort=False).ngroup(),
            "split": cells.groupby(["model", "split"], sort=False).ngroup(),
            "reference": cells["objective"].map(reference).fillna(len(reference)),
            "row": cells.groupby(ROW, sort=False).ngroup(),
        }
    )
    return cells.loc[order.sort_values(list(order), kind="stable").index].reset_index(drop=True)


def _wide(metrics: pd.DataFrame, names: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """One row per cell, one float64 column per name; missing where a metric is not there."""
    _refuse_duplicates(metrics, [*CELL, "metric", "dataset"], "metrics")
    wide = metrics.pivot(index=CELL, columns=["metric", "dataset"], values="value")
    wide = wide.reindex(columns=pd.MultiIndex.from_tuples(names.values()))
    return wide.set_axis(list(names), axis=1).astype("float64").reset_index()


def _cumulated_totals(geffect: pd.DataFrame) -> pd.DataFrame:
    chosen = geffect["term"].eq(COMBINED) & geffect["component"].eq(TOTAL)
    sums = cumulated(geffect[chosen])
    wide = sums.pivot(index=CELL, columns="dataset", values="cumulated")
    wide = wide.reindex(columns=list(EFFECTS.values()))
    return wide.set_axis(list(EFFECTS), axis=1).astype("float64").reset_index()


def _changes(risk: pd.DataFrame) -> pd.DataFrame:
    """The measured change of both risks over whole runs, in nats: a row per cell."""
    risk = _checked(risk, [*CELL, "term", "dataset", "component", "measured_change"], "risk")
    chosen = risk[risk["term"].eq(OBJECTIVE) & risk["component"].eq(TOTAL)]
    sums = chosen.groupby([*CELL, "dataset"])["measured_change"].sum(min_count=1).reset_index()
    wide = sums.pivot(index=CELL, columns="dataset", values="measured_change")
    wide = wide.reindex(columns=list(CHANGES.values()))
    return wide.set_axis(list(CHANGES), axis=1).astype("float64").reset_index()


def _refuse_lossy_text(frame: pd.DataFrame, text: str) -> None:
    read = pd.read_csv(io.StringIO(text))
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            for before, after in zip(frame[column], read[column], strict=True):
                if not pd.isna(before) and before != after:
                    raise ValueError(
                        f"{before!r} in column {column!r} would be read back as {after!r}"
                    )


def _for_readers(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table as text: rounded, `mean ± sd` in one column, headers with directions."""
    columns = {}
    for name in _visible(frame):
        if name == "status" and "n_seeds" in frame:
            texts = [_status(*pair) for pair in zip(frame["status"], frame["n_seeds"], strict=True)]
        else:
            spread = frame.get(f"{name}_sd", pd.Series(np.nan, frame.index))
            texts = [_with_spread(name, *pair) for pair in zip(frame[name], spread, strict=True)]
        columns[HEADERS.get(name, name)] = texts
    return pd.DataFrame(columns, dtype=object)


def _visible(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if not (name.endswith("_sd") and name[:-3] in frame)]


def _with_spread(name: str, value: Any, spread: float) -> str:
    text = _text(name, value)
    return text if pd.isna(spread) else f"{text} ± {_text(name, spread, digits=2)}"


def _text(name: str, value: Any, digits: int = 4) -> str:
    if pd.isna(value):
        return MISSING
    if not isinstance(value, (float, np.floating)):
        return str(value)
    if name in SCIENTIFIC:
        return f"{value:.2e}"
    number = f"{value:.4f}" if name in FIXED else f"{value:.{digits}g}"
    return f"−{number[1:]}" if number.startswith("-") else number


def _status(status: str, n_seeds: int) -> str:
    if status == "ok" or n_seeds == 0:
        return status
    return f"some seeds {status}"


def _alignment(frame: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in _visible(frame)]
    assert len(numeric) == shown.shape[1]
    return ["right" if right else "left" for right in numeric]


def _legend(shown: pd.DataFrame) -> str:
    """What the abbreviations and arrows of some headers stand for."""
    used = {word for name in shown for word in str(name).split()}
    known = [f"{name}: {text}" for name, text in ABBREVIATIONS.items() if name in used]
    return f"{'; '.join(known)}." if known else ""


def _latex(shown: pd.DataFrame, alignment: list[str], caption: str, label: str) -> str:
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
            _tabular(shown[columns], sides),
            r"\end{table*}",
        ]
    return "\n".join([*lines, ""])


def _tabular(shown: pd.DataFrame, alignment: list[str]) -> str:
    escaped = shown.map(lambda text: text.translate(LATEX))
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
