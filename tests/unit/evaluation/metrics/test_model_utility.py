import math
import secrets

import numpy as np
import pytest

from geffect.evaluation.metrics.model_utility import model_utility
from geffect.names import UTILITY_PARTS


@pytest.fixture
def parts():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return dict(zip(UTILITY_PARTS, np.random.default_rng(seed).uniform(0.05, 1, 9), strict=True))


def test_there_are_nine_parts():
    metrics = {"probability", "rouge", "truth_ratio"}
    datasets = {"retain", "real_authors", "world_facts"}
    assert set(UTILITY_PARTS) == {(m, d) for m in metrics for d in datasets}
    assert len(UTILITY_PARTS) == 9


def test_by_hand():
    values = [1.0] * 6 + [0.5] * 3
    assert model_utility(dict(zip(UTILITY_PARTS, values, strict=True))) == pytest.approx(
        9 / 12, rel=1e-15
    )


def test_equal_parts_give_that_part():
    assert model_utility(dict.fromkeys(UTILITY_PARTS, 0.3)) == pytest.approx(0.3, rel=1e-14)


def test_lies_between_the_least_part_and_the_mean(parts):
    values = list(parts.values())
    assert min(values) - 1e-12 <= model_utility(parts) <= np.mean(values) + 1e-12


def test_order_and_other_pairs_do_not_matter(parts):
    shuffled = {("rouge", "forget"): 0.0, **dict(reversed(parts.items()))}
    assert model_utility(shuffled) == model_utility(parts)


@pytest.mark.parametrize("part", UTILITY_PARTS)
def test_zero_part_gives_zero(parts, part):
    assert model_utility(parts | {part: 0.0}) == 0


@pytest.mark.parametrize("part", UTILITY_PARTS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_number_gives_none(parts, part, bad):
    zero = next(other for other in UTILITY_PARTS if other != part)
    assert math.isnan(model_utility(parts | {part: bad}))
    assert math.isnan(model_utility(parts | {part: bad, zero: 0.0}))


@pytest.mark.parametrize("part", UTILITY_PARTS)
def test_missing_part_is_named(parts, part):
    del parts[part]
    with pytest.raises(ValueError, match=f"is missing {part[0]} of {part[1]}:"):
        model_utility(parts)


def test_negative_part_is_named(parts):
    with pytest.raises(ValueError, match="negative rouge of retain"):
        model_utility(parts | {("rouge", "retain"): -0.1})
