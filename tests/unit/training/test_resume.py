"""A run that was stopped anywhere ends as one that never was."""

import dataclasses
import itertools
import shutil

import pandas as pd
import pytest
import torch
from settings import PAPER

from geffect.effects.measurement import Measurement
from geffect.errors import DiskError
from geffect.models.folder import save_model
from geffect.training import loop
from geffect.training.fit import fit
from geffect.training.resume import Resume, State
from geffect.training.unlearning import Run

SETTINGS = dataclasses.replace(PAPER, batch_size=4, micro_batch_size=2, learning_rate=1e-3)
EVERY, LAST = 3, 12


class Killed(BaseException):
    """Nothing in the library catches this."""


@pytest.fixture
def original(tiny_model, tokenizer, tmp_path):
    save_model(tiny_model(dtype=torch.float32, tokenizer=tokenizer), tokenizer, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def unlearn(cell_of, original):
    """A function: runs a cell with its measurement; killed after `stop` updates where given."""

    def run(resume=None, stop=None, objective="npo", regularizer="kl", tables=False):
        case = Run(cell_of(objective, regularizer), original, "cpu")
        with_dropout(case.model)
        found = Measurement(case.cell, case.draws, {}, case.cell.held_out, 10, tables, tables)
        found.begin(case.model, case.original if found.looks_at_original else None)
        steps = []
        accumulate = loop._accumulate

        def counted(model, loss, *rest):
            if loss.name == objective:
                if len(steps) == stop:
                    raise Killed
                steps.append(1)
            return accumulate(model, loss, *rest)

        loop._accumulate = counted
        try:
            outcome = case.train(SETTINGS, EVERY, found, "run", resume)
        except Killed:
            return None
        finally:
            loop._accumulate = accumulate
        return case.model, outcome, found.tables(), len(steps)

    return run


def with_dropout(model):
    """Without it nothing is random in a run, and no mode of the model shows."""
    found = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    for module in found:
        module.p = 0.2
    assert found
    return model


def assert_equal(one, other):
    for a, b in zip(one[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(a, b)
    pd.testing.assert_frame_equal(one[1].frame(), other[1].frame(), check_exact=True)
    assert one[2].keys() == other[2].keys()
    for name, frame in one[2].items():
        pd.testing.assert_frame_equal(frame, other[2][name], check_exact=True)


@pytest.mark.parametrize(("objective", "regularizer"), [("npo", "kl"), ("po", None), ("rmu", "rr")])
def test_a_run_killed_at_any_step_ends_bit_for_bit_as_the_uninterrupted_one(
    objective, regularizer, unlearn, tmp_path, rng
):
    losses = {"objective": objective, "regularizer": regularizer, "tables": objective == "npo"}
    # The cell draws its hyper-parameters, so every run needs the same cell.
    state = rng.bit_generator.state
    whole = unlearn(**losses)
    for stop in (EVERY, int(rng.integers(EVERY + 1, LAST))):
        work = tmp_path / f"work{stop}"
        rng.bit_generator.state = state
        assert unlearn(Resume(work, "same", EVERY), stop, **losses) is None
        rng.bit_generator.state = state
        again = unlearn(Resume(work, "same", EVERY), **losses)
        assert_equal(whole, again)
        assert stop + again[3] - LAST < EVERY, "repeats fewer steps than lie between two states"


def test_a_run_may_be_killed_again_and_again(unlearn, tmp_path, rng):
    state = rng.bit_generator.state
    whole = unlearn()
    for stop in (4, 3, 5):
        rng.bit_generator.state = state
        assert unlearn(Resume(tmp_path / "work", "same", EVERY), stop) is None
    rng.bit_generator.state = state
    assert_equal(whole, unlearn(Resume(tmp_path / "work", "same", EVERY)))


def test_fine_tuning_goes_on_with_its_moments_schedule_and_order(
    tiny_model, random_examples, tmp_path, seed
):
    start, examples = tiny_model(dtype=torch.float32), random_examples(9)
    folder = tmp_path / "start"
    start.save_pretrained(folder)

    def run(resume=None):
        model = with_dropout(type(start).from_pretrained(folder))
        log = fit(model, examples, SETTINGS, seed, "fine-tuning", resume)
        return model, log

    whole, log = run()
    resume = Resume(tmp_path / "work", "same", 2)
    run(resume)
    state = resume.load()
    assert state.step == 10, "the newest state before the last of 11 updates"
    again, log_again = run(resume)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    pd.testing.assert_frame_equal(log, log_again, check_exact=True)


@pytest.fixture
def saved(tmp_path, rng):
    """A resume folder with the states of steps 4 and, as if killed in between, 8."""
    resume = Resume(tmp_path / "work", "same", 4)
    states = [
        State(step, {"x": torch.from_numpy(rng.normal(size=100))}, {"step": step}, {})
        for step in (4, 8)
    ]
    resume.save(states[0])
    shutil.copytree(tmp_path / "work" / "step-00004", tmp_path / "kept")
    resume.save(states[1])
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["step-00008"], "one state is kept"
    shutil.copytree(tmp_path / "kept", tmp_path / "work" / "step-00004")
    return resume, states


def test_the_newest_whole_state_is_taken(saved):
    resume, states = saved
    found = resume.load()
    assert found.step == 8 and torch.equal(found.tensors["x"], states[1].tensors["x"])


def test_a_state_that_is_cut_off_anywhere_is_never_taken(saved, rng, caplog):
    resume, states = saved
    newest = resume.folder / "step-00008"
    for name in sorted(p.name for p in newest.iterdir()):
        whole = (newest / name).read_bytes()
        for length in {0, len(whole) - 1, *rng.integers(len(whole), size=5).tolist()}:
            (newest / name).write_bytes(whole[:length])
            found = resume.load()
            assert found.step == 4 and torch.equal(found.tensors["x"], states[0].tensors["x"])
        (newest / name).unlink()
        assert resume.load().step == 4
        (newest / name).write_bytes(whole)
    assert resume.load().step == 8


def test_where_no_state_is_whole_the_folder_is_emptied_and_the_run_starts_anew(saved):
    resume, _ = saved
    for path in resume.folder.rglob("*.safetensors"):
        path.write_bytes(b"")
    (resume.folder / "checkpoints").mkdir()
    assert resume.load() is None
    assert not resume.folder.exists()


def test_a_state_of_other_settings_is_not_resumed_from(saved):
    resume, _ = saved
    assert Resume(resume.folder, "other", 4).load() is None
    assert not resume.folder.exists()


def test_a_kill_before_during_and_after_the_rename_leaves_a_state(saved, monkeypatch):
    resume, states = saved
    newest = State(12, states[1].tensors, {}, {})
    for place in ("before", "after"):

        def rename(self, target, place=place):
            if place == "after":
                shutil.move(self, target)
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("pathlib.Path.rename", rename)
            resume.save(newest)
        assert resume.load().step == (8 if place == "before" else 12)
    resume.save(newest)
    assert [p.name for p in resume.folder.iterdir()] == ["step-00012"]


def test_a_full_disk_leaves_the_state_before(saved, monkeypatch):
    resume, states = saved

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskError, match="step-00012"):
        patch.setattr("geffect.training.resume.save_file", full)
        resume.save(State(12, states[1].tensors, {}, {}))
    assert resume.load().step == 8


def test_tensors_are_split_into_files_and_come_back(saved, monkeypatch, rng):
    resume, _ = saved
    monkeypatch.setattr("geffect.training.resume._SHARD", 1000)
    tensors = {f"t{k}": torch.from_numpy(rng.normal(size=90)).float() for k in range(7)}
    resume.save(State(12, tensors, {}, {}))
    assert len(list(resume.folder.rglob("*.safetensors"))) == 4
    found = resume.load().tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_the_fingerprint_follows_every_ingredient(tmp_path):
    def fingerprint(content):
        return Resume(tmp_path, content, 1).fingerprint

    base = {"settings": {"lr": 1.0}, "inputs": {"data": "abc"}, "code": "x"}
    changed = [base | {name: "other"} for name in base]
    prints = [fingerprint(content) for content in (base, *changed)]
    assert fingerprint(dict(reversed(base.items()))) == prints[0]
    assert all(a != b for a, b in itertools.combinations(prints, 2))


@pytest.fixture
def clock(monkeypatch):
    """Time stands still unless it is moved: a list of the seconds that it shows."""
    seconds = [1000.0]
    monkeypatch.setattr("geffect.training.resume.time.monotonic", lambda: seconds[0])
    return seconds


def test_a_state_is_due_once_its_minutes_have_passed_and_only_where_one_may_be_saved(
    tmp_path, clock, rng
):
    every, minutes = int(rng.integers(1, 5)), float(rng.uniform(0.5, 40))
    resume = Resume(tmp_path / "work", "same", every, minutes)
    last, saved = clock[0], []
    for step in range(1, 200):
        clock[0] += rng.uniform(0, 300)
        expected = step % every == 0 and clock[0] - last >= 60 * minutes
        assert resume.due(step) == expected
        if expected:
            resume.save(State(step, {}, {}, {}))
            last = clock[0]
            saved.append(step)
    assert saved, "none of them was due"


def test_how_long_a_state_takes_to_write_does_not_count(tmp_path, clock, monkeypatch):
    resume = Resume(tmp_path / "work", "same", 1, 10)
    clock[0] += 600

    def slow(*_):
        clock[0] += 3600

    monkeypatch.setattr("geffect.training.resume.files.write_text", slow)
    resume.save(State(1, {}, {}, {}))
    assert not resume.due(2)
    clock[0] += 600
    assert resume.due(3)


def test_when_states_are_saved_changes_nothing(unlearn, tmp_path, clock, rng, monkeypatch):
    state = rng.bit_generator.state
    whole = unlearn()
    looks = rng.uniform(0, 1200, size=100).tolist()
    due = Resume.due

    def later(self, step):
        clock[0] += looks[step]
        return due(self, step)

    monkeypatch.setattr(Resume, "due", later)
    for stop in (8, 5, None):  # updates of a process; the second begins after the sixth at most
        rng.bit_generator.state = state
        found = unlearn(Resume(tmp_path / "work", "same", EVERY, 20), stop)
        assert (found is None) == (stop is not None)
    assert_equal(whole, found)


def test_only_safetensors_json_and_parquet_are_written(saved):
    resume, _ = saved
    suffixes = {p.suffix for p in resume.folder.rglob("*") if p.is_file()}
    assert suffixes <= {".safetensors", ".json", ".parquet"}


def test_dropped_states_leave_what_else_is_in_the_folder_until_it_starts_anew(saved):
    resume, _ = saved
    (resume.folder / "checkpoints").mkdir()
    resume.drop()
    assert [p.name for p in resume.folder.iterdir()] == ["checkpoints"]
    assert resume.load() is None and not resume.folder.exists()
