"""Model utility (TOFU): one number for what a model still knows."""

import math
from collections.abc import Mapping
from itertools import product

PARTS: tuple[tuple[str, str], ...] = tuple(
    product(("probability", "rouge", "truth_ratio"), ("retain", "real_authors", "world_facts"))
)
"""The nine (metric, dataset) pairs that model utility averages."""


def model_utility(parts: Mapping[tuple[str, str], float]) -> float:
    """Harmonic mean of the nine parts.

    Args:
        parts: the values by (metric, dataset), dimensionless, in [0, 1]; pairs outside
            ``PARTS`` are not used.

    Returns:
        The harmonic mean; nan if a part is not finite, else 0 if a part is 0.

    Raises:
        ValueError: a part is missing or negative.

    Source: TOFU, "Model Utility".
    """
    missing = [part for part in PARTS if part not in parts]
    if missing:
        raise ValueError(f"model utility lacks {_names(missing)}: evaluate all nine parts")
    values = {part: float(parts[part]) for part in PARTS}
    if not all(math.isfinite(value) for value in values.values()):
        return math.nan
    negative = [part for part, value in values.items() if value < 0]
    if negative:
        raise ValueError(f"model utility has negative {_names(negative)}: parts lie in [0, 1]")
    if 0 in values.values():
        return 0.0
    return len(values) / sum(1 / value for value in values.values())


def _names(parts: list[tuple[str, str]]) -> str:
    return ", ".join(f"{metric} of {dataset}" for metric, dataset in parts)
