"""The main table against slow loops over fresh random frames."""

import numpy as np
import pandas as pd
import pytest
from made_up import cumulated_slowly, effects_of, make_frames, metrics_of, name_cell, row_of, write

from geffect.names import REFERENCES
from geffect.report.tables import main

OK = pd.DataFrame([name_cell("ga") | {"status": "ok"}])


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_main_table_averages_over_seeds(rng, n_seeds):
    cells = [name_cell("npo", "kl", seed) for seed in range(n_seeds)]
    metrics, effects, status = make_frames(cells, rng)
    row = row_of(main.main_table(metrics, effects, status), "npo", "kl")
    for column, (metric, dataset) in main.MAIN_COLUMNS.items():
        chosen = metrics["metric"].eq(metric) & metrics["dataset"].eq(dataset)
        values = metrics.loc[chosen, "value"].tolist()
        assert row[column] == pytest.approx(sum(values) / n_seeds)
        spread = np.std(values, ddof=1) if n_seeds > 1 else np.nan
        assert row[f"{column}_sd"] == pytest.approx(spread, nan_ok=True)
    for column, dataset in main.EFFECTS.items():
        sums = [
            cumulated_slowly(
                [
                    r
                    for r in effects.to_dict("records")
                    if (r["seed"], r["term"], r["dataset"], r["component"])
                    == (seed, "combined", dataset, "total")
                ]
            )
            for seed in range(n_seeds)
        ]
        assert row[column] == pytest.approx(np.mean(sums))
    assert (row["n_seeds"], row["status"]) == (n_seeds, "ok")


def test_main_table_has_the_measured_change_of_each_risk_over_the_run(rng):
    cells = [name_cell("npo", "kl", seed) for seed in range(3)]
    rows, sums = [], {"unlearn": [], "retain": []}
    for cell in cells:
        for dataset, of_seed in sums.items():
            changes = rng.normal(size=4)
            of_seed.append(changes.sum())
            for step, change in enumerate([*changes, np.nan]):
                for term in ("objective", "regularizer", "unexplained"):
                    row = {"step": step, "term": term, "dataset": dataset, "component": "total"}
                    rows.append(cell | row | {"measured_change": change})
                rows.append(cell | row | {"component": "deep", "measured_change": np.nan})
    table = main.main_table(*make_frames(cells, rng), pd.DataFrame(rows))
    row = row_of(table, "npo", "kl")
    for dataset, of_seed in sums.items():
        assert row[f"change_{dataset}"] == pytest.approx(np.mean(of_seed))
        assert row[f"change_{dataset}_sd"] == pytest.approx(np.std(of_seed, ddof=1))


def test_a_change_of_risk_with_a_step_that_could_not_be_measured_is_missing(rng):
    cells = [name_cell("ga", seed=1), name_cell("npo", seed=1), name_cell("npo", seed=2)]
    changes = [[1, np.nan, np.nan, 2, np.nan], [1, 2, 3, 4, np.nan], [1, np.nan, np.nan, 2, np.nan]]
    risk = pd.DataFrame(
        [
            {**cell, "term": "objective", "dataset": "unlearn", "component": "total"}
            | {"step": step, "measured_change": change}
            for cell, of_cell in zip(cells, changes, strict=True)
            for step, change in enumerate(of_cell)
        ]
    )
    table = main.main_table(*make_frames(cells, rng), risk)
    assert np.isnan(row_of(table, "ga")["change_unlearn"])
    row = row_of(table, "npo")
    assert (row["change_unlearn"], row["n_seeds"]) == (10, 2)
    assert np.isnan(row["change_unlearn_sd"]), "of the one seed that has a number"


def test_main_table_columns(rng):
    values = [
        *["es_exact_retain", "es_exact_unlearn", "es_perturb_retain", "es_perturb_unlearn"],
        *["fq", "mu", "prob_unlearn", "prob_retain", "e_unlearn", "e_retain"],
        *["change_unlearn", "change_retain"],
    ]
    expected = ["model", "split", "objective", "regularizer", *values]
    expected += [f"{name}_sd" for name in values]
    expected += [f"{name}_{end}" for name in values for end in ("low", "high")]
    expected += ["n_seeds", "status"]
    assert list(main.main_table(*make_frames([name_cell("ga")], rng))) == expected


