"""The tables against slow loops over fresh random frames, and their files read back."""

import itertools
import re
import secrets

import numpy as np
import pandas as pd
import pytest

from geffect.report import tables

CELL = tables.CELL


@pytest.fixture
def rng():
    seed = secrets.randbits(32)
    print(f"random frames from seed {seed}")
    return np.random.default_rng(seed)


def name_cell(objective, regularizer="none", seed=42, model="tiny", split="forget05"):
    return dict(zip(CELL, (model, split, objective, regularizer, seed), strict=True))


OK = pd.DataFrame([name_cell("ga") | {"status": "ok"}])


def metrics_of(cell, rng):
    names = [*tables.MAIN_COLUMNS.values(), *tables.NINE_PARTS.values()]
    return [
        cell | {"metric": metric, "dataset": dataset, "value": rng.uniform()}
        for metric, dataset in dict.fromkeys(names)
    ]


def effects_of(cell, rng, steps=(0, 5, 10, 12), terms=("objective", "combined")):
    return [
        cell
        | {"term": term, "dataset": dataset, "component": component}
        | {"step": step, "geffect": rng.normal(), "cosine": rng.uniform(-1, 1)}
        for term in terms
        for dataset in ("unlearn", "retain")
        for component in ("total", "shallow", "layer.1")
        for step in steps
    ]


def make_frames(cells, rng):
    metrics = pd.DataFrame([row for cell in cells for row in metrics_of(cell, rng)])
    effects = pd.DataFrame(
        [
            row
            for cell in cells
            if cell["objective"] not in tables.REFERENCES
            for row in effects_of(cell, rng)
        ]
    )
    return metrics, effects, pd.DataFrame([cell | {"status": "ok"} for cell in cells])


def cumulated_slowly(rows):
    rows = sorted(rows, key=lambda row: row["step"])
    if len(rows) < 2:
        return np.nan
    total = 0.0
    for here, after in itertools.pairwise(rows):
        total += here["geffect"] * (after["step"] - here["step"])
    return total


def row_of(table, objective, regularizer="none"):
    chosen = table["objective"].eq(objective) & table["regularizer"].eq(regularizer)
    assert chosen.sum() == 1
    return table[chosen].iloc[0]


def test_cumulated_equals_a_loop_for_any_steps_and_row_order(rng):
    rows = []
    for seed in range(4):
        steps = rng.choice(100, size=rng.integers(1, 9), replace=False).tolist()
        rows += effects_of(name_cell("ga", seed=seed), rng, steps)
    frame = pd.DataFrame(rows).sample(frac=1, random_state=int(rng.integers(1 << 31)))
    frame.loc[rng.uniform(size=len(frame)) < 0.03, "geffect"] = np.nan
    keys = [*CELL, "term", "dataset", "component"]
    result = tables.cumulated(frame)
    assert list(result) == [*keys, "cumulated"]
    assert result[keys].equals(frame[keys].drop_duplicates().reset_index(drop=True))
    for row in result.to_dict("records"):
        group = [r for r in frame.to_dict("records") if all(r[key] == row[key] for key in keys)]
        assert row["cumulated"] == pytest.approx(cumulated_slowly(group), nan_ok=True)


def test_cumulated_has_no_number_where_there_is_none(rng):
    single = pd.DataFrame(effects_of(name_cell("ga"), rng, steps=[0]))
    assert tables.cumulated(single)["cumulated"].isna().all()
    run = pd.DataFrame(effects_of(name_cell("ga"), rng, steps=[0, 5, 8]))
    last_missing = run.assign(geffect=run["geffect"].where(run["step"].ne(8)))
    pd.testing.assert_frame_equal(tables.cumulated(last_missing), tables.cumulated(run))
    middle_missing = run.assign(geffect=run["geffect"].where(run["step"].ne(5)))
    assert tables.cumulated(middle_missing)["cumulated"].isna().all()


