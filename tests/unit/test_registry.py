"""The registry: a file dropped into a folder is found, and read without being imported."""

import shutil
import sys
from pathlib import Path

import pytest

from geffect import registry
from geffect.errors import ConfigError

PACKAGE = Path(registry.__file__).parent

GOOD = '''"""An objective."""

HYPERPARAMETERS = {"gamma": {"type": "number", "minimum": 0}}
NEEDS = ["reference_logp"]
REDUCTION = "sample"

raise RuntimeError("the registry imported this file")


def loss(view, gamma):
    return view.over_samples(gamma * view.per_sample(view.logp))
'''
WITH_LAYER = GOOD.replace('"gamma"', '"layer"')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The objectives of a copied package."""
    copied = tmp_path / "geffect"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "__file__", str(copied / "registry.py"))
    registry.catalogue.cache_clear()
    yield copied / "objectives"
    registry.catalogue.cache_clear()


def refused(*fragments):
    with pytest.raises(ConfigError) as caught:
        registry.catalogue("objective")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for fragment in ("objectives/mine.py: ", *fragments):
        assert fragment in message


def test_the_papers_objectives_and_regularizers_are_there():
    assert set(registry.catalogue("objective")) == {
        "ga",
        "wga",
        "npo",
        "tnpo",
        "wtnpo",
        "po",
        "rmu",
    }
    assert set(registry.catalogue("regularizer")) == {"nll", "kl", "rr"}


def test_a_dropped_file_is_found_without_importing_it(folder):
    (folder / "mine.py").write_text(GOOD)
    before = set(sys.modules)
    spec = registry.get("objective", "mine")
    assert not {m for m in set(sys.modules) - before if m.startswith("geffect.objectives")}
    assert spec == registry.Spec(
        name="mine",
        kind="objective",
        path=folder / "mine.py",
        hyperparameters={"gamma": {"type": "number", "minimum": 0}},
        needs=frozenset({"reference_logp"}),
        reduction="sample",
        weighted=False,
        minimum=None,
        positions=("labels",),
    )
    assert set(registry.catalogue("objective")) > {"mine", "ga"}
    assert "mine" not in registry.catalogue("regularizer")


def test_a_weight_and_a_minimum_are_noticed(folder):
    extra = "\nMINIMUM = 0\n\n\ndef weight(view, gamma):\n    return gamma * view.logp\n"
    (folder / "mine.py").write_text(GOOD + extra)
    spec = registry.get("objective", "mine")
    assert spec.weighted
    assert spec.minimum == 0


def test_files_with_a_leading_underscore_are_no_objectives(folder):
    (folder / "_helpers.py").write_text("SHARED = 1\n")
    assert "_helpers" not in registry.catalogue("objective")
    assert "__init__" not in registry.catalogue("objective")


@pytest.mark.parametrize("name", ["HYPERPARAMETERS", "NEEDS", "REDUCTION"])
def test_an_absent_declaration_is_named(folder, name):
    (folder / "mine.py").write_text(GOOD.replace(f"{name} = ", f"OTHER_{name} = "))
    refused(f"{name} is missing; see an existing objective")


def test_an_absent_loss_is_named(folder):
    (folder / "mine.py").write_text(GOOD.replace("def loss", "def los"))
    refused("loss() is missing")


def test_everything_absent_is_named_at_once(folder):
    (folder / "mine.py").write_text("")
    refused("HYPERPARAMETERS, NEEDS, REDUCTION, loss() is missing")


def test_an_unknown_need_is_named_with_the_known_ones(folder):
    (folder / "mine.py").write_text(GOOD.replace('["reference_logp"]', '["reference_logit"]'))
    refused("unknown need 'reference_logit'; known: reference_logp, ")


def test_an_unknown_reduction_is_named_with_the_known_ones(folder):
    (folder / "mine.py").write_text(GOOD.replace('"sample"', '"batch"'))
    refused("REDUCTION must be one of token, sample")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('NEEDS = ["reference_logp"]', "NEEDS"),
        ('REDUCTION = "sample"', "REDUCTION"),
        ('HYPERPARAMETERS = {"gamma": {"type": "number", "minimum": 0}}', "HYPERPARAMETERS"),
    ],
)
def test_a_declaration_that_is_no_literal_is_named(folder, line, name):
    (folder / "mine.py").write_text(GOOD.replace(line, f"{name} = compute()"))
    refused(f"{name} must be a literal")


def test_a_minimum_that_is_no_literal_is_named(folder):
    (folder / "mine.py").write_text(GOOD + "\nMINIMUM = compute()\n")
    refused("MINIMUM must be a literal")


@pytest.mark.parametrize("need", ["hidden_states", "reference_hidden_states", "control_vector"])
def test_hidden_states_without_a_layer_are_refused(folder, need):
    path = folder / "mine.py"
    path.write_text(GOOD.replace('"reference_logp"', f'"{need}"'))
    refused(f"{need} needs a hyper-parameter `layer`")
    path.write_text(WITH_LAYER.replace('"reference_logp"', f'"{need}"'))
    registry.catalogue.cache_clear()
    assert registry.get("objective", "mine").needs == {need}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def loss(view, gamma):", "def loss(view, gamma)"),
        ('NEEDS = ["reference_logp"]', "NEEDS = None"),
        ('NEEDS = ["reference_logp"]', "NEEDS = {[]: 1}"),
        ('HYPERPARAMETERS = {"gamma": {"type": "number", "minimum": 0}}', "HYPERPARAMETERS = 3"),
    ],
    ids=["syntax error", "needs None", "needs unhashable", "hyper-parameters of a wrong type"],
)
def test_a_file_that_cannot_be_read_is_named(folder, old, new):
    assert old in GOOD
    (folder / "mine.py").write_text(GOOD.replace(old, new))
    refused()


def test_an_unknown_name_is_refused_with_the_closest():
    with pytest.raises(ConfigError, match=r"^unknown objective 'gaa'; did you mean '\w+'\?$"):
        registry.get("objective", "gaa")


def test_an_unknown_name_far_from_all_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"^unknown regularizer 'xyzzy'; known: kl, nll, rr$"):
        registry.get("regularizer", "xyzzy")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_what_a_file_declares_is_what_it_defines(kind):
    for spec in registry.catalogue(kind).values():
        module = spec.module()
        assert callable(module.loss)
        assert spec.weighted == hasattr(module, "weight")
        assert spec.hyperparameters == module.HYPERPARAMETERS
        assert spec.needs == set(module.NEEDS)
