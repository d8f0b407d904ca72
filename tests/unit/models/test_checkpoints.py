"""Checkpoints take their place even where a run wrote none."""

import pytest

from geffect.models.checkpoints import Checkpoints


@pytest.mark.parametrize("steps", [(), (5,), (5, 10)])
def test_checkpoints_however_few_are_moved_as_one_folder(steps, tiny_model, tmp_path):
    checkpoints = Checkpoints(tmp_path / "work" / "run" / "checkpoints", 12)
    model = tiny_model()
    for step in (0, *steps, 12):
        checkpoints.at(model, step, {})
    (tmp_path / "results").mkdir()
    checkpoints.move(tmp_path / "results" / "checkpoints")
    names = sorted(path.name for path in (tmp_path / "results" / "checkpoints").iterdir())
    assert names == [f"step-{step:05d}" for step in steps]
    assert checkpoints.state() == {}
