"""The library's messages: what is said once, and where all of it goes."""

import contextlib
import logging
from collections.abc import Iterator
from functools import cache

log = logging.getLogger("geffect")
"""The logger above those of all modules; jobs and commands use it directly."""


@contextlib.contextmanager
def shown_by(
    handler: logging.Handler, form: str = "%(message)s", time: str | None = None
) -> Iterator[None]:
    """Gives `handler` every message from INFO on; afterwards the logger is as it was before.

    Whoever calls a command from Python has loggers of their own, which must neither show our
    messages twice nor start to show those of later calls.
    """
    handler.setFormatter(logging.Formatter(form, time))
    level, propagate = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
        log.setLevel(level)
        handler.close()


@cache
def warn_once(of: logging.Logger, message: str) -> None:
    """Logs a module's warning once per process: every checkpoint is a new model."""
    of.warning("%s", message)