def test_cumulated_of_no_rows_has_its_columns():
    assert list(tables.cumulated(pd.DataFrame()))[-1] == "cumulated"


def test_cumulated_refuses_a_step_measured_twice(rng):
    frame = pd.DataFrame(effects_of(name_cell("ga"), rng))
    with pytest.raises(ValueError, match="row twice: model=tiny"):
        tables.cumulated(pd.concat([frame, frame]))


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_main_table_averages_over_seeds(rng, n_seeds):
    cells = [name_cell("npo", "kl", seed) for seed in range(n_seeds)]
    metrics, effects, status = make_frames(cells, rng)
    row = row_of(tables.main_table(metrics, effects, status), "npo", "kl")
    for column, (metric, dataset) in tables.MAIN_COLUMNS.items():
        chosen = metrics["metric"].eq(metric) & metrics["dataset"].eq(dataset)
        values = metrics.loc[chosen, "value"].tolist()
        assert row[column] == pytest.approx(sum(values) / n_seeds)
        spread = np.std(values, ddof=1) if n_seeds > 1 else np.nan
        assert row[f"{column}_sd"] == pytest.approx(spread, nan_ok=True)
    for column, dataset in tables.EFFECTS.items():
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
    table = tables.main_table(*make_frames(cells, rng), pd.DataFrame(rows))
    row = row_of(table, "npo", "kl")
    for dataset, of_seed in sums.items():
        assert row[f"change_{dataset}"] == pytest.approx(np.mean(of_seed))
        assert row[f"change_{dataset}_sd"] == pytest.approx(np.std(of_seed, ddof=1))


def test_main_table_columns(rng):
    values = [
        *["es_exact_retain", "es_exact_unlearn", "es_perturb_retain", "es_perturb_unlearn"],
        *["fq", "mu", "prob_unlearn", "prob_retain", "e_unlearn", "e_retain"],
        *["change_unlearn", "change_retain"],
    ]
    expected = ["model", "split", "objective", "regularizer", *values]
    expected += [*(f"{name}_sd" for name in values), "n_seeds", "status"]
    assert list(tables.main_table(*make_frames([name_cell("ga")], rng))) == expected


MAIN = {
    "es_exact_retain": ("es_exact", "retain", "ES exact retain ↑"),
    "es_exact_unlearn": ("es_exact", "unlearn", "ES exact unlearn ↓"),
    "es_perturb_retain": ("es_perturb", "retain", "ES perturb retain ↑"),
    "es_perturb_unlearn": ("es_perturb", "unlearn", "ES perturb unlearn ↓"),
    "fq": ("fq", "unlearn", "FQ ↑"),
    "mu": ("mu", "all", "MU ↑"),
    "prob_unlearn": ("probability", "unlearn", "Prob. unlearn ↓"),
    "prob_retain": ("probability", "retain", "Prob. retain ↑"),
}
PARTS = {
    f"{metric}_{dataset}": (metric, dataset, f"{header} {dataset.replace('_', ' ')} ↑")
    for metric, header in (
        ("probability", "Probability"),
        ("rouge", "Rouge"),
        ("truth_ratio", "Truth ratio"),
    )
    for dataset in ("retain", "real_authors", "world_facts")
} | {"mu": ("mu", "all", "MU ↑")}
PRIVACY = {
    "em_unlearn": ("em", "unlearn", "EM unlearn ↓"),
    "em_retain": ("em", "retain", "EM retain ↑"),
    "mia_loss": ("mia_loss", "unlearn", "AUC loss → 0.5"),
    "mia_zlib": ("mia_zlib", "unlearn", "AUC zlib → 0.5"),
    "mia_min_k": ("mia_min_k", "unlearn", "AUC min-k → 0.5"),
    "mia_min_k_plus_plus": ("mia_min_k_plus_plus", "unlearn", "AUC min-k++ → 0.5"),
    "mia_gradient_norm": ("mia_gradient_norm", "unlearn", "AUC gradient norm → 0.5"),
    "mia_reference": ("mia_reference", "unlearn", "AUC reference → 0.5"),
    "privleak": ("privleak", "unlearn", "PrivLeak % → 0"),
}


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (lambda metrics: tables.main_table(metrics, pd.DataFrame(), OK), MAIN),
        (tables.nine_parts, PARTS),
        (tables.privacy, PRIVACY),
    ],
    ids=["main", "nine_parts", "privacy"],
)
def test_every_column_holds_the_metric_that_it_is_called_by(make, columns, rng, tmp_path):
    cell = name_cell("ga")
    known = sorted({(m, d) for known in (MAIN, PARTS, PRIVACY) for m, d, _ in known.values()})
    known += [("em", "all"), ("mia_loss", "retain"), ("probability", "all")]
    values = dict(zip(known, rng.permutation(len(known)) / 100, strict=True))
    metrics = pd.DataFrame(
        [cell | {"metric": m, "dataset": d, "value": v} for (m, d), v in values.items()]
    )
    table = make(metrics)
    shown = write(table, tmp_path)[1].read_text(encoding="utf-8").splitlines()
    header, _, row = ([c.strip() for c in line.split("|")[1:-1]] for line in shown[2:])
    readers = dict(zip(header, row, strict=True))
    for column, (metric, dataset, name) in columns.items():
        value = values[metric, dataset]
        assert table[column].item() == value, column
        assert float(readers[name]) == pytest.approx(value, abs=1e-4), name
    changes = ["change_unlearn", "change_retain"]
    others = [*CELL, "e_unlearn", "e_retain", *changes, "n_seeds", "status"]
    assert set(columns) <= {c for c in table if not c.endswith("_sd")} <= {*columns, *others}


