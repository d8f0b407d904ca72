"""Every statement on made-up runs of known verdict, and what no verdict may depend on."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from geffect.report import statements
from geffect.report.statements import (
    CHANGE,
    CLAIMS,
    FAILS,
    GEFFECT,
    HOLDS,
    OPEN,
    SAME,
    VERDICTS,
    page,
)

PAGE = Path(__file__).resolve().parents[4] / "docs/statements.md"
EARLY_THEN_NOTHING = [1.0, 1.0, 0.0, 0.0]
EVEN = [0.5, 0.5, 0.5, 0.5]
RELEARNS = [1.0, 1.0, -0.4, -0.4]


def both(grid, one, other):
    return grid().run(one[0], **one[1]).run(other[0], **other[1])


def compared(one, other, *, cosines=None, changes=None):
    """A function of a grid: two objectives with these cosines on D_r, or changes of R_r."""

    def build(grid):
        made = grid()
        for name, position in ((one, 0), (other, 1)):
            cos = (-0.9, cosines[position]) if cosines else (-0.9, -0.5)
            change = (1.0, changes[position]) if changes else (1.0, 0.5)
            made.run(name, cos=cos, change=change)
        return made

    return build


def alone(objective, *regularizer, **given):
    return lambda grid: grid().run(objective, *regularizer, **given)


def weights(last, samples=20):
    """NPO with weights that go from 1 to `last` in equal steps, and effects that do not matter."""
    levels = np.linspace(1, last, 5)[:, None] + np.linspace(-0.01, 0.01, samples)

    def build(grid):
        return grid().run("npo", weights=levels, effects=-np.ones((5, samples)))

    return build


def ranked(sign, samples=40):
    """NPO whose weights follow the effects on D_r, run against them, or have nothing to do with."""

    def build(grid):
        effects = np.tile(np.arange(samples) - float(samples), (5, 1))
        order = np.arange(samples)
        if sign == 0:  # the same correlation with either half
            order = np.r_[order[::2], order[::2][::-1]][:samples]
        chosen = order if sign >= 0 else -order
        levels = 1 + 0.01 * np.tile(chosen, (5, 1))
        levels[0] = 1  # at the original model all weights are 1
        return grid().run("npo", weights=levels, effects=effects)

    return build


def swept(parameter, cosines=(-0.9, -0.5), changes=(1.0, 0.5)):
    """RMU with two values of a parameter, and what changes between them."""
    names = {"layer": ("rmu_l1_c2", "rmu_l2_c2"), "c": ("rmu_l1_c2", "rmu_l1_c4")}[parameter]

    def build(grid):
        made = grid()
        for name, cos, change in zip(names, cosines, changes, strict=True):
            made.run(name, cos=(cos, -0.5), change=(change, 0.1))
        return made

    return build


def regularized(cos=(0.0, 0.5), change=(-0.02, -0.3), of=("kl",)):
    def build(grid):
        made = grid()
        for name in of:
            made.run("ga", name, cos=(-0.9, -0.9), change=(1.0, 1.0), reg=(cos, change))
        return made

    return build


def three(kl, others, by):
    """GA with KL, NLL and RR: cosines on D_r, or nats by which the regularizer lowers R_r."""

    def build(grid):
        made = grid()
        for name in ("nll", "kl", "rr"):
            value = kl if name == "kl" else others
            cos, change = ((0.0, value), (0.0, -0.1)) if by == GEFFECT else ((0, 0.1), (0, -value))
            made.run("ga", name, cos=(-0.9, -0.9), change=(1.0, 1.0), reg=(cos, change))
        return made

    return build


KNOWN = {
    (1, "", GEFFECT): {
        HOLDS: alone("ga", cos=(-1, -0.9)),
        FAILS: alone("ga", cos=(-1, 0.2)),
        OPEN: alone("ga", cos=(-1, -0.12)),
    },
    (1, "", CHANGE): {
        HOLDS: alone("ga", change=(1, 0.9)),
        FAILS: alone("ga", change=(1, -0.2)),
        OPEN: alone("ga", change=(-1, 0.9)),
    },
    (2, "a", GEFFECT): {
        HOLDS: alone("ga", shallow=2),
        FAILS: alone("ga", shallow=0.5),
        OPEN: alone("ga", shallow=1.01),
    },
    (2, "a", CHANGE): {
        HOLDS: alone("ga", shallow=2),
        FAILS: alone("ga", shallow=0.5),
        OPEN: alone("ga", "kl", shallow=2),
    },
    # Of four blocks, two are shallow.
    (2, "b", GEFFECT): {
        HOLDS: alone("ga", shallow=3, blocks=4),
        FAILS: alone("ga", shallow=1.5, blocks=4),
        OPEN: alone("ga", shallow=2.02, blocks=4),
    },
    (2, "b", CHANGE): {
        HOLDS: alone("ga", shallow=3, blocks=4),
        FAILS: alone("ga", shallow=1.5, blocks=4),
        OPEN: alone("ga", "kl", shallow=3),
    },
    (3, "", GEFFECT): {
        HOLDS: compared("npo", "ga", cosines=(-0.2, -0.9)),
        FAILS: compared("npo", "ga", cosines=(-0.9, -0.2)),
        OPEN: compared("npo", "ga", cosines=(-0.5, -0.51)),
    },
    (3, "", CHANGE): {
        HOLDS: compared("npo", "ga", changes=(0.2, 0.9)),
        FAILS: compared("npo", "ga", changes=(0.9, 0.2)),
        OPEN: compared("npo", "ga", changes=(0.50, 0.51)),
    },
    (4, "", GEFFECT): {HOLDS: weights(0.2), FAILS: weights(1.8), OPEN: alone("npo")},
    (4, "", CHANGE): {
        HOLDS: lambda grid: both(
            grid, ("npo", {"change": (EARLY_THEN_NOTHING, 0)}), ("ga", {"change": (EVEN, 0)})
        ),
        FAILS: lambda grid: both(
            grid, ("ga", {"change": (EARLY_THEN_NOTHING, 0)}), ("npo", {"change": (EVEN, 0)})
        ),
        OPEN: lambda grid: both(
            grid, ("ga", {"change": (EVEN, 0)}), ("npo", {"change": (EVEN, 0)})
        ),
    },
    (5, "", GEFFECT): {HOLDS: ranked(1), FAILS: ranked(-1), OPEN: ranked(0)},
    # No table has what this would need.
    (5, "", CHANGE): {OPEN: ranked(1)},
    (6, "a", GEFFECT): {
        HOLDS: alone("wga", cos=(-0.9, 0.01)),
        FAILS: alone("wga", cos=(-0.9, -0.8)),
        OPEN: alone("wga", cos=(-0.9, -0.1)),
    },
    (6, "a", CHANGE): {
        HOLDS: alone("wga", change=(1, 0.01)),
        FAILS: alone("wga", change=(1, 0.8)),
        OPEN: alone("wga", change=(0.01, 0.8)),
    },
    (6, "b", GEFFECT): {
        HOLDS: alone("wga", cos=(-0.9, 0)),
        FAILS: alone("wga", cos=(0.2, 0)),
        OPEN: alone("wga", cos=(-0.09, 0)),
    },
    (6, "b", CHANGE): {
        HOLDS: alone("wga", change=(1, 0)),
        FAILS: alone("wga", change=(0.01, 0)),
        OPEN: alone("wga", change=(0.15, 0)),
    },
    (6, "c", GEFFECT): {
        HOLDS: compared("wga", "ga", cosines=(-0.2, -0.9)),
        FAILS: compared("wga", "ga", cosines=(-0.9, -0.2)),
        OPEN: alone("wga"),
    },
    (6, "c", CHANGE): {
        HOLDS: compared("wga", "ga", changes=(0.2, 0.9)),
        FAILS: compared("wga", "ga", changes=(0.9, 0.2)),
        OPEN: alone("wga"),
    },
    (6, "d", GEFFECT): {
        HOLDS: compared("tnpo", "npo", cosines=(-0.2, -0.9)),
        FAILS: compared("tnpo", "npo", cosines=(-0.9, -0.2)),
        OPEN: alone("tnpo"),
    },
    (6, "d", CHANGE): {
        HOLDS: compared("tnpo", "npo", changes=(0.2, 0.9)),
        FAILS: compared("tnpo", "npo", changes=(0.9, 0.2)),
        OPEN: alone("tnpo"),
    },
    (7, "a", GEFFECT): {
        HOLDS: alone("po", cos=([-0.9, -0.9, 0, 0, 0], 0)),
        FAILS: alone("po", cos=([0.9, 0.9, 0, 0, 0], 0)),
        OPEN: alone("ga"),
    },
    (7, "a", CHANGE): {
        HOLDS: alone("po", change=(EARLY_THEN_NOTHING, 0)),
        FAILS: alone("po", change=([-1, -1, 0, 0], 0)),
        OPEN: alone("ga"),
    },
    (7, "b", GEFFECT): {
        HOLDS: alone("po", cos=([-0.9, -0.9, 0.1, 0.1, 0.1], 0)),
        FAILS: alone("po", cos=(-0.9, 0)),
        OPEN: alone("ga"),
    },
    (7, "b", CHANGE): {
        HOLDS: alone("po", change=(RELEARNS, 0)),
        FAILS: alone("po", change=(EVEN, 0)),
        OPEN: alone("po", change=([-1, -1, 0, 0], 0)),
    },
    **{
        (7, part, by): {
            HOLDS: swept(parameter, cosines=(-0.9, -0.1), changes=(1.0, 0.1)),
            FAILS: swept(parameter, cosines=(-0.9, -0.9), changes=(1.0, 1.0)),
            OPEN: swept({"layer": "c", "c": "layer"}[parameter]),
        }
        for (part, parameter), by in itertools.product(
            (("c", "layer"), ("d", "c")), (GEFFECT, CHANGE)
        )
    },
    (8, "a", GEFFECT): {
        HOLDS: regularized(cos=(0, 0.5)),
        FAILS: regularized(cos=(0, -0.5)),
        OPEN: alone("ga"),
    },
    (8, "a", CHANGE): {
        HOLDS: regularized(change=(0, -0.5)),
        FAILS: regularized(change=(0, 0.5)),
        OPEN: alone("ga"),
    },
    (8, "b", GEFFECT): {
        HOLDS: regularized(cos=(0, 0.5)),
        FAILS: regularized(cos=(0.5, 0.5)),
        OPEN: regularized(cos=(0.1, 0.5)),
    },
    (8, "b", CHANGE): {
        HOLDS: regularized(change=(0, -0.5)),
        FAILS: regularized(change=(-0.5, -0.5)),
        OPEN: regularized(change=(-0.1, -0.5)),
    },
    (8, "c", GEFFECT): {
        HOLDS: three(0.8, 0.2, GEFFECT),
        FAILS: three(0.2, 0.8, GEFFECT),
        OPEN: regularized(of=("kl", "nll")),
    },
    (8, "c", CHANGE): {
        HOLDS: three(0.8, 0.2, CHANGE),
        FAILS: three(0.2, 0.8, CHANGE),
        OPEN: regularized(of=("kl", "nll")),
    },
}
CASES = [
    pytest.param(*key, verdict, build, id=f"{key[0]}{key[1]}-{key[2]}-{verdict}")
    for key, builds in KNOWN.items()
    for verdict, build in builds.items()
]


@pytest.mark.parametrize(("statement", "part", "by", "verdict", "build"), CASES)
def test_the_verdict_on_made_up_runs(statement, part, by, verdict, build, grid):
    row = build(grid).judged(statement, by, part)
    assert row["part_verdict"] == verdict, row
    assert row["reason"]


def test_every_claim_reaches_every_verdict_above():
    claims = {(claim.statement, claim.part, claim.by) for claim, _ in CLAIMS}
    assert set(KNOWN) == claims
    short = {key for key, builds in KNOWN.items() if set(builds) != set(VERDICTS)}
    assert short == {(5, "", CHANGE)}


def full(grid, seed=1, rng=None, **given):
    """All objectives, with and without regularizers, and NPO's instances."""
    made = grid()
    rng = rng or np.random.default_rng(seed)
    samples = rng.normal(-1, 1, (5, 30)), rng.uniform(0, 2, (5, 30))
    for name in ("ga", "wga", "npo", "tnpo", "po", "rmu_l1_c2", "rmu_l2_c2"):
        cos, change = rng.uniform(-1, 0.2, (2, 5)), rng.uniform(0, 1, (2, 4))
        more = {"weights": samples[1], "effects": samples[0]} if name == "npo" else {}
        made.run(name, seed=seed, cos=cos, change=change, **more, **given)
    for name in ("nll", "kl", "rr"):
        cos, change = rng.uniform(-1, 0.5, (2, 5)), rng.uniform(0, 1, (2, 4))
        made.run("ga", name, seed=seed, cos=cos, change=change, reg=(-cos, -0.5 * change), **given)
    return made


