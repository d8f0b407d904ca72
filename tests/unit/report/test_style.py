"""Figures are reproducible, and what cannot be drawn is an error in one line."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from made_up import effects, main_frame

from geffect.report import style
from geffect.report.figures.compare import compare_objectives
from geffect.report.figures.geffect import geffect_over_steps
from geffect.report.figures.trade_off import trade_off

FIGURES = {
    "steps": lambda rng: geffect_over_steps(effects(rng, size=1e4), "GA"),
    "compare": lambda rng: compare_objectives(effects(rng), "all"),
    "trade_off": lambda rng: trade_off(main_frame(rng), "forget05"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_saving_twice_gives_equal_bytes(name, rng, tmp_path):
    seed = int(rng.integers(1 << 31))
    files = []
    for attempt in ("first", "second"):
        paths = [tmp_path / f"{attempt}.{suffix}" for suffix in ("pdf", "png")]
        style.save(FIGURES[name](np.random.default_rng(seed)), paths)
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]
    pdf = files[0][0]
    assert b"CreationDate" not in pdf and b"/Type3" not in pdf


def test_an_unknown_file_type_is_refused_before_anything_is_written(rng, tmp_path):
    with pytest.raises(ValueError, match=r"expected one of \.pdf, \.png, \.svg"):
        style.save(FIGURES["compare"](rng), [tmp_path / "a.png", tmp_path / "a.gif"])
    assert not list(tmp_path.iterdir())


DRAW = [geffect_over_steps, compare_objectives, trade_off]


@pytest.mark.parametrize("draw", DRAW)
def test_an_empty_frame_is_a_one_line_error(draw):
    with pytest.raises(ValueError, match="the frame is empty") as error:
        draw(pd.DataFrame(), "nothing")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("draw", DRAW)
def test_two_models_do_not_go_into_one_figure(draw, rng):
    frame = main_frame(rng) if draw is trade_off else effects(rng)
    both = pd.concat([frame, frame.assign(model="other")])
    with pytest.raises(ValueError, match="rows of one model, got tiny, other"):
        draw(both, "two models")


@pytest.mark.parametrize("draw", DRAW[:2])
def test_rows_that_are_not_drawn_are_an_error(draw, rng):
    frame = effects(rng)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(frame[frame["term"].eq("probe.nll")], "probes only")


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
