"""Relearning and rounding of a nano run: which rows, of whom, and what of a cell that diverged."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import CELLS, FINITE, Checkout

from geffect.names import CELL
from geffect.report.command import results_of
from geffect.report.robustness import relearning
from geffect.report.tables import relearn

pytestmark = pytest.mark.slow

ASKED = {"rows": 2, "batch_size": 2, "epochs": 2, "learning_rate": 1e-2}
REFERENCE = "references/nano-phi/retain90/forget10/seed3"


@pytest.fixture(scope="module")
def run(local_run, tmp_path_factory):
    """A copy of the finished run in which every cell has relearned, and one is rounded."""
    folder = tmp_path_factory.mktemp("relearned") / "copy"
    shutil.copytree(local_run.folder, folder)
    made = Checkout(folder)
    more = folder / "more.yaml"
    more.write_text(yaml.safe_dump({"relearn": ASKED, "quantize": [8, 4]}))
    wanted = [made.cell(cell, "relearn.parquet") for cell in CELLS]
    wanted += [made.path(f"{REFERENCE}/relearn.parquet")]
    wanted += [made.cell(c, "quantized.parquet") for c in ("npo+kl", "ga_exploding+none")]
    targets = [path.relative_to(folder) for path in wanted]
    targets += [made.path("report/index.html").relative_to(folder)]
    log = made.snakemake("--cores", 2, *targets, more_config=[str(more)])
    assert "rule unlearn:" not in log and "rule finetune:" not in log
    return made


def test_all_relearn_the_same_rows_and_are_looked_at_on_the_others(run):
    paths = [run.cell(cell, "relearn") for cell in CELLS] + [run.path(f"{REFERENCE}/relearn")]
    records = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    (rows,) = {tuple(record["rows"]) for record in records}
    forget = pd.read_parquet(run.path("data/forget10.parquet"))["row"].tolist()
    assert len(rows) == 2 and set(rows) < set(forget)
    assert {record["settings"]["rows"] for record in records} == {2}
    frames = [pd.read_parquet(path.with_suffix(".parquet")) for path in paths]
    for path, frame, record in zip(paths, frames, records, strict=True):
        assert list(frame.columns) == [*CELL, "epoch", "metric", "dataset", "value"]
        assert set(frame["epoch"]) == {0, 1, 2}
        assert set(frame["dataset"]) == {"other", "relearned", "retain"}
        lost = "ga_exploding" in str(path)
        assert frame["value"].isna().all() == lost and frame["value"].notna().all() != lost
        assert record["updates"] == (0 if lost else 2)
        assert "weights" in record and "packages" in record
    assert frames[-1]["objective"].eq("retain_model").all()
    risks = frames[0].query("metric == 'risk' and dataset == 'relearned'").set_index("epoch")
    assert risks.loc[2, "value"] < risks.loc[0, "value"], "what is learnt again is known better"


def test_the_model_before_is_the_one_that_was_evaluated(run):
    samples = pd.read_parquet(run.cell("npo+kl", "samples.parquet")).query("dataset == 'unlearn'")
    record = json.loads(run.cell("npo+kl", "relearn.json").read_text())
    others = samples[~samples["row"].isin(record["rows"])]
    table = pd.read_parquet(run.cell("npo+kl", "relearn.parquet")).query("epoch == 0")
    found = table[table["dataset"].eq("other")].set_index("metric")["value"]
    assert len(others) == 2
    for name in ("es_exact", "em"):
        assert found[name] == pytest.approx(others[name].mean())
    ratios = others["truth_ratio_geometric"]
    assert found["truth_ratio"] == pytest.approx(np.minimum(ratios, 1 / ratios).mean(), rel=1e-4)
    metrics = pd.read_parquet(run.cell("npo+kl", "metrics.parquet"))
    metrics = metrics.set_index(["metric", "dataset"])["value"]
    retained = table.set_index(["metric", "dataset"])["value"]
    assert retained["es_exact", "retain"] == pytest.approx(metrics["es_exact", "retain"])
    rounded = pd.read_parquet(run.cell("npo+kl", "quantized.parquet"))
    whole = rounded[rounded["bits"].eq(32)].set_index(["metric", "dataset"])["value"]
    for key in whole.index.drop([("risk", "unlearn"), ("risk", "retain")]):
        assert whole[key] == pytest.approx(metrics[key], rel=1e-4), key
    assert set(rounded["bits"]) == {32, 8, 4}
    shares = json.loads(run.cell("npo+kl", "quantized.json").read_text())["rounded"]
    assert set(shares) == {"8", "4"} and all(0 < share < 1 for share in shares.values())
    lost = pd.read_parquet(run.cell("ga_exploding+none", "quantized.parquet"))
    assert len(lost) == len(rounded) and lost["value"].isna().all()


def test_the_table_sets_cells_beside_their_retain_model(run):
    cells = pd.concat(pd.read_parquet(run.cell(c, "relearn.parquet")) for c in CELLS)
    keys = cells[CELL].drop_duplicates().to_dict("records")
    results = results_of(run.path("."), keys)
    gains = relearning(results.frame("relearn"))
    assert set(gains["objective"]) == {c.split("+")[0] for c in CELLS} | {"retain_model"}
    table = relearn.table(results).set_index(["objective", "regularizer"])
    for cell in FINITE:
        row = table.loc[tuple(cell.split("+"))]
        assert row["status"] == "ok" and 0 <= row["risk_robustness"] <= 1 and row["speed"] > 0
    assert table.loc[("ga_exploding", "none"), "status"] == "diverged"