def test_the_scale_of_raw_e_changes_nothing(grid, seed):
    one = full(grid, rng=np.random.default_rng(seed)).table()
    other = full(grid, rng=np.random.default_rng(seed), scale=1e3).table()
    texts = ["reason"]  # rounded numbers may differ in their last digit
    pd.testing.assert_frame_equal(one.drop(columns=texts), other.drop(columns=texts), rtol=1e-9)


def test_the_order_of_rows_changes_nothing(grid, rng):
    made = full(grid, rng=rng)
    shuffled = {
        name: frame.sample(frac=1, random_state=int(rng.integers(2**31)))
        for name, frame in made.tables().items()
    }
    pd.testing.assert_frame_equal(made.table(), made.table(**shuffled), rtol=1e-9)


def test_renumbered_instances_change_no_value(grid, rng):
    made = full(grid, rng=rng)
    instances = made.tables()["instances"]
    order = rng.permutation(30)
    renumbered = instances.assign(sample=order[instances["sample"]])
    columns = ["statement", "part", "by", "value"]
    pd.testing.assert_frame_equal(
        made.table()[columns], made.table(instances=renumbered)[columns], rtol=1e-9
    )


def test_other_splits_and_models_change_nothing(grid, rng):
    made = full(grid, rng=rng)
    tables = made.tables()
    strangers = {
        name: pd.concat([frame, frame.assign(split="forget01"), frame.assign(model="other")])
        for name, frame in tables.items()
    }
    pd.testing.assert_frame_equal(made.table(), made.table(**strangers))