def test_effects_of_the_main_table_are_those_of_their_data_set(rng, tmp_path):
    cell = name_cell("ga")
    effects = pd.DataFrame(effects_of(cell, rng, steps=(0, 4)))
    at = effects.query("step == 0 and term == 'combined' and component == 'total'")
    e = at.set_index("dataset")["geffect"]
    metrics = pd.DataFrame(metrics_of(cell, rng))
    table = tables.main_table(metrics, effects, OK)
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
    healthy = tables.main_table(
        *(frame[frame["seed"].ne(1)] for frame in (metrics, effects, status))
    )
    status.loc[1, "status"] = "diverged"
    row = row_of(tables.main_table(metrics, effects, status), "ga")
    assert (row["n_seeds"], row["status"]) == (2, "diverged")
    assert row[tables.VALUES].tolist() == healthy[tables.VALUES].iloc[0].tolist()


def test_a_cell_without_a_healthy_seed_has_no_numbers(rng):
    metrics, effects, status = make_frames([name_cell("ga"), name_cell("po")], rng)
    status["status"] = ["diverged", "ok"]
    table = tables.main_table(metrics, effects, status)
    row = row_of(table, "ga")
    assert (row["n_seeds"], row["status"]) == (0, "diverged")
    assert row[tables.VALUES].isna().all()
    assert row_of(table, "po")[tables.VALUES].notna().all()


def test_a_cell_without_metrics_is_missing(rng):
    cells = [name_cell("ga"), name_cell("npo"), name_cell("po"), name_cell("po", seed=1)]
    metrics, effects, status = make_frames(cells, rng)
    metrics = metrics[metrics["objective"].ne("ga")]
    metrics.loc[metrics["objective"].eq("npo"), "value"] = np.nan
    metrics = metrics[~(metrics["objective"].eq("po") & metrics["seed"].eq(1))]
    table = tables.main_table(metrics, effects, status)
    for name, expected in {"ga": 0, "npo": 0, "po": 1}.items():
        row = row_of(table, name)
        assert (row["status"], row["n_seeds"]) == ("missing", expected)
        assert row[tables.VALUES].isna().all() == (expected == 0)


