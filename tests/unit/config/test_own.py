"""What a configuration knows of own files: splits by name, numbers of rows when it needs them."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from geffect.config import Config
from geffect.data import own
from geffect.data.splits import Split
from geffect.errors import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """The paper's configuration over two CSV files of 40 rows."""
    monkeypatch.chdir(tmp_path)
    for start, name in enumerate(("forget", "retain")):
        rows = [f"Question {start}{n}?,Answer {n}." for n in range(40)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["question,answer", *rows]))
    found = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    found["data"] |= {"source": "tables", "held_out_rows": 8}
    found["data"]["tables"]["splits"] = {"mine": {"forget": "forget.csv", "retain": "retain.csv"}}
    found["grid"] = [found["grid"][0] | {"splits": ["mine"], "objectives": ["ga", "wga"]}]
    found["geffect"]["probes"] = {"objectives": [], "regularizers": []}
    return json.loads(json.dumps(found))


def test_own_splits_have_tables_of_their_own_names(raw):
    config = Config(raw)
    names = ("mine", "retain_mine", "train_mine", "held_out_mine", "holdout_mine")
    assert config.known_splits == {"mine": Split(*names)}
    assert config.splits == ["mine"] and config.untrained_rows == 0
    tofu = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert Config(tofu).known_splits["forget05"] == Split(
        "forget05", "retain95", "retain95", "held_out", "holdout05"
    )
    assert Config(tofu).untrained_rows == 400


def test_files_are_read_by_the_main_process_and_where_a_number_is_needed(raw, monkeypatch):
    read = []
    original = own.read
    monkeypatch.setattr(own, "read", lambda *given: read.append(given) or original(*given))
    config = Config(raw)
    cell = config.cells[0]
    assert config.evaluated_steps(cell) == [] and not read
    assert config.measured_steps(cell)[-1] == 12  # 5 epochs of 40 rows, 16 at a time
    assert len(read) == 1
    config.check_files()
    assert len(read) == 2, "whatever was known before"
    assert (config.sizes.forget, config.sizes.trainable) == ({"mine": 40}, {"mine": 32})


def test_jobs_take_the_numbers_that_the_data_job_has_counted(raw):
    config = Config(raw)
    counted = own.read(raw["data"], ["mine"]).sizes.record()
    config.sizes_file.parent.mkdir(parents=True)
    for splits, wanted in (("mine", 7), ("other", 40)):
        record = copy.deepcopy(counted) | {"forget": {splits: 7}}
        config.sizes_file.write_text(json.dumps({"sizes": record, "gaps": {}}))
        assert Config(raw).sizes.forget["mine"] == wanted, "of another grid it is not taken"


def test_what_an_earlier_run_has_counted_decides_nothing(raw):
    raw["relearn"] = {"rows": 16}
    config = Config(raw)
    record = own.read(raw["data"], ["mine"]).sizes.record()
    config.sizes_file.parent.mkdir(parents=True)
    config.sizes_file.write_text(
        json.dumps({"sizes": record | {"forget": {"mine": 8}}, "gaps": {}})
    )
    Config(raw).check_files()
    raw["relearn"]["rows"] = 40
    config.sizes_file.write_text(
        json.dumps({"sizes": record | {"forget": {"mine": 400}}, "gaps": {}})
    )
    with pytest.raises(ConfigError, match="rows: 40 rows, but mine has only 40"):
        Config(raw).check_files()


@pytest.mark.parametrize("scratch", [False, True])
def test_a_given_model_needs_no_background_rows_to_start_from(raw, scratch):
    raw["data"]["tables"]["world_facts"] = None
    demo = yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8"))
    (start,) = demo["models"].values()
    if not scratch:
        start = {key: start[key] for key in ("template", "resources", "unlearn")}
    full = {"id": "somebody/model", "revision": 40 * "0"}
    start |= {"finetuned": {"full": full, "retain_mine": "missing"}, "layers": 3}
    raw["models"]["own"] = start
    raw["grid"][0]["models"] = ["own"]
    assert Config(raw).trained("own") == []


def test_variants_may_have_values_for_own_splits(raw):
    raw["objectives"]["wga"]["splits"]["mine"] = {"alpha": 3}
    config = Config(raw)
    assert config.loss("objective", "wga", "mine", "phi-1_5")["hyper"] == {"alpha": 3}
    raw["objectives"]["wga"]["splits"]["mien"] = {"alpha": 3}
    with pytest.raises(ConfigError, match="unknown split 'mien'; did you mean 'mine'"):
        Config(raw)
