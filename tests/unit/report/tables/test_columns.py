"""Every column of a table holds the metric that its name and its heading say."""

import pandas as pd
import pytest
from made_up import make_frames, name_cell, write

from geffect.names import ATTACKS, CELL
from geffect.report.tables import main, privacy, utility

OK = pd.DataFrame([name_cell("ga") | {"status": "ok"}])


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
        (lambda metrics: main.main_table(metrics, pd.DataFrame(), OK), MAIN),
        (utility.nine_parts, PARTS),
        (privacy.privacy, PRIVACY),
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
    assert (
        set(columns)
        <= {c for c in table if not c.endswith(("_sd", "_low", "_high"))}
        <= {*columns, *others}
    )


def test_nine_parts_has_one_row_per_cell(rng):
    cells = [name_cell("ga", seed=1), name_cell("ga", seed=0), name_cell("original")]
    metrics, *_ = make_frames(cells, rng)
    wide = utility.nine_parts(metrics)
    assert list(wide) == [*CELL, *utility.NINE_PARTS, "mu"] and len(utility.NINE_PARTS) == 9
    assert wide[["objective", "seed"]].values.tolist() == [["original", 42], ["ga", 1], ["ga", 0]]
    for row in metrics.to_dict("records"):
        column = "mu" if row["metric"] == "mu" else f"{row['metric']}_{row['dataset']}"
        if column in wide:
            same = wide[CELL].eq(pd.Series({key: row[key] for key in CELL})).all(axis=1)
            assert wide.loc[same, column].item() == row["value"]


def test_membership_columns_say_what_is_wanted(rng, tmp_path):
    metrics, *_ = make_frames([name_cell("ga")], rng)
    _, md, tex = write(privacy.privacy(metrics), tmp_path)
    header = md.read_text(encoding="utf-8").splitlines()[2]
    assert header.count("→ 0.5") == len(ATTACKS) and "PrivLeak % → 0" in header
    assert "EM: exact memorization; AUC: area under the curve" in md.read_text(encoding="utf-8")
    assert r"$\rightarrow$ 0.5" in tex.read_text(encoding="utf-8")
