"""Nothing that a configuration or a file says is ever run as code."""

import ast
import copy
from pathlib import Path

import pytest
import yaml

from geffect.config import Config
from geffect.errors import ConfigError

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "workflow").rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
FORBIDDEN = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
CALLS = {"eval", "exec", "compile", "torch.load", "os.system", "os.popen", "yaml.load"}


@pytest.mark.parametrize("path", SOURCES, ids=[str(p.relative_to(ROOT)) for p in SOURCES])
def test_the_library_unpickles_nothing_and_runs_no_text(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not FORBIDDEN & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in CALLS, ast.unparse(node)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert keywords.get("shell", "False") == "False"
            assert keywords.get("trust_remote_code", "False") == "False"
            if ast.unparse(node.func).endswith("ModelForCausalLM.from_pretrained"):
                assert keywords["use_safetensors"] == "True"


def test_no_rule_builds_a_shell_command():
    for path in RULES:
        words = {line.strip().partition(":")[0] for line in path.read_text().splitlines()}
        assert not words & {"shell", "run"}, path.name


UNSAFE = ["../up", "a b", "a;rm", "$(id)", "-flag", "a/b", "a+b", "ä", "a\nb", "a\n", ""]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("place", ["run", "models", "objectives", "regularizers", "templates"])
def test_names_that_become_paths_are_of_a_safe_alphabet(place, name):
    raw = copy.deepcopy(yaml.safe_load((ROOT / "config.yaml").read_text()))
    if place == "run":
        raw["run"] = name
    else:
        raw[place][name] = next(iter(raw[place].values()))
    with pytest.raises(ConfigError):
        Config(raw)


@pytest.mark.parametrize("results", ["$HOME/x", "x;y", "x'y", "", "x\ny", "x\n"])
def test_the_root_of_the_results_is_of_a_safe_alphabet(results):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    with pytest.raises(ConfigError, match="results"):
        Config(raw | {"results": results})