def test_the_bootstrap_repeats_from_its_seed(grid, rng):
    made = full(grid, rng=rng)
    pd.testing.assert_frame_equal(made.table(seed=3), made.table(seed=3))
    drawn = [made.judged(5, GEFFECT, seed=seed)["low"] for seed in (3, 4)]
    assert drawn[0] != drawn[1]


def with_seeds(grid, cosines):
    made = grid()
    for seed, cosine in enumerate(cosines, start=1):
        made.run("ga", seed=seed, cos=(-1, cosine))
    return made.judged(1, GEFFECT)


def test_an_interval_over_seeds_narrows_with_more_of_them(grid, rng):
    middle, spread = rng.uniform(-0.9, -0.5), rng.uniform(0.01, 0.1)
    widths = []
    for pairs in (1, 2, 4):
        row = with_seeds(grid, [middle + spread, middle - spread] * pairs)
        assert row["interval"] == "seeds" and row["seeds"] == 2 * pairs
        assert row["value"] == pytest.approx(middle)
        widths.append(row["high"] - row["low"])
    assert widths[0] > widths[1] > widths[2] > 0


def test_a_wider_spread_over_seeds_takes_a_verdict_away(grid):
    assert with_seeds(grid, [-0.5, -0.51, -0.49])["part_verdict"] == HOLDS
    assert with_seeds(grid, [-0.9, -0.1, -0.5])["part_verdict"] == OPEN


