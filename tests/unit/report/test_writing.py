"""Tables are read back as they were, and readers see them rounded and explained."""

import re

import pandas as pd
import pytest
from made_up import make_frames, name_cell, text_of, write

from geffect.report import writing
from geffect.report.tables import main
from geffect.report.tables.geffect import cumulated
from geffect.report.tables.main import VALUES, main_table
from geffect.report.tables.utility import nine_parts


@pytest.fixture
def table(rng):
    cells = [name_cell(name, seed=s) for name in ("original", "wga_a1", "ga") for s in (0, 1)]
    cells += [name_cell("npo", "kl", seed) for seed in (0, 1)]
    metrics, effects, status = make_frames(cells, rng)
    metrics["value"] *= 10 ** rng.uniform(-30, 0, len(metrics))
    status.loc[status["objective"].eq("ga"), "status"] = "diverged"
    status.loc[len(status) - 1, "status"] = "diverged"
    return main_table(metrics, effects, status)


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
    assert original["Σ e unlearn"] == "–" and "±" in wga["Σ e unlearn"]
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
    # 4 keys; an interval of two numbers and a spread for every value.
    assert len(found) == len(set(found)) == table.shape[1] - 4 - 3 * len(VALUES)
    assert text_of(found[0]) == "ES exact retain"


def test_any_plain_table_can_be_written(rng, tmp_path):
    metrics, effects, _ = make_frames([name_cell("ga")], rng)
    for frame in (nine_parts(metrics), cumulated(effects)):
        csv, md, _ = write(frame, tmp_path)
        pd.testing.assert_frame_equal(pd.read_csv(csv), frame, check_exact=True)
        assert "ga" in md.read_text(encoding="utf-8")


def test_the_best_two_of_a_model_and_split_are_marked_by_the_wanted_direction(rng, tmp_path):
    cells = [name_cell(n, split=s) for s in ("a", "b") for n in ("original", "ga", "npo", "po")]
    metrics, effects, status = make_frames(cells, rng)
    metrics.loc[metrics["metric"].eq("mu"), "value"] = [0.9, 0.1, 0.3, 0.2] * 2
    exact = metrics["metric"].eq("es_exact") & metrics["dataset"].eq("unlearn")
    # These two look the same to readers.
    metrics.loc[exact, "value"] = [0.0, 0.10001, 0.10002, 0.5] * 2
    table = main_table(metrics, effects, status)
    paths = [tmp_path / f"main.{suffix}" for suffix in ("csv", "md", "tex")]
    writing.write(table, *paths, "", main.COLUMNS, mark_best=True)
    shown = paths[1].read_text(encoding="utf-8").splitlines()[2:]
    header, _, *rows = ([c.strip() for c in line.split("|")[1:-1]] for line in shown)
    for name, expected in {
        "MU ↑": ["0.9000", "0.1000", "**0.3000**", "*0.2000*"] * 2,
        "ES exact unlearn ↓": ["0.0000", "**0.1000**", "**0.1000**", "*0.5000*"] * 2,
    }.items():
        assert [row[header.index(name)] for row in rows] == expected
    # A row with fewer seeds than others is not ranked with them, however good it looks.
    few = table.assign(n_seeds=[3, 3, 1, 3] * 2)
    assert {table["objective"][row] for row, _ in writing.best(few, main.COLUMNS)} == {"ga", "po"}
    latex = paths[2].read_text(encoding="utf-8")
    assert latex.count(r"\textbf{0.3000}") == 2 and latex.count(r"\underline{0.2000}") == 2
    assert "*" not in latex.replace("table*", "") and r"\textbf{0.9000}" not in latex
    pd.testing.assert_frame_equal(pd.read_csv(paths[0]), table, check_exact=True)
