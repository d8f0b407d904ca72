"""What is said once in a process."""

import logging
from functools import cache


@cache
def warn_once(log: logging.Logger, message: str) -> None:
    """Logs a warning unless it has been: every checkpoint is a model of its own."""
    log.warning("%s", message)