def test_effects_of_the_main_table_are_those_of_their_data_set(rng, tmp_path):
    cell = name_cell("ga")
    effects = pd.DataFrame(effects_of(cell, rng, steps=(0, 4)))
    at = effects.query("step == 0 and term == 'combined' and component == 'total'")
    e = at.set_index("dataset")["geffect"]
    metrics = pd.DataFrame(metrics_of(cell, rng))
    table = main.main_table(metrics, effects, OK)
    shown = write(table, tmp_path)[1].read_text(encoding="utf-8").splitlines()
    header, _, row = ([c.strip() for c in line.split("|")[1:-1]] for line in shown[2:])
    readers = dict(zip(header, row, strict=True))
    names = {"unlearn": "Σ e unlearn", "retain": "Σ e retain"}
    for dataset, name in names.items():
        assert table[f"e_{dataset}"].item() == pytest.approx(4 * e[dataset])
        assert float(readers[name].replace("−", "-")) == pytest.approx(4 * e[dataset], rel=1e-3)


def test_a_diverged_seed_is_shown_and_left_out(rng):
    cells = [name_cell("ga", seed=seed) for seed in range(3)]
    metrics, effects, status = make_frames(cells, rng)
    healthy = main.main_table(*(frame[frame["seed"].ne(1)] for frame in (metrics, effects, status)))
    status.loc[1, "status"] = "diverged"
    row = row_of(main.main_table(metrics, effects, status), "ga")
    assert (row["n_seeds"], row["status"]) == (2, "diverged")
    expected = healthy[main.VALUES].iloc[0]
    assert row[main.VALUES].tolist() == pytest.approx(expected.tolist(), abs=0, nan_ok=True)


def test_a_cell_without_a_healthy_seed_has_no_numbers(rng):
    metrics, effects, status = make_frames([name_cell("ga"), name_cell("po")], rng)
    status["status"] = ["diverged", "ok"]
    table = main.main_table(metrics, effects, status)
    row = row_of(table, "ga")
    assert (row["n_seeds"], row["status"]) == (0, "diverged")
    assert row[main.VALUES].isna().all()
    there = row_of(table, "po")[main.VALUES].notna()
    assert there.drop(list(main.CHANGES)).all() and not there[list(main.CHANGES)].any()


def test_a_cell_without_metrics_is_missing(rng):
    cells = [name_cell("ga"), name_cell("npo"), name_cell("po"), name_cell("po", seed=1)]
    metrics, effects, status = make_frames(cells, rng)
    metrics = metrics[metrics["objective"].ne("ga")]
    metrics.loc[metrics["objective"].eq("npo"), "value"] = np.nan
    metrics = metrics[~(metrics["objective"].eq("po") & metrics["seed"].eq(1))]
    table = main.main_table(metrics, effects, status)
    for name, expected in {"ga": 0, "npo": 0, "po": 1}.items():
        row = row_of(table, name)
        assert (row["status"], row["n_seeds"]) == ("missing", expected)
        assert row[main.VALUES].isna().all() == (expected == 0)


def test_one_missing_number_hides_no_other(rng):
    metrics, effects, status = make_frames([name_cell("ga", seed=s) for s in range(2)], rng)
    fq = metrics["metric"].eq("fq")
    metrics.loc[fq & metrics["seed"].eq(0), "value"] = np.nan
    row = row_of(main.main_table(metrics, effects.iloc[:0], status), "ga")
    assert row["fq"] == metrics.loc[fq & metrics["seed"].eq(1), "value"].item()
    assert row["status"] == "ok" and np.isfinite(row["mu_sd"])
    assert np.isnan(row["fq_sd"]) and np.isnan(row["e_unlearn"])


def test_rows_keep_the_order_of_the_configuration(rng):
    names = ["wga", "npo", "original", "ga", "retain_model", "custom"]
    cells = [
        name_cell(name, regularizer, seed, split=split)
        for split in ("forget10", "forget01")
        for seed in (9, 1)
        for name in names
        for regularizer in (["none"] if name in REFERENCES else ["rr", "none", "kl"])
    ]
    metrics, effects, status = make_frames(cells, rng)
    shuffled = metrics.sample(frac=1, random_state=int(rng.integers(1 << 31)))
    table = main.main_table(shuffled, effects, status)
    expected = [
        (split, name, regularizer)
        for split in ("forget10", "forget01")
        for name in ["original", "retain_model", "wga", "npo", "ga", "custom"]
        for regularizer in (["none"] if name in REFERENCES else ["rr", "none", "kl"])
    ]
    found = table[["split", "objective", "regularizer"]].itertuples(index=False, name=None)
    assert list(found) == expected