def test_one_missing_number_hides_no_other(rng):
    metrics, effects, status = make_frames([name_cell("ga", seed=s) for s in range(2)], rng)
    fq = metrics["metric"].eq("fq")
    metrics.loc[fq & metrics["seed"].eq(0), "value"] = np.nan
    row = row_of(tables.main_table(metrics, effects.iloc[:0], status), "ga")
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
        for regularizer in (["none"] if name in tables.REFERENCES else ["rr", "none", "kl"])
    ]
    metrics, effects, status = make_frames(cells, rng)
    shuffled = metrics.sample(frac=1, random_state=int(rng.integers(1 << 31)))
    table = tables.main_table(shuffled, effects, status)
    expected = [
        (split, name, regularizer)
        for split in ("forget10", "forget01")
        for name in ["original", "retain_model", "wga", "npo", "ga", "custom"]
        for regularizer in (["none"] if name in tables.REFERENCES else ["rr", "none", "kl"])
    ]
    found = table[["split", "objective", "regularizer"]].itertuples(index=False, name=None)
    assert list(found) == expected


def test_references_need_no_status(rng):
    metrics, effects, status = make_frames([name_cell("ga"), name_cell("original")], rng)
    table = tables.main_table(metrics, effects, status[status["objective"].eq("ga")])
    assert table["objective"].tolist() == ["original", "ga"]
    assert table["status"].tolist() == ["ok", "ok"]
    assert np.isnan(table.loc[0, "e_unlearn"])


def test_main_table_names_what_is_wrong(rng):
    metrics, effects, status = make_frames([name_cell("ga")], rng)
    with pytest.raises(ValueError, match="unknown status 'exploded'"):
        tables.main_table(metrics, effects, status.assign(status="exploded"))
    with pytest.raises(ValueError, match="metrics frame has no column 'value'"):
        tables.main_table(metrics.drop(columns="value"), effects, status)
    with pytest.raises(ValueError, match="metrics frame has a row twice"):
        tables.main_table(pd.concat([metrics, metrics]), effects, status)


def test_main_table_of_missing_cells_only():
    status = pd.DataFrame([name_cell("ga") | {"status": "missing"}])
    row = row_of(tables.main_table(pd.DataFrame(), pd.DataFrame(), status), "ga")
    assert row["status"] == "missing" and row[tables.VALUES].isna().all()


def test_status_and_last_step_of_a_run_are_those_of_its_training_log():
    cells = [name_cell("ga", "kl", 1), name_cell("npo", seed=2), name_cell("ga", seed=3)]
    ends = [True, False, True]
    logs = [
        pd.DataFrame({"step": range(1, 4 + n), "diverged": [False] * (2 + n) + [end]})
        for n, end in enumerate(ends)
    ]
    found = tables.status(cells, logs)
    assert found[CELL].to_dict("records") == cells
    assert found["status"].tolist() == ["diverged", "ok", "diverged"]
    assert tables.diverged_steps(cells, logs) == {("ga", "kl", 1): 3, ("ga", "none", 3): 5}


def test_nine_parts_has_one_row_per_cell(rng):
    cells = [name_cell("ga", seed=1), name_cell("ga", seed=0), name_cell("original")]
    metrics, *_ = make_frames(cells, rng)
    wide = tables.nine_parts(metrics)
    assert list(wide) == [*CELL, *tables.NINE_PARTS, "mu"] and len(tables.NINE_PARTS) == 9
    assert wide[["objective", "seed"]].values.tolist() == [["original", 42], ["ga", 1], ["ga", 0]]
    for row in metrics.to_dict("records"):
        column = "mu" if row["metric"] == "mu" else f"{row['metric']}_{row['dataset']}"
        if column in wide:
            same = wide[CELL].eq(pd.Series({key: row[key] for key in CELL})).all(axis=1)
            assert wide.loc[same, column].item() == row["value"]


