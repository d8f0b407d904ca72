"""The command that says what a grid costs."""

import json
import re
from pathlib import Path

import pytest

from geffect.config import Config
from geffect.config.given import read_file
from geffect.cost.cards import CARDS
from geffect.cost.command import configuration, main, summary
from geffect.cost.plan import Plan

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(capsys, *arguments):
    main(list(arguments))
    return capsys.readouterr().out


def card_hours(text):
    return float(re.search(r": ([0-9.]+) card-hours", text)[1])


def test_the_papers_grid_is_shown_by_model_and_stage(capsys):
    text = run(capsys)
    for word in ("phi-1_5", "llama-2-7b", "finetune", "unlearn", "A100-80GB", "disk:", "peak GB"):
        assert word in text
    assert card_hours(run(capsys, "--card", "H200")) < card_hours(text)


def test_a_configuration_is_merged_and_values_are_typed(capsys):
    whole = run(capsys, "--configfile", "config/demo.yaml")
    assert "tiny-phi" in whole and "llama" not in whole
    value = "models={tiny-phi: {resources: {gpus: 2}}}"
    values = ("--config", value, "matched={evaluate: false}")
    text = run(capsys, "--configfile", "config/demo.yaml", *values)
    assert "matched" in whole and "matched" not in text
    assert re.search(r"unlearn +14 +2 ", text)


def test_a_card_that_is_too_small_is_told_with_the_number_that_it_takes(capsys):
    llama = "models={{llama-2-7b: {{offload: [], resources: {{gpus: {}}}}}}}"
    value, outside = llama.format(1), "geffect={in_run: false}"
    text = run(capsys, "--config", value, outside)
    assert re.search(r"llama-2-7b: unlearn holds \d+ GB a card on 1, more than A100-80GB", text)
    needed = int(re.search(r"unlearn holds .* it needs (\d) cards", text)[1])
    assert needed > 1
    value = llama.format(needed)
    assert "unlearn holds" not in run(capsys, "--config", value, outside)


def test_records_of_a_run_win_over_what_is_counted(capsys, tmp_path):
    logs = tmp_path / "logs/unlearn"
    logs.mkdir(parents=True)
    usage = {"peak_gpu_mib": None, "peak_memory_mib": 900}
    for number, (state, seconds) in enumerate([("done", 100), ("done", 300), ("failed", 9000)]):
        record = {"state": state, "wall_seconds": seconds, **usage}
        (logs / f"tiny-phi_{number}.json").write_text(json.dumps(record))
    (logs / "another_0.json").write_text(json.dumps({"state": "done", "wall_seconds": 1, **usage}))
    given = ("--configfile", "config/demo.yaml", "--measured", str(tmp_path))
    text = run(capsys, *given)
    line = next(line for line in text.splitlines() if "(2 measured)" in line)
    assert re.search(rf" 14 +0 +{14 * 200 / 3600:.2f} +0:03 h +0\.94 ", line)
    jobs = Plan(Config(configuration(["config/demo.yaml"], []))).jobs
    seconds = [job.seconds(CARDS["A100-80GB"]) for job in jobs if job.stage == "unlearn"]
    ratio = sum(seconds) / len(seconds) / 200
    assert f"counted, as a multiple of measured: tiny-phi unlearn {ratio:.2f}\n" in text


def test_a_plan_is_summed_up_in_a_line_where_it_needs_gpus(capsys):
    plan = Plan(Config(configuration([], [])))
    (line,) = summary(plan, None)
    table = run(capsys)
    jobs, hours = re.search(
        r"^(\d+) jobs on A100-80GB .*: ([0-9.]+) card-hours", table, re.M
    ).groups()
    kept = re.search(r"disk: ([0-9.]+) GB stay", table)[1]
    peak = max(float(p) for p in re.findall(r" ([0-9.]+)  [a-z ]+ [0-9.]+, ", table))
    assert f"{jobs} jobs on GPUs, about {round(float(hours))} GPU-hours of A100-80GB" in line
    assert f"up to {round(peak)} GB a GPU, {round(float(kept))} GB of disk" in line
    assert summary(Plan(Config(configuration(["config/demo.yaml"], []))), None) == []


def test_the_card_that_is_named_is_counted_on_and_held_against_the_plan(capsys):
    plan = Plan(Config(configuration([], [])))
    assert len(summary(plan, CARDS["A100-80GB"])) == 1
    line, warning = summary(plan, CARDS["A100-40GB"])
    assert "A100-40GB" in line
    assert re.match(r"compute.card: [a-z0-9._-]+: \w+ holds \d+ GB a card on \d", warning)
    named = run(capsys, "--config", "compute={card: H200}")
    assert named == run(capsys, "--card", "H200") != run(capsys)
    assert run(capsys, "--config", "compute={card: H200}", "--card", "A100-80GB") == run(capsys)


def test_the_configuration_knows_the_cards():
    schema = read_file(str(ROOT / "workflow/geffect/config/schema.yaml"), "schema")
    known = schema["properties"]["compute"]["properties"]["card"]["enum"]
    assert known == [None, *CARDS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--card", "A100-80"], "--card A100-80: unknown; did you mean 'A100-80GB'"),
        (["--flops", "1e12"], "give both"),
        (["--flops", "1e12", "--gb", "0"], "--gb 0: not a positive number"),
        (["--flops", "1e12", "--gb", "8", "--card", "H100"], "a --card alone"),
        (["--utilisation", "1.5"], "--utilisation 1.5: more than 1"),
        (["--configfile", "absent.yaml"], "absent.yaml: no such file"),
        (["--config", "geffect"], "no value"),
        (["--config", "run=x", "--config", "run=y"], "--config: is given 2 times"),
        (["--config", "geffect={in_run: maybe}"], "geffect.in_run"),
        (["--measured", "absent"], "--measured absent: no finished job"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert str(ended.value).startswith("error: ") and message in str(ended.value)
    assert len(str(ended.value).splitlines()) == 1
