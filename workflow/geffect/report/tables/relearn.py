"""What a few relearned forget rows bring back of the others, beside the retain model."""

from collections.abc import Iterable, Mapping, Set

import pandas as pd

from geffect.names import CELL
from geffect.report.cells import in_order, over_seeds
from geffect.report.results import Results
from geffect.report.robustness import KNOWS, adapted, missing, relearning, speeds
from geffect.report.writing import Column

TITLE = "Relearning"
CAPTION = (
    "What is known of the other forget rows before a few are relearned, and what is gained by the "
    "last epoch. R: robustness, the retain model's gain over the unlearned model's, at most 1; 1 "
    "also where nothing is gained. A ruined model gains nothing either, so look at what it retains "
    "(main table). Speed: squared norm of the forget risk's gradient at the last measured step; "
    "predicted: what gradient descent would lower the risk by, to first order. It ranks cells; "
    "AdamW sets how far they get."
)
CATEGORY = "Robustness"
READS = ["relearn", "geffect", "training", "records"]
FORMATS = ["csv", "md", "tex"]

VALUES = ["start", "end", "gain", "gain_retain_model", "robustness"]
SPEED = ["speed", "predicted"]
_NAMES = {"es_exact": "ES", "em": "EM", "truth_ratio": "TR", "risk": "Risk"}
_SHOWN = {
    "start": "before",
    "end": "after",
    "gain": "gain ↓",
    "gain_retain_model": "gain retain model",
    "robustness": "R ↑",
}

COLUMNS = {
    f"{metric}_{value}": Column(f"{_NAMES[metric]} {shown}", "fixed")
    for metric in KNOWS
    for value, shown in _SHOWN.items()
} | {
    "speed": Column("speed"),
    "predicted": Column("Risk predicted gain"),
    "n_seeds": Column("seeds"),
}


def table(results: Results) -> pd.DataFrame:
    """`relearn_table` of all cells and retain models."""
    return relearn_table(
        results.frame("relearn"),
        results.frame("geffect"),
        results.records_of("relearn"),
        results.status(),
        adapted(results),
    )


def note(results: Results) -> str:
    """What the caption says of these results: `about` them."""
    return about(results.records_of("relearn"), results.frame("relearn"), results.status())


def relearn_table(
    relearn: pd.DataFrame,
    geffect: pd.DataFrame,
    records: Iterable[tuple[Mapping, Mapping]],
    status: pd.DataFrame,
    with_adapters: Set[tuple] = frozenset(),
) -> pd.DataFrame:
    """What relearning brings back, averaged over seeds.

    Args:
        relearn: CELL, `epoch`, `metric`, `dataset`, `value`, of cells and of retain models.
        geffect: rows of `geffect.parquet`, with their keys.
        records: (cell, content of its relearn.json), whose `learning_rate_sum` is Σ η.
        status: CELL, `status` (`results.Results.status`).
        with_adapters: as for `robustness.speeds`.

    Returns:
        One row per (model, split, objective, regularizer), retain models first: these four; for
        every metric of `robustness.KNOWS` the columns `VALUES` (`robustness.relearning`), as
        `es_exact_gain`; `speed` (`robustness.speeds`) and `predicted` (nats), which is Σ η times
        it; each of these with `_sd`, its sample standard deviation over seeds; `n_seeds`, of which
        there are numbers, and `status`. Missing where there is no number.
    """
    long = relearning(relearn)
    columns = [f"{metric}_{value}" for metric in KNOWS for value in VALUES]
    parts = []
    for metric in KNOWS:
        own = long[long["metric"].eq(metric)].set_index(CELL)[VALUES]
        parts.append(own.add_prefix(f"{metric}_"))
    cells = in_order(status, long)
    cells = cells.merge(pd.concat(parts, axis=1).reset_index(), how="left", on=CELL)
    cells = cells.merge(speeds(geffect, with_adapters), how="left", on=CELL)
    rates = pd.DataFrame(
        [{**cell, "rates": record["learning_rate_sum"]} for cell, record in records],
        columns=[*CELL, "rates"],
    )
    cells = cells.merge(rates, how="left", on=CELL)
    cells["predicted"] = cells["speed"] * cells["rates"]
    return over_seeds(cells, [*columns, *SPEED], "es_exact_start", status)


def about(
    records: Iterable[tuple[Mapping, Mapping]], relearn: pd.DataFrame, status: pd.DataFrame
) -> str:
    """How models relearned, and why numbers are missing.

    Args:
        records: (cell, content of its relearn.json).
        relearn, status: as for `relearn_table`.
    """
    records = list(records)
    said = []
    if records:
        settings = records[0][1]["settings"]
        said.append(
            f"Relearned: {settings['rows']} rows, {settings['training']['epochs']:g} epochs."
        )
        if settings["training"].get("lora"):
            said.append("By new adapters, whose speed no measured gradient foresees.")
    said += missing([record for _, record in records])
    long = relearning(relearn)
    alone = long[long["gain"].notna() & long["gain_retain_model"].isna()]
    alone = alone.merge(status[CELL], on=CELL)  # cells, not retain models
    if len(alone):
        number = len(alone[CELL].drop_duplicates())
        said.append(f"No R in {number} cells, which have no relearned retain model beside them.")
    return " ".join(said)