def record(code="c0de", weights="ab", unlearned=True, **packages):
    files = {"model.safetensors": weights}
    return {
        "git": {"commit": "f00", "dirty": False},
        "settings": {"alpha": 7, "beta": {"x": 1, "y": 2}},
        "weights": {"original": {}, "unlearned": files} if unlearned else files,
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"} | packages,
        "python": "3.11.7",
        "host": "node1",
        "device": "a GPU",
        "gpu": {"name": "a GPU", "count": 4},
        **dict.fromkeys(tables.USAGE, 3.5),
    } | ({"code": code} if unlearned else {})


def test_provenance_traces_every_row_of_the_tables():
    cell, reference = name_cell("ga"), name_cell("original")
    evaluated = record(unlearned=False)
    frame = tables.provenance(
        [
            (cell, "unlearn", record()),
            (cell, "evaluate", evaluated),
            (reference, "evaluate", evaluated),
        ]
    )
    assert frame[CELL].to_dict("records") == [cell, cell, reference]
    assert frame["stage"].tolist() == ["unlearn", "evaluate", "evaluate"]
    assert frame["code"].tolist()[0] == "c0de" and frame["code"].isna().tolist()[1:] == [True, True]
    assert frame["weights"].nunique() == 1, "the model that was left is the one that was evaluated"
    expected = {"git_commit": "f00", "torch": "2.13.0", "python": "3.11.7", "host": "node1"}
    expected |= {"device": "a GPU", "gpus": 4, "wall_seconds": 3.5, "peak_memory_mib": 3.5}
    for column, value in expected.items():
        assert frame[column].eq(value).all(), column


def test_hashes_of_provenance_follow_content_and_not_order():
    same = record()
    same["settings"] = {"beta": {"y": 2, "x": 1}, "alpha": 7}
    other = record(weights="cd")
    other["settings"] = {"alpha": 8}
    rows = [(name_cell("ga", seed=n), "unlearn", r) for n, r in enumerate((record(), same, other))]
    frame = tables.provenance(rows)
    for column in ("settings", "weights"):
        first, second, third = frame[column]
        assert first == second != third, column


def test_a_package_that_only_some_records_name_stands_missing_for_the_others():
    rows = [(name_cell("ga"), "unlearn", record()), (name_cell("npo"), "unlearn", record(new="1"))]
    assert tables.provenance(rows)["new"].isna().tolist() == [True, False]


def test_mixed_versions_are_named_with_their_numbers_and_equal_ones_are_not():
    assert tables.mixed_versions([record(), record(unlearned=False)]) == []
    (warning,) = tables.mixed_versions([record(), record(torch="2.12.0"), record()])
    assert warning.startswith("WARNING") and "torch" in warning and "numpy" not in warning
    assert "2.12.0 (1 of 3 records), 2.13.0 (2 of 3 records)" in warning


@pytest.fixture
def table(rng):
    cells = [name_cell(name, seed=s) for name in ("original", "wga_a1", "ga") for s in (0, 1)]
    cells += [name_cell("npo", "kl", seed) for seed in (0, 1)]
    metrics, effects, status = make_frames(cells, rng)
    metrics["value"] *= 10 ** rng.uniform(-30, 0, len(metrics))
    status.loc[status["objective"].eq("ga"), "status"] = "diverged"
    status.loc[len(status) - 1, "status"] = "diverged"
    return tables.main_table(metrics, effects, status)


def write(frame, folder, caption="Removal & utility of forget_05"):
    paths = [folder / f"main.{suffix}" for suffix in ("csv", "md", "tex")]
    tables.write(frame, *paths, caption)
    return paths


def test_csv_is_read_back_exactly(table, tmp_path):
    csv, *_ = write(table, tmp_path)
    read = pd.read_csv(csv)
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    assert read["regularizer"].tolist() == ["none", "none", "none", "kl"]