def test_the_interval_over_instances_covers_their_spread(grid, rng):
    """Of the mean fall of weights, where the standard error is known."""
    samples = 400
    levels = np.ones((5, samples))
    levels[-1] = rng.normal(0.5, 0.3, samples)
    made = grid().run("npo", weights=levels, effects=-np.ones((5, samples)))
    row = made.judged(4, GEFFECT, resamples=2000)
    fall = levels[-1] - 1
    error = fall.std(ddof=1) / np.sqrt(samples)
    assert row["interval"] == "instances"
    assert row["value"] == pytest.approx(fall.mean())
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_instances_of_ga_give_its_cosine_an_interval(grid, rng):
    """e is the mean of the instances, so it varies as they do when others are drawn."""
    effects = np.tile(rng.normal(-1, 0.5, 60), (5, 1))
    cos = -0.5
    made = grid().run("ga", cos=(-1, cos), weights=np.ones((5, 60)), effects=effects)
    row = made.judged(1, GEFFECT, resamples=2000)
    error = 0.5 * effects[0].std(ddof=1) / abs(effects[0].mean()) / np.sqrt(60)
    assert row["interval"] == "instances"
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * error, rel=0.2)


def test_weights_of_tokens_give_no_interval_over_instances(grid, rng):
    """There e is not the sum of weighted instances, which one sees from the numbers."""
    effects = rng.normal(-1, 0.5, (5, 60))
    made = grid().run("ga", weights=rng.uniform(0, 1, (5, 60)), effects=effects)
    assert made.judged(1, GEFFECT)["interval"] == "none"


def test_comparisons_at_an_equal_rise_do_not_look_at_end_points(grid):
    """GA forgets four times as much, and harms less wherever NPO has been."""
    made = grid()
    made.run("npo", change=([0.5] * 4, [0.4] * 4))
    made.run("ga", change=([0.5, 0.5, 1, 6], [0.1, 0.1, 0.2, 6]))
    row = made.judged(3, CHANGE)
    assert row["part_verdict"] == FAILS
    # At 2 nats: NPO +1.6, GA's +0.4.
    assert row["value"] == pytest.approx((0.4 - 1.6) / 2)


