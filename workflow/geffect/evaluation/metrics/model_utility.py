"""Model utility (TOFU): one number for what a model still knows."""

import math
from collections.abc import Mapping

from geffect.names import UTILITY_PARTS


def model_utility(parts: Mapping[tuple[str, str], float]) -> float:
    """Harmonic mean of the nine parts.

    Args:
        parts: the values by (metric, dataset), dimensionless, in [0, 1]; pairs outside
            ``UTILITY_PARTS`` are not used.

    Returns:
        The harmonic mean; nan if a part is not finite, else 0 if a part is 0.

    Raises:
        ValueError: a part is missing or negative.

    Source: TOFU, "Model Utility".
    """
    missing = [part for part in UTILITY_PARTS if part not in parts]
    if missing:
        raise ValueError(f"model utility is missing {_names(missing)}: evaluate all nine parts")
    values = {part: float(parts[part]) for part in UTILITY_PARTS}
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
