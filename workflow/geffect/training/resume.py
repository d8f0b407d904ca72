"""The state of a training run, so that a killed run continues where it stopped.

A state is a folder `step-00010`: the weights, AdamW's moments and random states as safetensors,
the schedule and the log as JSON, and tables that grow along the run. Its size is 12 bytes per
trainable parameter (three float32 numbers). It gets its name once it is complete, and only then is
the previous one removed, so for a moment there are two.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from geffect import files, frames

log = logging.getLogger(__name__)

_ABOUT = "state.json"
_SHARD = 4 * 2**30


@dataclass
class State:
    """What a run needs to continue after `step` updates.

    Attributes:
        step: the number of updates done.
        tensors: weights, optimiser moments and random states, by name.
        record: everything else that JSON can hold.
        tables: what the run has measured so far, by name.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    record: dict
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


class Resume:
    """The newest complete state of one run.

    Args:
        folder: for this run alone, outside the job's declared outputs.
        made_of: everything that the run depends on (settings, data, code, package versions), as
            JSON can hold it; a state with another `made_of` is removed.
        every: a state may be saved after every so many updates.
        minutes: that pass at least between two states, and before the first; 0 saves one after
            every `every` updates, however long they take.
    """

    def __init__(self, folder: str | Path, made_of: object, every: int, minutes: float = 0):
        self.folder, self.every, self.minutes = Path(folder), every, minutes
        self.fingerprint = files.hash_content(made_of)
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a state is to be saved after a step.

        A state of a large model takes longer to write than many updates take to repeat.
        """
        return step % self.every == 0 and time.monotonic() - self._last >= 60 * self.minutes

    def load(self) -> State | None:
        """The state to continue from; None if the run starts from the beginning."""
        for _, path in reversed(files.by_step(self.folder)):
            about = self._whole(path)
            if about is None:
                log.warning("%s is damaged and cannot be resumed from", path)
            elif about["fingerprint"] != self.fingerprint:
                log.warning("%s belongs to other settings, data or code: starting over", path)
            else:
                tensors: dict[str, torch.Tensor] = {}
                for shard in path.glob("*.safetensors"):
                    # Not mapped: NFS cannot remove a file that somebody maps.
                    tensors |= load_file(shard, backend="pread")
                tables = {p.stem: frames.read(p) for p in path.glob("*.parquet")}
                log.info("resumed after step %d from %s", about["step"], path)
                return State(about["step"], tensors, about["record"], tables)
        self.clear()
        return None

    def save(self, state: State) -> None:
        """Writes a state, then removes the previous one.

        Raises:
            DiskError: the file system is full; the previous state is still there.
        """
        newest = files.step_folder(self.folder, state.step)
        older = [path for _, path in files.by_step(self.folder) if path != newest]
        with files.written_folder(newest) as partial:
            for number, shard in enumerate(_shards(state.tensors)):
                save_file(shard, partial / f"{number}.safetensors")
            for name, table in state.tables.items():
                frames.write(table, partial / f"{name}.parquet")
            about = {
                "fingerprint": self.fingerprint,
                "step": state.step,
                "record": state.record,
                "files": {p.name: p.stat().st_size for p in partial.iterdir()},
            }
            # Not sorted: the columns of the log keep their order.
            files.write_text(json.dumps(about), partial / _ABOUT)
        for path in older:
            shutil.rmtree(path)
        self._last = time.monotonic()

    def drop(self) -> None:
        """Removes the states: a job that is killed from here on starts over."""
        for _, path in files.by_step(self.folder):
            shutil.rmtree(path)

    def clear(self) -> None:
        """Removes the folder: the run is done, or starts over."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @staticmethod
    def _whole(path: Path) -> dict | None:
        """The record of a state; None if one of its files is truncated or missing."""
        try:
            about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        sizes = {p.name: p.stat().st_size for p in path.iterdir() if p.name != _ABOUT}
        return about if sizes == about["files"] else None


def _shards(tensors: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors in parts of a few GB, since each part is copied into memory to be written."""
    part: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > _SHARD:
            yield part
            part, size = {}, 0
        part[name] = tensor.detach().contiguous()
        size += tensor.nbytes
    yield part
