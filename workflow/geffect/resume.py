"""The state of a training run, so that one that was killed goes on where it was.

A state is a folder `step-00010`: the weights, AdamW's moments and random states as safetensors,
the schedule and the log as JSON, and tables that grow along the run. Its size is 12 bytes a
parameter (three float32 numbers). It takes its name when it is whole; only then is the one before
it removed, so that for a moment there are two.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from geffect import files, frames, runtime

_ABOUT = "state.json"
_SHARD = 4 * 2**30


@dataclass
class State:
    """What a run has to know to go on after `step` updates.

    Attributes:
        step: updates done.
        tensors: everything that is trained or drawn, by name.
        record: what JSON can hold.
        tables: what the run has measured so far, by name.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    record: dict
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


class Resume:
    """The newest whole state of one run.

    Args:
        folder: for this run alone, outside of what the job declares as outputs.
        made_of: all that the run depends on, as JSON can hold it; a state of another run, or of
            other versions of the packages that compute it, is removed, and so is everything else
            in the folder.
        every: updates between two states.
    """

    def __init__(self, folder, made_of, every: int):
        self.folder, self.made_of, self.every = Path(folder), made_of, every
        self.fingerprint = runtime.hash_content([made_of, runtime.packages()])

    @classmethod
    def of_job(cls, inputs, params, wildcards, log_path, every: int) -> "Resume":
        """That of the job with this log, whose run depends on all that the job does."""
        return cls(runtime.work(log_path), runtime.made_of(inputs, params, wildcards), every)

    def load(self) -> State | None:
        """The state to go on from, None where the run starts at its beginning."""
        for _, path in reversed(files.by_step(self.folder)):
            about = self._whole(path)
            if about is None:
                runtime.log.warning("%s is damaged: not resumed from it", path)
            elif about["fingerprint"] != self.fingerprint:
                runtime.log.warning("%s is of other settings, data or code: starting anew", path)
            else:
                tensors = {}
                for shard in path.glob("*.safetensors"):
                    # Not mapped: NFS cannot remove a file that somebody maps.
                    tensors |= load_file(shard, backend="pread")
                tables = {p.stem: frames.read(p) for p in path.glob("*.parquet")}
                runtime.log.info("resumed after step %d from %s", about["step"], path)
                return State(about["step"], tensors, about["record"], tables)
        self.clear()
        return None

    def save(self, state: State) -> None:
        """Writes a state in the place of the one before.

        Raises:
            DiskError: the file system is full; the state before is still there.
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

    def drop(self) -> None:
        """Removes the states: a job that is killed from here on starts anew."""
        for _, path in files.by_step(self.folder):
            shutil.rmtree(path)

    def clear(self) -> None:
        """Removes the folder: the run is done, or starts anew."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @staticmethod
    def _whole(path: Path) -> dict | None:
        """What a state says of itself, None if a file of it is cut off or missing."""
        try:
            about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        sizes = {p.name: p.stat().st_size for p in path.iterdir() if p.name != _ABOUT}
        return about if sizes == about["files"] else None


def _shards(tensors: Mapping[str, torch.Tensor]):
    """The tensors in parts of a few GB, since each part is copied into memory to be written."""
    part, size = {}, 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > _SHARD:
            yield part
            part, size = {}, 0
        part[name] = tensor.detach().contiguous()
        size += tensor.nbytes
    yield part
