"""Models that were fine-tuned elsewhere: the nano run's own, given to another run as folders."""

import json
import shutil

import pandas as pd
import pytest
import yaml
from checkout import NANO

pytestmark = pytest.mark.slow

SMALL = {
    "run": "given",
    "geffect": {
        "in_run": True,
        "instances": False,
        "tokens": False,
        "probes": {"objectives": [], "regularizers": []},
    },
    "matched": {"evaluate": False},
    "training": {"unlearn": {"epochs": 3}},
}


@pytest.fixture(scope="module")
def given(local_run, tmp_path_factory):
    """A function: writes a configuration of models by what is given of them; returns its path."""
    folder = tmp_path_factory.mktemp("models")
    models = local_run.path("models/nano-phi")
    for corpus in ("full", "retain90"):
        shutil.copytree(models / corpus / "seed3/model", folder / corpus)

    def write(name="given.yaml", **finetuned):
        nano = yaml.safe_load(NANO.read_text())["models"]["nano-phi"]
        kept = {key: nano[key] for key in ("template", "resources", "unlearn")}
        cells = {"splits": ["forget10"], "objectives": ["ga"], "regularizers": ["none"]}
        config = {
            **SMALL,
            "models": {m: {"finetuned": given, **kept} for m, given in finetuned.items()},
            "grid": [{"models": list(finetuned), **cells, "seeds": [3]}],
        }
        (folder / name).write_text(yaml.safe_dump(config))
        return folder / name

    return folder, write


def test_a_grid_of_given_models_trains_none_and_says_where_they_are_from(local_run, given):
    folder, write = given
    both = {corpus: str(folder / corpus) for corpus in ("full", "retain90")}
    config = write(both=both, alone={"full": both["full"], "retain90": "missing"})
    local_run.snakemake("--cores", 2, more_config=[config])
    made = local_run.folder / "results/given"

    paths = (made / "models").rglob("record.json")
    records = {path.parent: json.loads(path.read_text()) for path in paths}
    taken = {str(path.relative_to(made / "models")): record for path, record in records.items()}
    assert set(taken) == {"both/full/seed3", "both/retain90/seed3", "alone/full/seed3"}
    assert not list(made.glob("models/*/base")) and not list(made.rglob("logs/finetune"))
    for place, record in taken.items():
        corpus = place.split("/")[1]
        assert record["settings"]["given"] == {"path": both[corpus]}
        own = (made / "models" / place / "model/config.json").read_bytes()
        assert own == (folder / corpus / "config.json").read_bytes()

    cell = json.loads((made / "cells/both/forget10/ga+none/seed3/provenance.json").read_text())
    assert cell["settings"]["given"] == {"path": both["full"]}
    name = "model.safetensors"
    hashes = taken["both/full/seed3"]["settings"]["content"]
    assert cell["weights"]["original"][name] == hashes[name]
    table = pd.read_csv(made / "tables/provenance.csv").set_index(["model", "objective", "stage"])
    assert table.loc[("both", "retain_model", "evaluate"), "given"] == both["retain90"]
    assert table.loc[("alone", "ga", "unlearn"), "given"] == both["full"]
    assert ("alone", "retain_model") not in table.index.droplevel("stage")

    main = pd.read_csv(made / "tables/main.csv").set_index(["model", "objective"])
    assert main.loc[("alone", "retain_model"), "status"] == "missing"
    assert main.loc[("both", "retain_model"), "status"] == "ok"
    assert main["fq"].isna().groupby("model").all().to_dict() == {"alone": True, "both": False}
    assert main.loc[("alone", "ga"), "status"] == "ok" and main.loc["alone"]["mu"].notna().any()
    privacy = pd.read_csv(made / "tables/privacy.csv").set_index("model")
    compared = ["mia_reference", "privleak"]
    assert privacy.loc["alone", compared].isna().all(axis=None)
    assert privacy.loc["alone", "mia_min_k"].notna().all()
    reason = "alone: the configuration says that there is no model of retain90"
    for page in ("tables/main.md", "tables/privacy.md", "report/tables.html"):
        text = (made / page).read_text()
        assert reason in text and "both: the configuration" not in text, page


def test_other_content_plans_cells_again_and_other_times_do_not(local_run, given):
    folder, _ = given
    config = folder / "given.yaml"
    assert local_run.planned(more_config=[config]) == {}
    weights = folder / "full/model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before)
    assert local_run.planned(more_config=[config]) == {}
    try:
        weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        planned = local_run.planned(more_config=[config])
    finally:
        weights.write_bytes(before)
    assert "take_model" in planned and planned["unlearn"] == {"ga+none"}
    assert "finetune" not in planned and "evaluate_reference" in planned


def test_what_is_not_named_is_trained(local_run, given):
    folder, write = given
    nano = yaml.safe_load(NANO.read_text())["models"]["nano-phi"]
    config = folder / "partly.yaml"
    of_grid = yaml.safe_load(write("all.yaml", mine={"full": str(folder / "full")}).read_text())
    of_grid["models"]["mine"] = {**nano, **of_grid["models"]["mine"]}
    config.write_text(yaml.safe_dump({**of_grid, "run": "partly"}))
    output = local_run.snakemake("-n", "--quiet", "rules", "--cores", 2, more_config=[config])
    counts = dict(line.split() for line in output.splitlines() if len(line.split()) == 2)
    assert (counts["finetune"], counts["take_model"], counts["base_training"]) == ("1", "1", "1")
