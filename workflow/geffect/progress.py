"""The progress of a loop, as log lines."""

import logging
import time

log = logging.getLogger(__name__)


class Progress:
    """Logs the progress of a loop, at most once every few seconds and at its end.

    Args:
        what: what is counted.
        total: how many there are.
        every: seconds between two lines.
    """

    def __init__(self, what: str, total: int, every: float = 5.0):
        self.what, self.total, self.every = what, total, every
        self.started = self.last = time.monotonic()

    def step(self, done: int, note: str = "") -> None:
        """Reports that `done` of the total are done; `note` is added to the line."""
        now = time.monotonic()
        if done < self.total and now - self.last < self.every:
            return
        self.last = now
        elapsed = now - self.started
        left = elapsed / max(done, 1) * (self.total - done)
        log.info(
            "%s %d/%d%s (%.0f s, %.0f s left)",
            self.what,
            done,
            self.total,
            f", {note}" if note else "",
            elapsed,
            left,
        )
