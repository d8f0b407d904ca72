"""Tables and figures are found by their files, and what they declare is checked."""

import re

import pytest
from made_up import PLAIN, SWEEPS, name_cell

from geffect.errors import ConfigError
from geffect.report import registry

FIGURE = '''"""A figure."""
TITLE = "A title"
CAPTION = ("What to look for, "
           "and what not.")
CATEGORY = "Mine"
READS = ["training"]
PER = "variant"


def draw(results, variant):
    """Nothing."""
    return variant
'''


def write(folder, text=FIGURE, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_anywhere_is_a_figure(tmp_path):
    path = write(tmp_path)
    catalogue = registry.catalogue(registry.FIGURE, (str(path),))
    declared = catalogue["mine"]
    assert declared.caption == "What to look for, and what not."
    assert (declared.title, declared.category, declared.per) == ("A title", "Mine", "variant")
    assert declared.reads == ("training",) and declared.draw(None, "ga") == "ga"
    assert set(catalogue) == {"mine", *registry.catalogue(registry.FIGURE)}


WRONG = {
    "no caption": ("CAPTION = (", "_ = (", "CAPTION must be a text"),
    "a misspelt frame": ('"training"', '"trainin"', "unknown entry 'trainin'; did you mean"),
    "no literal": ('["training"]', "[*names]", "READS must be a literal"),
    "no list": ('["training"]', '"training"', "READS must be a list"),
    "no function": ("def draw", "def paint", "defines no draw()"),
    "an unknown group": ('"variant"', '"cell"', "PER must be one of run, split"),
    "no Python": ("def draw(", "def draw[", "syntax error in line"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_file_lacks_is_said_in_one_line(name, tmp_path):
    old, new, said = WRONG[name]
    path = write(tmp_path, FIGURE.replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        registry.catalogue(registry.FIGURE, (str(path),))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_names_are_unique(tmp_path):
    path = write(tmp_path, name="trade_off.py")
    with pytest.raises(ConfigError, match="there is a figure 'trade_off' already"):
        registry.catalogue(registry.FIGURE, (str(path),))
    with pytest.raises(ConfigError, match="no such file"):
        registry.catalogue(registry.FIGURE, (str(tmp_path / "none.py"),))
    path = write(tmp_path, name="sweep_components_wga.py")
    figures = registry.catalogue(registry.FIGURE, (str(path),))
    cells = [name_cell("rmu")]
    variants = {"rmu": {"name": "rmu", "hyper": {}}, "b": {"name": "rmu", "hyper": {}}}
    assert "sweep_components_rmu" in registry.drawn(figures, cells, variants)


def test_names_of_figures_follow_the_cells():
    variants = PLAIN | SWEEPS
    cells = [name_cell(v, r) for v in variants for r in ("none", "kl")]
    found = registry.drawn(registry.catalogue(registry.FIGURE), cells, variants)
    for name in ("geffect_wga_a0.5", "compare_kl", "sweep_rmu", "trade_off", "outcome"):
        assert name in found
    assert found["sweep_wga"][1] == "wga" and found["trade_off"][1] is None
    assert "sweep_ga" not in found and not any(name.endswith("original") for name in found)
    of_run = registry.of_run(registry.catalogue(registry.FIGURE))
    assert list(of_run) == ["outcome"]


def test_two_figures_of_one_name_are_refused(tmp_path):
    path = write(tmp_path, FIGURE.replace('"variant"', '"split"'), name="compare_kl.py")
    figures = registry.catalogue(registry.FIGURE, (str(path),))
    with pytest.raises(ConfigError, match="both would be called 'compare_kl'"):
        registry.drawn(figures, [name_cell("ga", "kl")], {})


def test_what_reads_something_optional_is_made_only_where_it_is_given():
    tables = registry.catalogue(registry.TABLE)
    matched = {"matched", "matched_trace"}
    every = dict.fromkeys(registry.OPTIONAL, True)
    assert set(registry.asked(tables, every)) == set(tables)
    for name, lost in (("published", {"published"}), ("matched", matched)):
        assert set(registry.asked(tables, {**every, name: None})) == set(tables) - lost
    for name in ("relearn", "quantized"):
        assert set(registry.asked(tables, {**every, name: False})) == set(tables) - {name}
    figures = registry.catalogue(registry.FIGURE)
    assert set(figures) - set(registry.asked(figures, {})) == {"relearn"}


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_file_of_the_package_declares_a_caption_that_readers_can_use(kind):
    for declared in registry.catalogue(kind).values():
        assert (len(declared.title) < 60 and len(declared.caption) > 40) or kind == registry.TABLE
        # The captions of the report are reStructuredText: these would be markup.
        assert not re.search(r"[|*`]|\w_(\s|$)", declared.caption), declared.name
