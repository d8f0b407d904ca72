"""The errors that a user is meant to read."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class GeffectError(Exception):
    """One line that says what is wrong, where (key, file, row), and what to do."""

    @staticmethod
    def suggestion(name: object, known: Iterable[object]) -> str:
        """The end of a message about an unknown name: the closest known one, or all of them."""
        names = [str(k) for k in known]
        close = difflib.get_close_matches(str(name), names, n=1)
        if close:
            return f"; did you mean {close[0]!r}?"
        return f"; known: {', '.join(sorted(names))}"


class ConfigError(GeffectError):
    """The configuration cannot be run as it stands."""


class LossError(GeffectError):
    """The file of an objective or regularizer does not do what it declares."""


class DataError(GeffectError):
    """A data file is missing, altered or does not have the expected shape."""


class DamagedError(GeffectError):
    """A file or folder that used to be complete no longer is.

    Attributes:
        path: the file or folder that has to be made again.
    """

    def __init__(self, path: str | Path, what: str, to_do: str = "remove it and make it again"):
        super().__init__(f"{path}: {what}; {to_do}")
        self.path = Path(path)


class HubError(GeffectError):
    """The hub cannot be reached, or does not have what is asked for."""


class DiskError(GeffectError):
    """There is no room left to write a file."""


class ModelError(GeffectError):
    """A model folder, its architecture or its tokenizer cannot be used."""


class NotFiniteError(ModelError):
    """A loss, gradient or weight is not finite."""


class JobError(GeffectError):
    """A job may not start: another one is writing the same files, or a run is still alive."""


class UnreachableError(GeffectError):
    """Slurm, or a process on another host, cannot be reached from here."""
