"""Configuration files that cannot be used; values get the types that the configuration wants."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from geffect.config import Config
from geffect.config.given import check_value, read_file, use_given
from geffect.errors import ConfigError

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
        ("compute={threads: 2, device: cuda:0}", ["compute", "threads"], 2),
        ("compute={tf32: true}", ["compute", "tf32"], True),
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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"null", "is empty"),
        (b"- a\n- b\n", "holds a list"),
        (b"[1, 2]", "holds a list"),
        (b"some words\n", "holds a single value"),
        ("run: caf\u00e9\n".encode("latin-1"), "not UTF-8"),
        (b"run: x\n\n  data: 1\n", "line 3: not YAML"),
        (b"run: [1,\n", "line 2: not YAML"),
        (b"run:\n\tdata: 1\n", "line 2: not YAML"),
        (b"run: !!python/tuple [1]\n", "line 1: not YAML"),
        (b"run: x\x00\n", "not YAML"),
        (b"run: x\n\nrun: y\n", "line 3: 'run' appears for the second time"),
        (b"a:\n  b: {c: 1, d: 2, c: 3}\n", "line 2: 'c' appears for the second time"),
        (b"grid:\n- {x: 1}\n- {y: 1,\n   y: 2}\n", "line 4: 'y' appears for the second time"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(content, told, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_file(path, "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: {told}") and "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"^x: no such file"):
        read_file(tmp_path / "nowhere.yaml", "x")
    with pytest.raises(ConfigError, match=r"^x: is a folder"):
        read_file(tmp_path, "x")


@pytest.mark.parametrize(
    "text", ["a: {b: 1}\nc: {b: 1}\n", '{"a":\n\t{"b": 1}, "c": {"b": 1}}', "a: &x {b: 1}\nc: *x\n"]
)
def test_yaml_json_and_anchors_are_read(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert read_file(path, "mine.yaml") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run", "no value; write run=VALUE"),
        ("=x", "'' is not a key"),
        ("1x=2", "'1x' is not a key"),
        ("data.source=hub", "'data.source' is not a key; write 'data={source: hub}'"),
        ("a1.b2.c3=d=e", "'a1.b2.c3' is not a key; write 'a1={b2: {c3: d=e}}'"),
    ],
)
def test_a_value_without_a_key_is_told_with_what_to_write(text, told):
    with pytest.raises(ConfigError, match=f"^--config: {re.escape(told)}"):
        check_value(text, "--config")


@pytest.mark.parametrize("text", ["run=x", "run=", "only={seeds: [42]}", "keep_models=a=b"])
def test_what_snakemake_takes_is_not_refused(text):
    check_value(text, "--config")
    assert parse_config([text])
