"""Does it stay forgotten? What relearning and rounding bring back, cell by cell.

Gains count knowledge: a gain is positive where more of the forget set is known afterwards, also for
the truth ratio and the risk, which then fall.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geffect.names import (
    CELL,
    OBJECTIVE,
    OTHER,
    REFERENCES,
    RETAIN_MODEL,
    TOTAL,
    UNLEARN,
    WHOLE_BITS,
)
from geffect.report.cells import checked
from geffect.report.results import Results

KNOWS = {"es_exact": 1, "em": 1, "truth_ratio": -1, "risk": -1}
"""Metric -> whether it rises or falls with what is known of forget rows."""
BOUNDED = ("es_exact", "em", "truth_ratio")
"""Those in [0, 1], of which a ratio before and after means something."""
_PLACE = ["model", "split", "seed"]


def relearning_robustness(
    gain: NDArray[np.float64], of_retain_model: NDArray[np.float64]
) -> NDArray[np.float64]:
    """R = min(Δ_retain_model / Δ_unlearned, 1): 1 is as robust as a model that never knew.

    Where the unlearned model gains nothing, R is 1, the limit from above. Where it gains something
    and the retain model nothing, R is 0: a ratio below 0 says no more than that. Missing where a
    gain is.

    Args:
        gain, of_retain_model: the gains of the unlearned and of the retain model, of one shape.

    Source: OpenUnlearning (Dorna et al. 2025, arXiv 2506.12618), robustness to relearning.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(of_retain_model / gain, 0, 1)
    found = np.where(gain > 0, ratio, 1.0)
    return np.where(np.isfinite(gain) & np.isfinite(of_retain_model), found, np.nan)


