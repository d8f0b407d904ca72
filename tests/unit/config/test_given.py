"""Values of the command line get the types that the configuration wants."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from geffect.config import Config
from geffect.config.given import use_given

PAPER = yaml.safe_load((Path(__file__).resolve().parents[3] / "config.yaml").read_text())


def configured(*arguments):
    """The paper's configuration with arguments of --config, as the workflow sees it."""
    given, config = parse_config(arguments), copy.deepcopy(PAPER)
    update_config(config, given)
    use_given(config, given)
    return config


@pytest.mark.parametrize(
    ("argument", "path", "value"),
    [
        ("only={seeds: [42]}", ["only", "seeds"], [42]),
        ("only={objectives: [wga]}", ["only", "objectives"], ["wga"]),
        ("geffect={in_run: true}", ["geffect", "in_run"], True),
        ("geffect={tokens: False}", ["geffect", "tokens"], False),
        ("evaluation={max_rows: 3}", ["evaluation", "max_rows"], 3),
        ("evaluation={max_rows: null}", ["evaluation", "max_rows"], None),
        (
            "training={unlearn: {learning_rate: 1e-3}}",
            ["training", "unlearn", "learning_rate"],
            1e-3,
        ),
        ("objectives={wga: {alpha: 2}}", ["objectives", "wga", "alpha"], 2),
        (
            "objectives={wga: {splits: {forget10: {alpha: 0.5}}}}",
            ["objectives", "wga", "splits", "forget10", "alpha"],
            0.5,
        ),
        ("models={phi-1_5: {resources: {gpus: 2}}}", ["models", "phi-1_5", "resources", "gpus"], 2),
        ("regularizers={kl: {coefficient: 2}}", ["regularizers", "kl", "coefficient"], 2),
        ("run=2024", ["run"], "2024"),
        ("run=second", ["run"], "second"),
        ("keep_models=false", ["keep_models"], False),
        ("compute={threads: 2, device: cuda:0}", ["compute"], {"threads": 2, "device": "cuda:0"}),
    ],
)
def test_types_follow_the_schema(argument, path, value):
    config = configured(argument)
    found = config
    for key in path:
        found = found[key]
    assert found == value and type(found) is type(value)
    Config(config)


def test_entries_of_a_models_own_configuration_are_what_yaml_makes_of_them():
    given = "models={phi-1_5: {config: {hidden_size: 16, tie: false, act: gelu, eps: 1.0e-5}}}"
    expected = {"hidden_size": 16, "tie": False, "act": "gelu", "eps": 1e-5}
    assert configured(given)["models"]["phi-1_5"]["config"] == expected


def test_what_has_no_wanted_type_stays_text():
    assert configured("only={seeds: [x]}")["only"]["seeds"] == ["x"]
    assert configured("geffect={in_run: maybe}")["geffect"]["in_run"] == "maybe"


def test_files_keep_their_own_types():
    config = copy.deepcopy(PAPER)
    config["run"] = "42"
    use_given(config, {"results": "elsewhere", "nonsense": "1"})
    assert config["run"] == "42"