def test_runs_without_a_common_rise_are_not_compared(grid):
    made = grid().run("npo", change=(0.001, 0)).run("ga", change=(1, 1))
    row = made.judged(3, CHANGE)
    assert row["part_verdict"] == OPEN
    assert "reach no common rise" in row["reason"]
    made = grid().run("npo", change=(0.1, 0)).run("ga", change=(9, 1))
    assert "measure more often" in made.judged(3, CHANGE)["reason"]


def test_a_diverged_run_counts_for_nothing_and_is_named(grid):
    made = grid().run("npo", seed=1).run("ga", seed=1, diverged=True)
    for by in (GEFFECT, CHANGE):
        row = made.judged(3, by)
        assert row["part_verdict"] == OPEN
        assert "ga+none diverged" in row["reason"]
    made = grid()
    for seed in (1, 2, 3):
        made.run("ga", seed=seed, cos=(-1, -0.9), diverged=seed == 2)
    row = made.judged(1, GEFFECT)
    assert (row["part_verdict"], row["seeds"]) == (HOLDS, 2)
    assert "2 of 3 seeds (ga+none seed2 diverged)" in row["reason"]


@pytest.mark.parametrize("by", [GEFFECT, CHANGE])
def test_more_blocks_in_the_shallow_third_are_no_proof_that_they_are_affected_more(by, grid):
    made = grid().run("ga", shallow=1.5, blocks=4)
    thirds, single = made.judged(2, by, "a"), made.judged(2, by, "b")
    assert (thirds["value"], single["value"]) == pytest.approx((1.5, 0.75))
    assert (thirds["part_verdict"], single["part_verdict"]) == (HOLDS, FAILS)
    assert thirds["verdict"] == FAILS
    for row in (thirds, single):
        for said in ("blocks in shallow 2", "blocks in middle 1", "blocks in deep 1"):
            assert said in row["reason"]


@pytest.mark.parametrize("by", [GEFFECT, CHANGE])
def test_a_sweep_counts_as_one_objective(by, grid):
    made = grid().run("ga", shallow=0.5)
    for variant in ("rmu_l1_c2", "rmu_l1_c4", "rmu_l2_c2"):
        made.run(variant, shallow=3)
    row = made.judged(2, by, "a")
    assert row["value"] == pytest.approx((0.5 + 3) / 2)
    assert "compared for each seed (runs × data sets) 4" in row["reason"]


@pytest.mark.parametrize("by", [GEFFECT, CHANGE])
def test_where_each_third_is_one_block_there_is_one_finding(by, grid):
    """Two parts with the same numbers would be counted twice."""
    made = grid().run("ga", shallow=0.5)
    first, second = made.judged(2, by, "a"), made.judged(2, by, "b")
    assert first["part_verdict"] == first["verdict"] == second["verdict"] == FAILS
    assert (second["part_verdict"], second["interval"]) == (SAME, "none")
    assert np.isnan(second["value"])
    assert second["reason"] == "one block in each third: the same as a"
    text = page.markdown(made.table(), "")
    assert f"| 2 | {first['name']} | {FAILS} | {FAILS} |" in text, "not 0 of 2"
    assert "2b, by" in text and "the same as a" in text
    for verdict in VERDICTS:
        assert statements.together([verdict, SAME]) == verdict
    assert (
        made.judged(
            2,
            by,
            "b",
            **{
                n: f[f["component"].ne("layer.3")]
                for n, f in made.tables().items()
                if "component" in f
            },
        )["part_verdict"]
        == OPEN
    )


@pytest.mark.parametrize("by", [GEFFECT, CHANGE])
@pytest.mark.parametrize("part", ["a", "b"])
def test_a_loss_that_stops_below_some_blocks_by_construction_says_nothing_of_layers(part, by, grid):
    """RMU has no gradient above its layer, so shallow comes first whatever the model is like."""
    made = grid().run("ga", shallow=0.5, blocks=6).run("rmu_l2_c2", shallow=9, deep=0, blocks=6)
    row = made.judged(2, by, part)
    assert row["value"] == pytest.approx(0.5)
    assert "(rmu_l2_c2: the loss leaves some blocks as they are) 1" in row["reason"]
    row = grid().run("rmu_l1_c2", shallow=9, deep=0, blocks=6).judged(2, by, part)
    assert row["part_verdict"] == OPEN and "leaves some blocks as they are" in row["reason"]


