"""What is known of the forget set and the held-out rows when weights are rounded to few bits."""

from collections.abc import Iterable, Mapping

import pandas as pd

from geffect.names import CELL, REFERENCES, RETAIN, UNLEARN, WHOLE_BITS
from geffect.report.cells import ROW, in_order, over_seeds, wide
from geffect.report.results import Results
from geffect.report.robustness import BOUNDED, missing, rounding
from geffect.report.writing import Column

TITLE = "Rounded weights"
CAPTION = (
    "Weights of the linear layers in the blocks, rounded to so many bits (32: not rounded). Q: "
    "robustness, what is known of the forget set before over after, at most 1; below 1, rounding "
    "brings back what was unlearned. Where held-out rows fall as well, rounding has ruined the "
    "model, and a high Q says little."
)
CATEGORY = "Robustness"
READS = ["quantized", "training", "records"]
FORMATS = ["csv", "md", "tex"]

_NAMES = {"es_exact": "ES", "em": "EM", "truth_ratio": "TR"}
_ARROWS = {("es_exact", UNLEARN): " ↓", ("em", UNLEARN): " ↓", ("truth_ratio", UNLEARN): " ↑"}
VALUES = {f"{m}_{d}": (m, d) for m in BOUNDED for d in (UNLEARN, RETAIN)}
ROBUSTNESS = [f"{metric}_robustness" for metric in BOUNDED]
COLUMNS = {
    name: Column(f"{_NAMES[m]} {d}{_ARROWS.get((m, d), ' ↑')}", "fixed")
    for name, (m, d) in VALUES.items()
} | {f"{m}_robustness": Column(f"Q of {_NAMES[m]} ↑", "fixed") for m in BOUNDED}
COLUMNS |= {"n_seeds": Column("seeds")}


def table(results: Results) -> pd.DataFrame:
    """`quantized_table` of all cells and reference models."""
    return quantized_table(results.frame("quantized"), results.status())


def note(results: Results) -> str:
    """What the caption says of these results: `about` their records."""
    return about(record for _, record in results.records_of("quantize"))


def quantized_table(quantized: pd.DataFrame, status: pd.DataFrame) -> pd.DataFrame:
    """What is known with rounded weights, averaged over seeds.

    Args:
        quantized: CELL, `bits`, `metric`, `dataset`, `value`, of cells and reference models.
        status: CELL, `status` (`results.Results.status`).

    Returns:
        One row per (model, split, objective, regularizer) and `bits`, reference models first, the
        unrounded weights (32) first: `VALUES` and `ROBUSTNESS` (`robustness.rounding`; of cells
        alone), each with `_sd`, its sample standard deviation over seeds; `n_seeds`, of which there
        are numbers, and `status`. Missing where there is no number.
    """
    numbers = [*VALUES, *ROBUSTNESS]
    every = sorted(quantized["bits"].unique(), reverse=True) if len(quantized) else [WHOLE_BITS]
    found = rounding(quantized)
    found = found[~found["objective"].isin(REFERENCES)]
    parts = []
    order = in_order(status, quantized)
    for bits in every:
        here = quantized[quantized["bits"].eq(bits)] if len(quantized) else quantized
        cells = order.assign(bits=bits)
        if len(here):
            cells = cells.merge(wide(here, VALUES), how="left", on=CELL)
        own = found[found["bits"].eq(bits)]
        ratios = own.pivot(index=CELL, columns="metric", values="robustness")
        ratios = ratios.reindex(columns=list(BOUNDED)).set_axis(ROBUSTNESS, axis=1)
        parts.append(cells.merge(ratios.reset_index(), how="left", on=CELL))
    cells = pd.concat(parts).reindex(columns=[*CELL, "bits", *numbers])
    # Rows of one variant stand together.
    cells["place"] = cells.groupby(ROW, sort=False, dropna=False).ngroup()
    cells = cells.sort_values(["place", "bits"], ascending=[True, False], kind="stable")
    return over_seeds(cells.drop(columns="place"), numbers, "es_exact_unlearn", status, ["bits"])


def about(records: Iterable[Mapping]) -> str:
    """Which share of the weights is rounded, and why numbers are missing.

    Args:
        records: contents of quantized.json.
    """
    records = list(records)
    shares = [share for record in records for share in record["rounded"].values()]
    said = [f"Rounded: {min(shares):.0%} of all weights."] if shares else []
    return " ".join([*said, *missing(records)])
