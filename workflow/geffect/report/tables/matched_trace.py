"""Every point that the searches for matched retention tried."""

from collections.abc import Iterable, Mapping

import pandas as pd

from geffect.names import CELL
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Searches for matched retention"
CAPTION = (
    "Every share a of the original model that was tried for a cell, in order, and the extraction "
    "strength on retained rows there. Look for strengths that are not monotone in a."
)
CATEGORY = "Provenance"
READS = ["matched", "records"]
FORMATS = ["csv"]

COLUMNS = {
    "order": Column("tried as number"),
    "a": Column("share of the original, a"),
    "es_exact_retain": Column("ES exact retain", "fixed"),
    "target": Column("ES asked for", "fixed"),
    "holds": Column("reaches it"),
}


def table(results: Results) -> pd.DataFrame:
    """`traces` of all cells."""
    return traces(results.records_of("matched"))


def traces(records: Iterable[tuple[Mapping, Mapping]]) -> pd.DataFrame:
    """Every point that the searches tried.

    Args:
        records: (cell, content of its matched.json).

    Returns:
        CELL, `order` (1, 2, ... as they were tried), `a`, `es_exact_retain`, `target`, `holds`
        (whether the target is reached), `chosen` (whether this is the cell's a).
    """
    rows = [
        {
            **cell,
            "order": order,
            **point,
            "target": record["target"],
            "holds": _reaches(point["es_exact_retain"], record["target"]),
            "chosen": point["a"] == record["a"],
        }
        for cell, record in records
        for order, point in enumerate(record["trace"], start=1)
    ]
    columns = [*CELL, "order", "a", "es_exact_retain", "target", "holds", "chosen"]
    return pd.DataFrame(rows, columns=columns)


def _reaches(value: float | None, target: float) -> bool:
    return value is not None and value >= target