def test_references_need_no_status(rng):
    metrics, effects, status = make_frames([name_cell("ga"), name_cell("original")], rng)
    table = main.main_table(metrics, effects, status[status["objective"].eq("ga")])
    assert table["objective"].tolist() == ["original", "ga"]
    assert table["status"].tolist() == ["ok", "ok"]
    assert np.isnan(table.loc[0, "e_unlearn"])


def test_main_table_names_what_is_wrong(rng):
    metrics, effects, status = make_frames([name_cell("ga")], rng)
    with pytest.raises(ValueError, match="unknown status 'exploded'"):
        main.main_table(metrics, effects, status.assign(status="exploded"))
    with pytest.raises(ValueError, match="metrics frame has no column 'value'"):
        main.main_table(metrics.drop(columns="value"), effects, status)
    with pytest.raises(ValueError, match="metrics frame has a row twice"):
        main.main_table(pd.concat([metrics, metrics]), effects, status)


def test_main_table_of_missing_cells_only():
    status = pd.DataFrame([name_cell("ga") | {"status": "missing"}])
    row = row_of(main.main_table(pd.DataFrame(), pd.DataFrame(), status), "ga")
    assert row["status"] == "missing" and row[main.VALUES].isna().all()


def test_intervals_are_over_seeds_where_there_are_several_else_over_rows(rng):
    cells = [name_cell("ga", seed=s) for s in range(4)] + [name_cell("npo"), name_cell("po")]
    metrics, effects, status = make_frames(cells, rng)
    metrics["low"], metrics["high"] = metrics["value"] - 0.1, metrics["value"] + 0.2
    metrics.loc[metrics["objective"].eq("po"), ["low", "high"]] = np.nan
    table = main.main_table(metrics, effects, status)
    values = metrics[metrics["objective"].eq("ga") & metrics["metric"].eq("mu")]["value"]
    half = values.std(ddof=1) / 2 * 3.182446305  # Student's t, 3 degrees of freedom, 97.5%
    row = row_of(table, "ga")
    ends = [row["mu_low"], row["mu_high"]]
    assert ends == pytest.approx([max(values.mean() - half, 0), min(values.mean() + half, 1)])
    assert np.isfinite(row[["e_unlearn_low", "e_unlearn_high"]].astype(float)).all()
    row = row_of(table, "npo")
    assert [row["mu_low"], row["mu_high"]] == pytest.approx([row["mu"] - 0.1, row["mu"] + 0.2])
    assert np.isnan(row["e_unlearn_low"])
    assert np.isnan(row_of(table, "po")[["mu_low", "mu_high"]].astype(float)).all()


def test_the_interval_of_a_metric_stays_between_0_and_1_and_that_of_a_change_does_not(rng):
    cells = [name_cell("ga", seed=s) for s in range(3)]
    metrics, effects, status = make_frames(cells, rng)
    for name in main.MAIN_COLUMNS.values():
        of = metrics["metric"].eq(name[0]) & metrics["dataset"].eq(name[1])
        metrics.loc[of, "value"] = [0.0, 0.9, 1.0]
    risk = pd.DataFrame(
        [
            {**cell, "term": "objective", "dataset": dataset, "component": "total"}
            | {"step": step, "measured_change": of_step}
            for cell, change in zip(cells, (0.0, 0.9, 9.0), strict=True)
            for dataset in ("unlearn", "retain")
            for step, of_step in enumerate([change, np.nan])
        ]
    )
    row = row_of(main.main_table(metrics, effects, status, risk), "ga")
    for name in main.MAIN_COLUMNS:
        assert (row[f"{name}_low"], row[f"{name}_high"]) == (0, 1)
    assert row["change_retain_low"] < 0 and row["change_retain_high"] > 9


def test_a_single_healthy_seed_has_the_interval_of_its_rows(rng):
    cells = [name_cell("ga", seed=s) for s in range(2)]
    metrics, effects, status = make_frames(cells, rng)
    metrics["low"], metrics["high"] = metrics["value"] - 0.1, metrics["value"] + 0.1
    status.loc[0, "status"] = "diverged"
    row = row_of(main.main_table(metrics, effects, status), "ga")
    assert [row["mu_low"], row["mu_high"]] == pytest.approx([row["mu"] - 0.1, row["mu"] + 0.1])
