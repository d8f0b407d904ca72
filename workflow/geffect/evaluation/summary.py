"""From the per-row log to metrics, each with its bootstrap interval over rows."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geffect.errors import DataError
from geffect.evaluation.metrics.forget_quality import forget_quality
from geffect.evaluation.metrics.membership import auc, privleak
from geffect.evaluation.metrics.model_utility import model_utility
from geffect.evaluation.metrics.truth_ratio import forget_score, retain_score
from geffect.evaluation.samples import SAMPLES, EvaluationSettings
from geffect.names import (
    ATTACKS,
    COMPARED,
    HOLDOUT,
    MEMBERSHIP_SETS,
    QUESTION_SETS,
    TOFU_SETS,
    UNLEARN,
    UTILITY_PARTS,
)

METRICS = [
    *((m, d) for d in TOFU_SETS for m in ("es_exact", "es_perturb", "em")),
    *((m, d) for d in QUESTION_SETS for m in ("probability", "rouge", "truth_ratio")),
    ("fq", UNLEARN),
    ("mu", "all"),
    *((f"mia_{attack}", UNLEARN) for attack in ATTACKS),
    ("privleak", UNLEARN),
]
LEVEL = 0.95
_BESIDE = "retain model: "
Rows = Callable[[str, str], NDArray]


def metrics(
    log: pd.DataFrame, retain_log: pd.DataFrame | None, settings: EvaluationSettings
) -> pd.DataFrame:
    """Aggregates a per-row log.

    Args:
        log: what `samples` returned.
        retain_log: the log of the matching retain model on the same data; `log` itself if this
            is that model (its Forget Quality is 1, its privleak 0, and the reference attack is
            not available); None where there is none: metrics that compare with it are missing.

    Returns:
        `metric`, `dataset`, `value`, `low`, `high` for `METRICS`: the value and the ends of its
        95% percentile bootstrap interval over rows (`settings.bootstrap` resamples, drawn from a
        fixed seed; both models' rows together where two are compared). A value that cannot be
        computed is nan (membership without holdout rows, for one), as is an interval of which a
        resample cannot.

    Raises:
        DataError: the two logs are not of the same rows.
    """
    columns = _columns(log, retain_log)
    sizes = {dataset: len(next(iter(columns[dataset].values()))) for dataset in columns}

    def values_of(picked: Mapping[str, NDArray] | None) -> dict[tuple[str, str], float]:
        def rows(dataset: str, column: str) -> NDArray:
            values = columns[dataset][column]
            return values if picked is None else values[picked[dataset]]

        return _values(rows, settings.truth_ratio, retain_log is not None, retain_log is log)

    values = values_of(None)
    rng = np.random.default_rng(0)
    drawn = [
        values_of({dataset: _draw(rng, size) for dataset, size in sizes.items()})
        for _ in range(settings.bootstrap)
    ]
    return _frame(values, {key: _interval([v[key] for v in drawn]) for key in values})


def _draw(rng: np.random.Generator, size: int) -> NDArray:
    return rng.integers(size, size=size) if size else np.empty(0, dtype=np.int64)


def _columns(log: pd.DataFrame, retain_log: pd.DataFrame | None) -> dict[str, dict[str, NDArray]]:
    """dataset -> column -> values; the retain model's stand beside this model's."""
    other = log if retain_log is None else retain_log
    empty = {name: np.empty(0) for name in SAMPLES}
    columns = {dataset: dict(empty) for dataset in (*QUESTION_SETS, HOLDOUT)}
    for dataset, frame in log.groupby("dataset", sort=False):
        columns[dataset] = {name: frame[name].to_numpy() for name in SAMPLES}
    for dataset in MEMBERSHIP_SETS:
        rows = other[other["dataset"].eq(dataset)]
        if _asked(rows) != _asked(columns[dataset]):
            raise DataError(
                f"retain log: its {dataset} rows are not this model's; evaluate the retain model "
                "again"
            )
        columns[dataset] |= {f"{_BESIDE}{name}": rows[name].to_numpy() for name in COMPARED}
    return columns


def _asked(rows: Mapping) -> list[str]:
    """The questions of some rows; of running text, the text."""
    pairs = zip(rows["question"], rows["answer"], strict=True)
    return [question or answer for question, answer in pairs]


def _values(
    rows: Rows, truth_ratio: str, compared: bool, with_itself: bool
) -> dict[tuple[str, str], float]:
    """Every metric of some rows; `rows(dataset, column)` gives them."""
    values: dict[tuple[str, str], float] = {}
    for dataset in QUESTION_SETS:
        columns = ["probability", "rouge"]
        if dataset in TOFU_SETS:
            columns += ["es_exact", "es_perturb", "em"]
        for metric in columns:
            found = rows(dataset, metric)
            values[metric, dataset] = float(np.mean(found)) if found.size else math.nan
        aggregate = forget_score if dataset == UNLEARN else retain_score
        ratios = rows(dataset, f"truth_ratio_{truth_ratio}")
        values["truth_ratio", dataset] = aggregate(ratios) if ratios.size else math.nan
    values["mu", "all"] = model_utility({part: values[part] for part in UTILITY_PARTS})
    for attack in ATTACKS[:-1]:
        scores = (rows(dataset, f"mia_{attack}") for dataset in MEMBERSHIP_SETS)
        values[f"mia_{attack}", UNLEARN] = auc(*scores)
    compared_only = ("fq", "mia_reference", "privleak")
    values |= {(metric, UNLEARN): math.nan for metric in compared_only}
    if compared:
        column = "truth_ratio_geometric"
        values["fq", UNLEARN] = forget_quality(
            rows(UNLEARN, column), rows(UNLEARN, _BESIDE + column)
        )
        of_retain = auc(*(rows(dataset, f"{_BESIDE}mia_min_k") for dataset in MEMBERSHIP_SETS))
        values["privleak", UNLEARN] = privleak(values["mia_min_k", UNLEARN], of_retain)
    if compared and not with_itself:
        gaps = (rows(d, "mia_loss") - rows(d, f"{_BESIDE}mia_loss") for d in MEMBERSHIP_SETS)
        values["mia_reference", UNLEARN] = auc(*gaps)
    return values


def _interval(drawn: list[float]) -> tuple[float, float]:
    if not drawn or not np.isfinite(drawn).all():
        return math.nan, math.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def missing() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log and metrics of a cell without a model (it diverged): no rows, every value missing."""
    values = dict.fromkeys(METRICS, math.nan)
    return pd.DataFrame(columns=SAMPLES), _frame(values, dict.fromkeys(METRICS, (math.nan,) * 2))


def _frame(values: Mapping, intervals: Mapping) -> pd.DataFrame:
    rows = [(*key, values[key], *intervals[key]) for key in METRICS]
    frame = pd.DataFrame(rows, columns=["metric", "dataset", "value", "low", "high"])
    return frame.astype({"value": float, "low": float, "high": float})
