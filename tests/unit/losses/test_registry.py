"""The registry: a file dropped into a folder is found, and read without being imported."""

import shutil
import sys
from pathlib import Path

import pytest

from geffect.errors import ConfigError, LossError
from geffect.losses import registry

PACKAGE = Path(registry.__file__).parents[1]

GOOD = '''"""An objective."""

HYPERPARAMETERS = {"gamma": {"type": "number", "minimum": 0}}
NEEDS = ["reference_logp"]
REDUCTION = "sample"

raise RuntimeError("the registry imported this file")


def loss(view, gamma):
    return gamma * view.per_sample(view.logp)
'''
WITH_LAYER = GOOD.replace('"gamma"', '"layer"')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The objectives of a copied package."""
    copied = tmp_path / "geffect"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "__file__", str(copied / "losses" / "registry.py"))
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
    papers = {"ga", "wga", "npo", "tnpo", "wtnpo", "po", "rmu"}
    assert papers <= set(registry.catalogue("objective"))
    assert {"nll", "kl", "rr"} <= set(registry.catalogue("regularizer"))


ANY, POSITIVE = {"type": "number", "minimum": 0}, {"type": "number", "exclusiveMinimum": 0}
LAYER = {"type": "integer", "minimum": 1}
DECLARED = {
    "ga": ({}, set(), "token", None, True),
    "wga": ({"alpha": ANY}, set(), "token", None, True),
    "npo": ({"beta": POSITIVE}, {"reference_logp"}, "sample", None, True),
    "tnpo": ({"beta": POSITIVE}, {"reference_logp"}, "token", None, True),
    "wtnpo": ({"alpha": ANY, "beta": POSITIVE}, {"reference_logp"}, "token", None, True),
    "po": ({}, {"refusals"}, "token", None, True),
    "rmu": (
        {"layer": LAYER, "c": POSITIVE, "normalize": {"type": "boolean", "default": False}},
        {"hidden_states", "control_vector"},
        "token",
        None,
        False,
    ),
    "nll": ({}, set(), "token", None, False),
    "kl": ({}, {"reference_logits"}, "token", 0, False),
    "rr": ({"layer": LAYER}, {"hidden_states", "reference_hidden_states"}, "token", 0, False),
}


@pytest.mark.parametrize("name", DECLARED)
def test_the_papers_losses_declare_their_ranges_and_what_they_look_at(name):
    kind = "regularizer" if name in ("nll", "kl", "rr") else "objective"
    spec = registry.get(kind, name)
    found = (spec.hyperparameters, set(spec.needs), spec.reduction, spec.minimum, spec.weighted)
    assert found == DECLARED[name]
    assert spec.positions == (("labels", "all") if name == "kl" else ("labels",))


def test_losses_are_listed_by_name_whatever_the_file_system_says(folder, monkeypatch):
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *given: sorted(glob(*given), reverse=True))
    names = list(registry.catalogue("objective"))
    assert names == sorted(names) and len(names) > 1


def test_a_dropped_file_is_found_without_importing_it(folder):
    (folder / "mine.py").write_text(GOOD)
    before = set(sys.modules)
    spec = registry.get("objective", "mine")
    assert not {m for m in set(sys.modules) - before if m.startswith("geffect.objectives")}
    assert spec == registry.Declaration(
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


def test_a_file_with_nothing_but_a_loss_is_enough(folder):
    (folder / "mine.py").write_text("def loss(view):\n    return view.logp\n")
    spec = registry.get("objective", "mine")
    assert (spec.hyperparameters, spec.needs, spec.reduction) == ({}, frozenset(), "token")
    assert (spec.minimum, spec.positions, spec.weighted) == (None, ("labels",), False)


def test_an_absent_loss_is_named(folder):
    (folder / "mine.py").write_text(GOOD.replace("def loss", "def los"))
    refused("defines no loss(); see an existing objective")


def test_an_unknown_need_is_named_with_the_known_ones(folder):
    (folder / "mine.py").write_text(GOOD.replace('["reference_logp"]', '["reference_logit"]'))
    refused("NEEDS has an unknown entry 'reference_logit'; known: reference_logp, ")


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
    with pytest.raises(
        ConfigError, match=r"^unknown objective 'gaa'; did you mean '\w+'\?; or name a file"
    ):
        registry.get("objective", "gaa")


def test_an_unknown_name_far_from_all_is_refused_with_the_list():
    with pytest.raises(
        ConfigError, match=r"^unknown regularizer 'xyzzy'; known: .*kl, .*nll, .*rr"
    ):
        registry.get("regularizer", "xyzzy")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_what_a_file_declares_is_what_it_defines(kind):
    for spec in registry.catalogue(kind).values():
        module = spec.module()
        assert callable(module.loss)
        assert spec.weighted == hasattr(module, "weight")
        assert spec.hyperparameters == getattr(module, "HYPERPARAMETERS", {})
        assert spec.needs == set(getattr(module, "NEEDS", []))
        assert spec.reduction == getattr(module, "REDUCTION", "token")
        assert spec.minimum == getattr(module, "MINIMUM", None)


def test_pairs_have_a_value_each(folder):
    path = folder / "mine.py"
    path.write_text(GOOD.replace('"reference_logp"', '"refusal_pairs"'))
    assert registry.get("objective", "mine").needs == {"refusal_pairs"}
    path.write_text(path.read_text().replace('"sample"', '"token"'))
    registry.catalogue.cache_clear()
    refused('refusal_pairs needs REDUCTION = "sample"')


def test_a_regularizer_has_refusals_beside_answers_and_not_in_their_place(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace("reference_logp", "refusals"))
    assert registry.get("objective", str(path)).needs == {"refusals"}
    with pytest.raises(ConfigError, match=r"mine\.py: refusals replace .*; need refusal_pairs"):
        registry.get("regularizer", str(path))
    path.write_text(GOOD.replace("reference_logp", "refusal_pairs"))
    assert registry.get("regularizer", str(path)).needs == {"refusal_pairs"}


def test_a_weight_for_both_refusals_and_runners_up_is_not_defined(folder):
    needs = GOOD.replace('"reference_logp"', '"refusal_pairs", "runner_up"')
    (folder / "mine.py").write_text(needs)
    assert registry.get("objective", "mine").needs == {"refusal_pairs", "runner_up"}
    registry.catalogue.cache_clear()
    (folder / "mine.py").write_text(needs + "\n\ndef weight(view, gamma):\n    return view.logp\n")
    refused("a weight() for refusal_pairs and runner_up is not defined; need one of them")


def test_what_has_a_default_may_be_left_out(folder):
    fragment = '"type": "number", "minimum": 0'
    (folder / "mine.py").write_text(GOOD.replace(fragment, fragment + ', "default": 0.5'))
    assert registry.get("objective", "mine").defaults == {"gamma": 0.5}
    assert registry.get("objective", "ga").defaults == {}


def test_positions_are_labels_or_all(folder):
    (folder / "mine.py").write_text(GOOD + '\nPOSITIONS = ["labels", "some"]\n')
    refused("POSITIONS has an unknown entry 'some'; known: labels, all")


# Files outside of the package, named by path.
OWN = '''"""Mine."""

from torch import tanh

HYPERPARAMETERS = {"alpha": {"type": "number"}}


def loss(view, alpha):
    """tanh(α log p_i): [B, T]."""
    return tanh(alpha * view.logp)
'''


def test_a_file_named_by_path_is_found_and_imported_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.py").write_text(OWN)
    for name in ("own/mine.py", str(tmp_path / "own/mine.py")):
        spec = registry.get("objective", name)
        assert spec.path == tmp_path / "own/mine.py"
        assert spec.name == "mine"
        assert list(spec.hyperparameters) == ["alpha"]
        assert spec.module().__file__ == str(spec.path)
    assert "mine" not in registry.catalogue("objective")


def test_an_edited_file_is_imported_anew(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    first = registry.get("objective", str(path)).module()
    path.write_text(OWN.replace("tanh(alpha", "tanh(2 * alpha"))
    second = registry.get("objective", str(path)).module()
    assert first is not second
    assert registry.get("objective", str(path)).module() is second


def test_a_path_to_no_file_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"objective nowhere/mine\.py: there is no such file"):
        registry.get("objective", "nowhere/mine.py")


def test_a_file_that_cannot_be_imported_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN.replace("import tanh", "import no_such_function"))
    spec = registry.get("objective", str(path))
    with pytest.raises(LossError, match=r"mine\.py: cannot be imported \(ImportError"):
        spec.module()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.py: cannot be read as Python"):
        registry.get("objective", str(path))
