"""A setting that is in force for a whole process: set for good, or for a while."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Setting(Generic[Given, Kept]):
    """What is in force, of which there is one in a process.

    Args:
        usual: what is given at first.
        known: what is kept of what is given; raises an error for what is unknown.
    """

    def __init__(self, usual: Given, known: Callable[[Given], Kept]):
        self._known = known
        self.now = known(usual)

    def set(self, given: Given) -> None:
        """From now on this."""
        self.now = self._known(given)

    @contextlib.contextmanager
    def within(self, given: Given) -> Iterator[None]:
        """Within it this, afterwards again what was before."""
        before, self.now = self.now, self._known(given)
        try:
            yield
        finally:
            self.now = before