def rounding_robustness(
    before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Q = min(m_before / m_after, 1), m what is known: 1 if rounding brings nothing back.

    Where nothing is known after rounding, Q is 1. Missing where a value is.

    Args:
        before, after: what is known of D_u, in [0, 1], of one shape.

    Source: OpenUnlearning (Dorna et al. 2025, arXiv 2506.12618), robustness to quantisation.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(before / after, 0, 1)
    found = np.where(after > 0, ratio, 1.0)
    return np.where(np.isfinite(before) & np.isfinite(after), found, np.nan)


def relearning(relearn: pd.DataFrame) -> pd.DataFrame:
    """What every cell, and every retain model, knows of the other forget rows, before and after.

    Args:
        relearn: CELL, `epoch`, `metric`, `dataset`, `value`, of cells and of retain models.

    Returns:
        CELL, `metric`; `start` and `end`, its values at epoch 0 and at the last epoch; `gain`;
        `gain_retain_model`, that of the retain model of the same model, split and seed; and
        `robustness` (`relearning_robustness`). Missing where there is no number.
    """
    rows = checked(relearn, [*CELL, "epoch", "metric", "dataset", "value"], "relearn")
    rows = rows[rows["dataset"].eq(OTHER) & rows["metric"].isin(KNOWS)]
    rows = rows.sort_values("epoch", kind="stable")
    keys = [*CELL, "metric"]
    start, end = (
        rows.drop_duplicates(keys, keep=which)[[*keys, "value"]].rename(columns={"value": name})
        for which, name in (("first", "start"), ("last", "end"))
    )
    found = start.merge(end, on=keys).astype({"start": "float64", "end": "float64"})
    found["gain"] = (found["end"] - found["start"]) * found["metric"].map(KNOWS)
    beside = found[found["objective"].eq(RETAIN_MODEL)]
    beside = beside[[*_PLACE, "metric", "gain"]].rename(columns={"gain": "gain_retain_model"})
    found = found.merge(beside, how="left", on=[*_PLACE, "metric"])
    own = found[["gain", "gain_retain_model"]].to_numpy("float64")
    found["robustness"] = relearning_robustness(own[:, 0], own[:, 1])
    found.loc[found["objective"].isin(REFERENCES), ["gain_retain_model", "robustness"]] = np.nan
    return found


def adapted(results: Results) -> set[tuple]:
    """The cells (values of CELL) that are trained, or relearn, by adapters."""
    return {
        tuple(cell[name] for name in CELL)
        for stage in ("unlearn", "relearn")
        for cell, record in results.records_of(stage)
        if record.get("settings", {}).get("training", {}).get("lora")
    }


def speeds(geffect: pd.DataFrame, with_adapters: Set[tuple] = frozenset()) -> pd.DataFrame:
    """How fast every cell would relearn D_u by gradient descent, from its last measured step.

    A step of gradient descent on R(D_u) with learning rate η lowers it by η · ‖∇R(D_u)‖², to first
    order.

    Args:
        geffect: rows of `geffect.parquet`, with their keys.
        with_adapters: `adapted` cells.

    Returns:
        CELL and `speed`, ‖∇R(D_u)‖² (nats per unit of learning rate); missing with adapters, since
        those that relearn are not those whose gradient was measured.
    """
    rows = checked(geffect, [*CELL, "step", "term", "dataset", "component", "norm_risk"], "geffect")
    total = rows["component"].eq(TOTAL) & rows["dataset"].eq(UNLEARN) & rows["term"].eq(OBJECTIVE)
    last = rows[total].sort_values("step", kind="stable").drop_duplicates(CELL, keep="last")
    norms = last["norm_risk"].astype("float64")
    keys = last[CELL].itertuples(index=False, name=None)
    foreseen = np.array([key not in with_adapters for key in keys], dtype=bool)
    return last[CELL].assign(speed=norms.pow(2).where(foreseen)).reset_index(drop=True)


def predicted(results: Results) -> pd.DataFrame:
    """The speed of every finished cell, and what its risk on the other forget rows really fell by.

    Returns:
        CELL, `speed` and `gain` (nats); cells that diverged or lack one of the two are left out.
    """
    gains = relearning(results.frame("relearn"))
    gains = gains[gains["metric"].eq("risk")][[*CELL, "gain"]]
    foreseen = speeds(results.frame("geffect"), adapted(results))
    if gains.empty or foreseen.empty:
        return pd.DataFrame(columns=[*CELL, "speed", "gain"])
    status = results.status()
    done = status[status["status"].eq("ok")][CELL]
    found = foreseen.merge(gains, on=CELL).merge(done, on=CELL)
    known = np.isfinite(found[["speed", "gain"]].astype("float64")).all(axis=1)
    return found[known].reset_index(drop=True)


def rounding(quantized: pd.DataFrame) -> pd.DataFrame:
    """What is known of D_u with rounded weights, and the robustness to that.

    Args:
        quantized: CELL, `bits`, `metric`, `dataset`, `value`.

    Returns:
        CELL, `metric` (of `BOUNDED`), `bits`, `before`, `after`, and `robustness`
        (`rounding_robustness` of what is known, which is 1 less the truth ratio).
    """
    rows = checked(quantized, [*CELL, "bits", "metric", "dataset", "value"], "quantized")
    rows = rows[rows["dataset"].eq(UNLEARN) & rows["metric"].isin(BOUNDED)]
    keys = [*CELL, "metric"]
    start = rows[rows["bits"].eq(WHOLE_BITS)][[*keys, "value"]].rename(columns={"value": "before"})
    after = rows[rows["bits"].ne(WHOLE_BITS)][[*keys, "bits", "value"]]
    found = after.rename(columns={"value": "after"}).merge(start, how="left", on=keys)
    pair = found[["before", "after"]].to_numpy("float64")
    falls = found["metric"].map(KNOWS).eq(-1).to_numpy()[:, None]
    known = np.where(falls, 1 - pair, pair)
    found["robustness"] = rounding_robustness(known[:, 0], known[:, 1])
    return found[[*keys, "bits", "before", "after", "robustness"]]


def missing(records: Sequence[Mapping]) -> list[str]:
    """Why numbers are missing, a sentence for each reason.

    Args:
        records: contents of relearn.json or quantized.json.
    """
    reasons = Counter(
        f"{what}: {why}" for record in records for what, why in record["missing"].items()
    )
    return [f"Missing in {n} of {len(records)} cells: {why}." for why, n in reasons.items()]