@pytest.mark.parametrize("name", ["null", "NA", "7", ""])
def test_a_name_that_csv_would_change_is_refused(table, tmp_path, name):
    with pytest.raises(ValueError, match="would be read back as"):
        write(table.assign(objective=[name] * len(table)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_markdown_is_for_readers(table, tmp_path):
    _, md, _ = write(table, tmp_path)
    lines = md.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("Removal & utility of forget_05 ES: extraction strength; FQ: ")
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert header[4:6] == ["ES exact retain ↑", "ES exact unlearn ↓"]
    assert {"FQ ↑", "MU ↑"} < set(header) and not any("sd" in name for name in header)
    original, wga, ga, npo = (dict(zip(header, row, strict=True)) for row in rows)
    assert re.fullmatch(r"\d\.\d\de-\d+ ± \d\.\d\de-\d+", original["FQ ↑"])
    assert re.fullmatch(r"\d\.\d{4} ± \d\.\d{4}", original["MU ↑"])
    assert original["Cumulated e unlearn ↓"] == "–" and "±" in wga["Cumulated e unlearn ↓"]
    assert ga["status"] == "diverged" and ga["MU ↑"] == "–"
    assert npo["status"] == "some seeds diverged" and "±" not in npo["MU ↑"]


def test_latex_escapes_and_uses_booktabs(table, tmp_path):
    *_, tex = write(table, tmp_path)
    text = tex.read_text(encoding="utf-8")
    assert text.isascii()
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert r"\caption{Removal \& utility of forget\_05 ES: " in text and r"\label{tab:main}" in text
    assert r"wga\_a1" in text and r"MU $\uparrow$" in text and r"$\pm$" in text
    assert text.count(r"\begin") == text.count(r"\end")
    for part in text.split(r"\begin{tabular}")[1:]:
        rows = part.partition(r"\end{tabular}")[0].splitlines()
        widths = {len(re.split(r"(?<!\\)&", line)) for line in rows if line.endswith(r"\\")}
        assert len(widths) == 1


def test_latex_is_split_so_that_no_part_is_shrunk_to_be_illegible(table, tmp_path):
    *_, tex = write(table, tmp_path)
    parts = tex.read_text(encoding="utf-8").split(r"\begin{tabular}")[1:]
    assert len(parts) > 1
    found = []
    for part in parts:
        header, *rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert header.startswith("model & split & objective & regularizer & ")
        found += header.removesuffix(r" \\").split(" & ")[4:]
        plain = [re.sub(r"\$\\\w+\$", "x", row).replace("\\", "") for row in rows]
        # Letters of \footnotesize are 4 pt wide on average, and the text of an `article` 345.
        assert max(len(row) for row in plain) * 4 < 345
    assert len(found) == len(set(found)) == table.shape[1] - 4 - len(tables.VALUES)
    assert text_of(found[0]) == "ES exact retain"


def text_of(header):
    return re.sub(r"\\shortstack\[.\]|[{}]|\$\\\w+\$", "", header).replace(r"\\", " ").strip()


def test_membership_columns_say_what_is_wanted(rng, tmp_path):
    metrics, *_ = make_frames([name_cell("ga")], rng)
    _, md, tex = write(tables.privacy(metrics), tmp_path)
    header = md.read_text(encoding="utf-8").splitlines()[2]
    assert header.count("→ 0.5") == len(tables.ATTACKS) and "PrivLeak % → 0" in header
    assert "EM: exact memorization; AUC: area under the curve" in md.read_text(encoding="utf-8")
    assert r"$\rightarrow$ 0.5" in tex.read_text(encoding="utf-8")


def test_any_plain_table_can_be_written(rng, tmp_path):
    metrics, effects, _ = make_frames([name_cell("ga")], rng)
    for frame in (tables.nine_parts(metrics), tables.cumulated(effects)):
        csv, md, _ = write(frame, tmp_path)
        pd.testing.assert_frame_equal(pd.read_csv(csv), frame, check_exact=True)
        assert "ga" in md.read_text(encoding="utf-8")
