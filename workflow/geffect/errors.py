"""The errors that a user is meant to read."""

from pathlib import Path


class GeffectError(Exception):
    """One line that says what is wrong, where (key, file, row), and what to do."""


class ConfigError(GeffectError):
    """The configuration cannot be run as it stands."""


class DataError(GeffectError):
    """A data file is missing, altered or does not have the expected shape."""


class DamagedError(GeffectError):
    """A file or folder that was whole once is not.

    Attributes:
        path: what has to be made again.
    """

    def __init__(self, path, what: str):
        super().__init__(f"{path}: {what}; remove it and make it again")
        self.path = Path(path)


class DiskError(GeffectError):
    """There is no room for what is to be written."""


class ModelError(GeffectError):
    """A model folder, its architecture or its tokenizer cannot be used."""


class NotFiniteError(ModelError):
    """A loss, gradient or weight is not finite."""


class JobError(GeffectError):
    """A job may not start: another one writes the same files, or a run is still alive."""


class UnreachableError(GeffectError):
    """Slurm, or a process on another host, cannot be asked from here."""
