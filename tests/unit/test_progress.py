"""Progress lines: now and then, at the end, and with the time that is left."""

import logging
import re

import pytest

from geffect import progress
from geffect.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_every_few_seconds_and_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO)
    shown = Progress("rows", 20, every=5.0)
    for done in range(1, 21):
        clock[0] += 1.5
        shown.step(done)
    lines = [record.getMessage() for record in caplog.records]
    assert [int(re.match(r"rows (\d+)/20", line)[1]) for line in lines] == [4, 8, 12, 16, 20]
    assert lines[1] == "rows 8/20 (12 s, 18 s left)"
    assert lines[-1] == "rows 20/20 (30 s, 0 s left)"


def test_a_loop_may_say_more(clock, caplog):
    caplog.set_level(logging.INFO)
    shown = Progress("steps", 10)
    clock[0] += 4.9
    shown.step(1)
    assert not caplog.records
    clock[0] += 0.1
    shown.step(2, "loss 1.5")
    assert caplog.records[0].getMessage() == "steps 2/10, loss 1.5 (5 s, 20 s left)"
