"""Checkpoints take their place even where a run wrote none."""

import pytest
import torch

from geffect.models.checkpoints import Checkpoints, moved_until


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


def test_of_chosen_steps_there_are_weights_and_nothing_else(tiny_model, tmp_path):
    checkpoints = Checkpoints(tmp_path, 12, [0, 10, 12])
    model = tiny_model()
    moved = {"regularizer": {name: p.detach() for name, p in model.named_parameters()}}
    for step in (0, 5, 10, 12):
        checkpoints.at(model, step, moved)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00010"]


def test_what_moved_the_weights_is_read_in_the_order_of_the_run(tiny_model, tmp_path, rng):
    moved = {
        share: {name: torch.from_numpy(rng.normal(size=3)) for name in ("b", "a")}
        for share in ("regularizer", "decay")
    }
    Checkpoints(tmp_path, 12).at(tiny_model(), 12, moved)
    found = moved_until(tmp_path, 12)
    assert list(found) == list(moved)
    for share, tensors in moved.items():
        assert found[share].keys() == tensors.keys()
        assert all(torch.equal(found[share][name], t) for name, t in tensors.items())
    assert moved_until(tmp_path, 7) == {}
