"""Where messages go, and that nothing stays behind."""

import io
import logging

import pytest

from geffect.jobs.context import job
from geffect.messages import log, shown_by, warn_once


def state():
    return log.level, log.propagate, list(log.handlers)


def test_all_that_the_library_says_is_shown_once_and_at_one_place(caplog):
    module, outer, inner = logging.getLogger("geffect.progress"), io.StringIO(), io.StringIO()
    with shown_by(logging.StreamHandler(outer), "[%(levelname)s] %(message)s"):
        module.info("first")
        with shown_by(logging.StreamHandler(inner)):
            log.info("second")
        module.debug("too much")
        module.warning("third")
    assert outer.getvalue() == "[INFO] first\n[INFO] second\n[WARNING] third\n"
    assert inner.getvalue() == "second\n"
    assert not caplog.records, "loggers above would show it again"


@pytest.mark.parametrize("level", [logging.NOTSET, logging.ERROR])
@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize("ends", [None, KeyError, SystemExit])
def test_afterwards_the_logger_is_as_it_was(level, propagate, ends, monkeypatch):
    monkeypatch.setattr(log, "propagate", propagate)
    before = log.level
    log.setLevel(level)
    try:
        expected = state()
        try:
            with shown_by(logging.StreamHandler(io.StringIO())):
                assert state() != expected
                if ends:
                    raise ends
        except (KeyError, SystemExit):
            assert ends
        assert state() == expected
    finally:
        log.setLevel(before)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_a_job_leaves_the_logger_alone(error, tmp_path, capsys):
    before = state()
    try:
        with job("a", tmp_path / "results/nano/logs/a.log"):
            if error:
                raise error
    except (SystemExit, ValueError):
        assert error
    assert state() == before
    assert capsys.readouterr().err


def test_what_every_model_of_a_run_would_say_is_said_once(caplog):
    of = logging.getLogger("geffect.test_messages")
    for _ in range(3):
        warn_once(of, "slow")
    warn_once(of, "and large")
    assert [record.getMessage() for record in caplog.records] == ["slow", "and large"]
