"""The models along a run: the original model, the checkpoints, the final model."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel

from geffect import files


class Checkpoints:
    """An observer of a run that writes the model to `folder`/step-00005 and so on.

    Step 0 and the last step are not written: their weights lie in the original model's folder and
    in the run's final one (see `trajectory`).

    Args:
        folder: where to write.
        last: the last step of the run.
    """

    def __init__(self, folder: str | Path, last: int):
        self.folder, self.last = Path(folder), last

    def at(self, model: PreTrainedModel, step: int) -> None:
        """Writes the model, unless its weights lie elsewhere."""
        if 0 < step < self.last:
            with files.written_folder(files.step_folder(self.folder, step)) as partial:
                model.save_pretrained(partial)

    def state(self) -> dict[str, pd.DataFrame]:
        """Nothing: what was written lies in the folder."""
        return {}

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Does nothing: what was written still lies in the folder."""

    def move(self, folder: str | Path) -> None:
        """Moves the folder of checkpoints, even an empty one, within the same file system."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.rename(folder)


def trajectory(
    original: str | Path, checkpoints: str | Path, final: str | Path, last: int | None
) -> list[tuple[int, Path]]:
    """(step, model folder) at every checkpoint of a run: step 0, the written ones, the last.

    `last` is the number of updates, None for a run that diverged and has no final model.
    """
    end = [] if last is None else [(last, Path(final))]
    return [(0, Path(original)), *files.by_step(checkpoints), *end]