def test_a_run_that_is_not_there_is_named(grid):
    made = grid().run("ga").run("npo")
    gone = {n: f[f["objective"].ne("npo")] for n, f in made.tables().items() if len(f)}
    row = made.judged(3, GEFFECT, **gone)
    assert row["part_verdict"] == OPEN
    assert "npo+none is missing" in row["reason"]


def test_one_seed_and_a_small_difference_cannot_be_told_but_several_seeds_can(grid):
    made = grid()
    for seed, noise in enumerate([0, 0.001, -0.001, 0.0005], start=1):
        made.run("npo", seed=seed, change=(1, 0.5 + noise)).run("ga", seed=seed, change=(1, 0.53))
        row = made.judged(3, CHANGE)
        assert row["part_verdict"] == (OPEN if seed == 1 else HOLDS)
    assert row["value"] == pytest.approx(0.03, abs=0.001)


@pytest.mark.parametrize(
    ("good", "splits", "verdict"),
    [
        ((True, True), ("forget05", "forget10"), HOLDS),
        ((True, False), ("forget05", "forget10"), FAILS),
        ((True, True), ("forget01", "forget05", "forget10"), OPEN),
    ],
)
def test_what_is_said_of_all_splits_needs_all_of_them(good, splits, verdict, grid):
    frames, cells = {}, []
    for split, well in zip(("forget05", "forget10"), good, strict=True):
        made = grid(split)
        gentle, harsh = ((-0.9, 0.0), (1.0, 0.0)), ((-0.9, -0.9), (1.0, 0.9))
        for name in ("wga", "tnpo", "ga", "npo"):
            cos, change = gentle if well and name in ("wga", "tnpo") else harsh
            made.run(name, cos=cos, change=change)
        cells += made.cells
        for name, frame in made.tables().items():
            frames.setdefault(name, []).append(frame)
    made.cells = cells
    table = made.table(splits=splits, **{n: pd.concat(fs) for n, fs in frames.items()})
    everywhere = table[table["split"].eq("all")]
    assert set(everywhere["by"]) == {GEFFECT, CHANGE}
    assert set(everywhere["verdict"]) == {verdict}
    assert ("not in the grid" in everywhere["reason"].iloc[0]) == (len(splits) == 3)


def test_a_statement_holds_where_all_its_parts_do():
    assert statements.together([HOLDS, HOLDS]) == HOLDS
    assert statements.together([HOLDS, OPEN]) == OPEN
    assert statements.together([HOLDS, OPEN, FAILS]) == FAILS


def test_a_variant_of_another_name_stands_for_its_objective(grid, monkeypatch):
    made = grid().run("ga", cos=(-1, -0.9))
    renamed = {
        name: frame.assign(objective="ascent")
        for name, frame in made.tables().items()
        if len(frame)
    }
    made.cells = [cell | {"objective": "ascent"} for cell in made.cells]
    variants = {
        "objective": {"ascent": {"name": "my/folder/ga.py", "hyper": {}}},
        "regularizer": {},
    }
    table = statements.table(
        made.cells,
        **{"instances": pd.DataFrame(), **renamed},
        variants={("m", "forget10"): variants},
        splits=["forget10"],
        resamples=10,
        seed=0,
    )
    assert table.loc[table["statement"].eq(1), "verdict"].tolist() == [HOLDS, HOLDS]


