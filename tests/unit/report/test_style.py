"""Figures are reproducible, fit the page, and can be read in print; what is missing shows."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from made_up import PLAIN, SWEEPS, draw, made_up_results, relearned, texts
from matplotlib.text import Text

from geffect.report import registry, style
from geffect.report.results import Results

SEED = int(os.environ["GEFFECT_TEST_SEED"])  # set by the conftest of all tests
EVERYTHING = PLAIN | SWEEPS
COLUMN = 3.3  # inches: of a page with two columns
LEAST = 7  # points: the smallest type that is legible in print
NAMES = [
    *(f"{figure}_ga" for figure in ("geffect", "change", "layers", "performance")),
    *("compare_none", "compare_kl", "trade_off", "predicted", "weights", "densities"),
    *("retain_objectives", "sweep_wga", "sweep_rmu", "sweep_components_rmu", "outcome", "relearn"),
]


def test_every_figure_of_the_catalogue_is_tried_here():
    families = {registry.catalogue(registry.FIGURE)[name] for name in _families()}
    assert families == set(registry.catalogue(registry.FIGURE).values())


def _families():
    known = registry.catalogue(registry.FIGURE)
    for name in NAMES:
        yield max((k for k in known if name == k or name.startswith(f"{k}_")), key=len)


@pytest.fixture(scope="module")
def everything():
    """Results with sweeps, and with a cell that is missing."""
    print(f"GEFFECT_TEST_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    missing = [("npo", "kl", 1)]
    return relearned(made_up_results(rng, EVERYTHING, seeds=(1,), missing=missing), rng, missing)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_fits_the_page_and_can_be_read_in_print(name, everything):
    figure = draw(everything, name)
    width, height = figure.get_size_inches()
    assert width == style.WIDTH and height < 9.5
    renderer = figure.canvas.get_renderer()
    box = figure.get_tightbbox(renderer)
    assert box.x0 > -0.03 and box.x1 < width + 0.03, "something leaves the page"
    assert box.y0 > -0.03 and box.y1 < height + 0.03, "something leaves the page"
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    assert min(sizes) * COLUMN / width >= LEAST
    for axes in figure.get_axes():
        drawn = axes.get_visible() and (axes.lines or axes.collections)
        if drawn and axes.get_label() != "<colorbar>":
            row = [a for a in figure.get_axes() if a.get_position().y0 == axes.get_position().y0]
            assert any(a.get_ylabel() for a in row), "an axis without a name"
    panels = [a.get_tightbbox(renderer) for a in figure.get_axes() if a.get_visible()]
    boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for number, box in enumerate(boxes):
        others = [*panels, *boxes[:number]]
        assert not any(box.overlaps(other) for other in others), "a legend or note hides something"


@pytest.mark.parametrize("name", NAMES)
def test_numbers_along_an_axis_do_not_run_into_one_another(name, everything):
    figure = draw(everything, name)
    renderer = figure.canvas.get_renderer()
    for axes in figure.get_axes():
        for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            low, high = sorted(axis.get_view_interval())
            labels = [
                tick.label1
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible()
                and tick.label1.get_text()
                and low <= tick.get_loc() <= high
            ]
            boxes = [label.get_window_extent(renderer) for label in labels]
            ends = sorted(getattr(box, f"interval{side}").tolist() for box in boxes)
            for (_, end), (start, _) in itertools.pairwise(ends):
                assert end <= start + 0.5, (axes.get_title(), [t.get_text() for t in labels])


@pytest.mark.parametrize("name", ["geffect_ga", "densities", "trade_off"])
def test_saving_twice_gives_equal_bytes(name, rng, tmp_path):
    seed = int(rng.integers(1 << 31))
    files = []
    for attempt in ("first", "second"):
        paths = [tmp_path / f"{attempt}.{suffix}" for suffix in ("pdf", "png")]
        style.save(draw(made_up_results(np.random.default_rng(seed)), name), paths)
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]
    pdf = files[0][0]
    assert b"CreationDate" not in pdf and b"/Type3" not in pdf


def test_an_unknown_file_type_is_refused_before_anything_is_written(rng, tmp_path):
    figure = draw(made_up_results(rng), "compare_none")
    with pytest.raises(ValueError, match=r"expected one of \.pdf, \.png, \.svg"):
        style.save(figure, [tmp_path / "a.png", tmp_path / "a.gif"])
    assert not list(tmp_path.iterdir())


# --- Gaps: what is missing shows, and everything else is drawn.


@pytest.fixture(scope="module")
def gappy():
    """Results of two seeds; GA without a regularizer lacks one, and po diverged."""
    print(f"GEFFECT_TEST_SEED={SEED}")
    return made_up_results(
        np.random.default_rng(SEED),
        missing=[("ga", "none", 2), ("ga", "kl", 1), ("ga", "kl", 2)],
        diverged=[("ga", "none", 1), ("po", "none", 1), ("po", "none", 2)],
    )


OF_GA = ["geffect_ga", "change_ga", "layers_ga", "performance_ga", "compare_none"]
OF_ALL = ["weights", "predicted", "outcome"]


def words(figure):
    """All text of a figure in one line."""
    return " ".join(text.replace("\n", " ") for text in texts(figure))


@pytest.mark.parametrize("name", [*OF_GA, *OF_ALL])
def test_missing_and_diverged_cells_are_named_and_the_others_drawn(name, gappy):
    figure = draw(gappy, name)
    shown = words(figure)
    assert "ga+none seed 2 is missing" in shown
    assert "ga+none seed 1 diverged at step 5" in shown
    assert any(axes.lines or axes.collections for axes in figure.get_axes())
    _assert_no_text_is_clipped(figure)


def _assert_no_text_is_clipped(figure):
    """Notes and what stands in empty panels are not laid out, so nothing else keeps them inside."""
    renderer = figure.canvas.get_renderer()
    for text in [*figure.texts, *(t for axes in figure.get_axes() for t in axes.texts)]:
        if text.get_text():
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width, text.get_text()
            assert box.y0 >= 0 and box.y1 <= figure.bbox.height, text.get_text()


def test_an_empty_panel_leaves_the_numbers_of_those_that_share_its_axes():
    figure = style.new_figure(2, "t")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    panels[0, 0].plot([0, 3], [0, 5])
    style.gap(panels[1, 1], "nothing to see")
    style.gap(panels[1, 0], "nothing here either")
    figure.draw_without_rendering()
    for axis, side in ((panels[0, 0].yaxis, "y"), (panels[0, 0].xaxis, "x")):
        assert len(axis.get_ticklocs()) > 2, side
    assert any(label.get_text() for label in panels[0, 0].get_yticklabels())
    for axes in panels[1]:
        ticks = [*axes.xaxis.get_major_ticks(), *axes.yaxis.get_major_ticks()]
        assert not any(tick.label1.get_visible() for tick in ticks)


@pytest.mark.parametrize("size", [7, 9])
def test_lines_are_broken_where_they_would_leave_their_width(size, rng):
    words = ["".join(rng.choice(list("ilmw+_ W"), rng.integers(1, 30))) for _ in range(30)]
    text = " ".join(" ".join(words).split())
    lines = style.wrapped(text, 2, size)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    figure = style.new_figure(1, "t")
    figure.set_dpi(style.DPI)
    renderer = figure.canvas.get_renderer()
    with style.context():
        for line in lines:
            box = figure.text(0, 0, line, fontsize=size).get_window_extent(renderer)
            assert box.width <= 2 * style.DPI
    assert len(lines) >= 3


@pytest.mark.parametrize("name", OF_GA[:3])
def test_a_cell_without_any_seed_has_an_empty_labelled_panel(name, gappy):
    figure = draw(gappy, name)
    shown = words(figure)
    _assert_no_text_is_clipped(figure)
    assert "the cell is missing" in shown
    assert "ga+kl seed 1 is missing; ga+kl seed 2 is missing" in shown


def test_a_diverged_or_missing_cell_is_named_in_the_trade_off(gappy):
    shown = words(draw(gappy, "trade_off"))
    assert "po (diverged)" in shown and "ga+kl (missing)" in shown


@pytest.mark.parametrize("name", NAMES)
def test_of_a_run_without_any_result_every_figure_says_so(name, everything):
    figure = draw(Results(everything.cells, variants=everything.variants), name)
    assert any(text.get_color() == style.GAP for text in figure.findobj(Text))


@pytest.mark.parametrize("name", ["weights", "densities"])
def test_without_instances_a_figure_says_so(name, rng):
    assert "instances" in words(draw(made_up_results(rng, without=["instances"]), name))


def test_without_a_trajectory_the_rest_is_drawn(rng):
    figure = draw(made_up_results(rng, without=["trajectory"]), "performance_ga")
    assert "performance was not measured along the run" in words(figure)
    assert figure.get_axes()[0].lines


@pytest.mark.parametrize("name", [n for n in NAMES if "sweep" not in n])
def test_one_objective_only(name, rng):
    name = name.replace("kl", "none")
    results = made_up_results(rng, {"ga": PLAIN["ga"]}, regularizers=("none",), seeds=(1,))
    assert draw(results, name).get_axes()


def test_seeds_that_only_some_cells_have_are_counted(rng):
    full, single = made_up_results(rng, seeds=(1, 2)), made_up_results(rng, seeds=(1,))
    cells = [c for c in full.cells if c["objective"] != "po"]
    cells += [c for c in single.cells if c["objective"] == "po"]
    results = Results(cells, variants=PLAIN, frames={"geffect": full.frame("geffect")})
    assert "po+none has 1 of 2 seeds" in results.gaps("geffect")
    swept = {"ga": PLAIN["ga"], "ga_b": {"name": "ga", "hyper": {}}}
    cells = [c for c in full.cells if c["objective"] == "ga"]
    cells += [c | {"objective": "ga_b"} for c in cells if c["seed"] == 1]
    results = Results(cells, variants=swept, frames={"geffect": full.frame("geffect")})
    assert not any("of 2 seeds" in gap for gap in results.gaps("geffect")), "a sweep has one"


def test_drawing_needs_no_torch():
    code = """
import sys
from geffect.report import registry
for kind in registry.KINDS:
    assert "matplotlib" not in sys.modules
    registry.catalogue(kind)
for kind in registry.KINDS:
    for declaration in registry.catalogue(kind).values():
        declaration.module()
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_note_is_no_warning_where_nothing_is_missing(everything, rng):
    complete = made_up_results(rng, seeds=(1,))
    for results, colour in ((complete, "#555555"), (everything, style.GAP)):
        drawn = draw(results, "compare_kl").texts
        note = next(text for text in drawn if "At step 0" in text.get_text())
        assert note.get_color() == colour