def test_the_page_gives_every_claim_its_threshold_and_margin():
    sections = re.split(r"^### (?=\d)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    of = {int(section.partition(".")[0]): section for section in sections[1:]}
    assert set(of) == set(statements.NAMES)
    for claim, _ in CLAIMS:
        shown = f"| {claim.rule} | {claim.margin:g} |"
        assert shown in of[claim.statement], (claim.statement, claim.part, claim.by)


def test_the_markdown_page_shows_every_verdict_and_number(grid, rng):
    table = full(grid, rng=rng).table()
    text = page.markdown(table, "A caption.")
    for row in table.to_dict("records"):
        assert f"| {row['name']} | " in text
        assert row["reason"] in text
    assert text.count("*cannot be told*") == table["part_verdict"].eq(OPEN).sum()
    assert "all splits" in text and "nan" not in text


def test_shallow_must_exceed_the_greatest_of_the_others(grid):
    assert grid().run("ga", shallow=2, deep=3).judged(2, GEFFECT, "a")["part_verdict"] == FAILS
    row = grid().run("ga", shallow=2, deep=0.5).judged(2, CHANGE, "a")
    assert row["value"] == pytest.approx(2)


def test_a_measured_step_counts_up_to_the_next_one_and_the_last_does_not(grid, rng):
    cosines = rng.uniform(-1, 0, 5)
    row = grid().run("ga", cos=(-1, cosines)).judged(1, GEFFECT)
    assert row["value"] == pytest.approx(cosines[:4].mean())


def test_halves_of_a_run_are_by_learning_rate(grid):
    """All of it is spent in the first ten updates: whatever comes later is the second half."""
    rates = [1e-3] * 10 + [0] * 30
    made = grid().run("po", change=([1, 2, 0, 0], 0), rates=rates)
    row = made.judged(7, CHANGE, "a")
    # Half of the rate is spent after five updates, in the middle of the first interval.
    assert row["value"] == pytest.approx(0.5)
    assert made.judged(7, CHANGE, "b")["value"] == pytest.approx(2.5 / 0.5)


def test_the_interval_over_seeds_is_that_of_students_t(grid, rng):
    values = rng.uniform(-0.6, -0.4, 4)  # the interval stays within a cosine's range
    row = with_seeds(grid, values)
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_spreads_over_seeds_and_instances_add_up_in_squares(grid, rng):
    falls, rows = [], {}
    for seeds in ((1,), (1, 2, 3)):
        made = grid()
        for seed in seeds:
            levels = np.ones((5, 50))
            levels[-1] = np.random.default_rng(7).normal(0.5, 0.2, 50) + 0.01 * seed
            falls.append(levels[-1].mean() - 1)
            made.run("npo", seed=seed, weights=levels, effects=-np.ones((5, 50)))
        rows[len(seeds)] = made.judged(4, GEFFECT)
    alone, both = rows[1], rows[3]
    assert both["interval"] == "seeds and instances"
    instances = alone["value"] - alone["low"]  # shifting all weights changes no spread
    over_seeds = stats.t.ppf(0.975, 2) * stats.sem(falls[1:])
    assert both["value"] - both["low"] == pytest.approx(np.hypot(instances, over_seeds), rel=1e-6)


def test_an_interval_ends_where_its_quantity_does(grid, rng):
    """A cosine below −1 is none; one that is cut covers the mean as often."""
    values = np.array([-1.0, -0.7, -1.0])
    row = with_seeds(grid, values)
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert low < -1 and row["low"] == -1 and row["high"] == pytest.approx(high)
    made = grid()
    for seed, rise in enumerate((0.01, 9, 20), start=1):  # nats have no bounds
        made.run("wga", seed=seed, change=(rise, 0))
    row = made.judged(6, CHANGE, "b")
    assert row["low"] < 0 < row["value"] < row["high"]


def test_measured_and_attributed_changes_have_their_names_and_their_difference(grid):
    """Beside KL's attributed share, two numbers of one quantity would look like an error."""
    made = grid().run("ga", change=(1.0, 0.5))
    risk = made.tables()["risk"]
    beyond = risk["component"].eq("total") & risk["dataset"].eq("retain")
    risk.loc[beyond, "measured_change"] += 0.02
    reason = made.judged(1, CHANGE, risk=risk)["reason"]
    for said in (
        "measured change of R_u 4;",
        "attributed change of R_r 2;",
        "measured change of R_r 2.08;",
        "what bends between measured steps) 0.08",
    ):
        assert said in reason


@pytest.mark.parametrize(("rise", "told"), [(0.099, False), (0.101, True)])
def test_a_pair_is_compared_at_its_own_level_and_not_below_the_floor(rise, told, grid):
    """Whatever the others reach: below the floor no harm has begun that could be compared."""
    made = grid().run("npo", change=(rise / 4, 0)).run("ga", change=([0.05, 0.02, 0.02, 5], 1))
    for name in ("wga", "tnpo", "po"):
        made.run(name, change=(9, 9))
    row = made.judged(3, CHANGE)
    assert (row["part_verdict"] == HOLDS, row["part_verdict"] == OPEN) == (told, not told)
    if told:
        assert f"where R_u has risen by {rise:g}" in row["reason"]
    else:
        assert "no common rise of R_u of at least 0.1 nats" in row["reason"]
        assert "npo 0.099" in row["reason"]


def test_a_curve_that_bends_between_two_steps_is_read_with_an_error(grid):
    """Straight, there is none; bent, it takes a verdict away that the lines alone would give."""
    made = grid().run("npo", change=([1.0] * 4, [0.5] * 4)).run("ga", change=([1.0] * 4, [0.6] * 4))
    straight = made.judged(3, CHANGE)
    assert straight["part_verdict"] == HOLDS
    assert "uncertain between measured steps by 0;" in straight["reason"] + ";"
    made = grid().run("npo", change=([0.5, 0.5, 0.7, 0.0], [0.0, 0.0, 0.1, 0.0]))
    made.run("ga", change=([0.5, 0.5, 4.0, 4.0], [0.0, 0.0, 3.0, 4.0]))
    bent = made.judged(3, CHANGE)
    # At 1.7 nats: NPO +0.1; GA's lines say 0 + 3 · 0.7/4 = 0.525.
    assert bent["value"] == pytest.approx((0.525 - 0.1) / 1.7)
    error = float(bent["reason"].split("uncertain between measured steps by ")[1].split(";")[0])
    assert error > 0.05
    assert (bent["part_verdict"] == HOLDS) == (bent["value"] > 0.05 + error)


@pytest.mark.parametrize("lost", [slice(1, 3), slice(0, 1), slice(3, 4)])
@pytest.mark.parametrize(
    ("datasets", "told"),
    [
        # Of one risk that is known: layers, and what the retain objective took back of it.
        ([], {"1", "2a", "3", "6a", "6b", "6c", "6d", "7a", "7b", "8a", "8b", "8c"}),
        (["unlearn"], {"2a", "8a"}),
        (["retain"], {"2a", "8b"}),
        (["unlearn", "retain"], set()),
    ],
)
def test_after_a_step_that_could_not_be_measured_no_change_of_risk_can_be_told(
    datasets, told, lost, grid
):
    """In the middle of a run, and at its ends, where the last step alone has no interval."""

    def known(unlearn, retain):
        change = {"unlearn": unlearn * np.ones(4), "retain": retain * np.ones(4)}
        for dataset in datasets:
            change[dataset][lost] = np.nan
        return change["unlearn"], change["retain"]

    made = grid()
    harms = {"ga": 0.9, "npo": 0.4, "wga": 0.01, "tnpo": 0.1, "po": 0.4}
    for name, harm in harms.items():
        made.run(name, change=known(1, harm), shallow=9)
    for name, back in {"nll": -0.2, "kl": -0.4, "rr": -0.2}.items():
        made.run("ga", name, change=known(1, 0.9), reg=((0, 0), known(-0.01, back)))
    risk = made.tables()["risk"]
    # Of the other terms there are no rows at the last step, as in a run's own table.
    risk = risk[risk["step"].lt(risk["step"].max()) | risk["term"].eq("objective")]
    table = made.table(risk=risk)
    rows = table[table["by"].eq(CHANGE) & table["split"].eq("forget10")]
    rows = rows[rows["part_verdict"].isin([HOLDS, FAILS])]
    assert {f"{s}{p}" for s, p in zip(rows["statement"], rows["part"], strict=True)} == told


@pytest.mark.parametrize("by", [GEFFECT, CHANGE])
def test_an_objective_with_a_lost_run_is_left_out_and_named_and_the_others_still_tell(by, grid):
    """Of whichever objective it is, and however it is lost."""

    def build(lost, **gone):
        made = grid()
        for objective, more in (("ga", 0.0), ("npo", 0.2)):
            for name, size in (("nll", 0.2), ("kl", 0.6 + more), ("rr", 0.1)):
                given = gone if (objective, name) == lost else {}
                change = given.get("change", (1.0, 1.0))
                reg = ((0.0, size), (0.0, -size))
                diverged = given.get("diverged", False)
                made.run(objective, name, change=change, reg=reg, diverged=diverged)
        return made.judged(8, by, "c")

    whole = build(None)
    assert "objectives 2" in whole["reason"] and "not counted" not in whole["reason"]
    alone = {"ga": 0.4, "npo": 0.6}
    assert whole["value"] == pytest.approx(np.mean(list(alone.values())))
    for objective, expected in alone.items():
        lost = "ga" if objective == "npo" else "npo"
        row = build((lost, "rr"), diverged=True)
        assert row["value"] == pytest.approx(expected) and row["part_verdict"] == HOLDS
        assert "objectives 1" in row["reason"]
        assert f"objectives not counted ({lost}+rr diverged) 1" in row["reason"]
    if by == CHANGE:
        row = build(("npo", "rr"), change=([1, np.nan, np.nan, 1], 1.0))
        assert row["value"] == pytest.approx(alone["ga"]) and "not finite" in row["reason"]
