"""The models along a run: the original model, the checkpoints, the final model."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from geffect import files
from geffect.errors import DamagedError
from geffect.models import adapters
from geffect.names import CHANGE_TERMS


class Checkpoints:
    """An observer of a run that writes the model to `folder`/step-00005 and so on.

    Step 0 and the last step are not written: their weights lie in the original model's folder and
    in the run's final one (see `trajectory`).

    Args:
        folder: where to write.
        last: the last step of the run.
        only: writes the weights of these steps and nothing else; None writes all that a
            measurement needs later.
    """

    def __init__(self, folder: str | Path, last: int, only: Collection[int] | None = None):
        self.folder, self.last, self.only = Path(folder), last, only

    def at(
        self, model: PreTrainedModel, step: int, moved: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        """Writes the model, or its adapters alone, unless its weights lie elsewhere, and what moved
        it, if anything.
        """
        if 0 < step < self.last and (self.only is None or step in self.only):
            with files.written_folder(files.step_folder(self.folder, step)) as partial:
                adapters.save_weights(model, partial)
        if moved and self.only is None:
            tensors = {f"{s}:{name}": t for s, share in moved.items() for name, t in share.items()}
            self.folder.mkdir(parents=True, exist_ok=True)
            with files.written(_moved_path(self.folder, step)) as partial:
                save_file(tensors, partial)

    def state(self) -> dict[str, pd.DataFrame]:
        """Nothing: what was written lies in the folder."""
        return {}

    def resume(self, model: PreTrainedModel, state: Mapping[str, pd.DataFrame]) -> None:
        """Does nothing: what was written still lies in the folder."""

    def move(self, folder: str | Path) -> None:
        """Moves the folder of checkpoints, even an empty one, within the same file system."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.rename(folder)


def moved_until(folder: str | Path, step: int) -> dict[str, dict[str, Tensor]]:
    """What moved the weights from the measured step before to `step`, besides the objective.

    Returns:
        share (regularizer, decay) -> parameter -> displacement; empty where there is none.

    Raises:
        DamagedError: the file is cut off.
    """
    path = _moved_path(Path(folder), step)
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DamagedError(path, f"is damaged ({error})") from error
    shares: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        share, _, name = key.partition(":")
        shares.setdefault(share, {})[name] = tensor
    # The file has an order of its own; tables made of it have that of the run.
    return {share: shares[share] for share in CHANGE_TERMS if share in shares}


def _moved_path(folder: Path, step: int) -> Path:
    return folder / f"moved-{step:05d}.safetensors"


def trajectory(
    original: str | Path, checkpoints: str | Path, final: str | Path, last: int | None
) -> list[tuple[int, Path]]:
    """(step, model folder) at every checkpoint of a run: step 0, the written ones, the last.

    `last` is the number of updates, None for a run that diverged and has no final model.
    """
    end = [] if last is None else [(last, Path(final))]
    return [(0, Path(original)), *files.by_step(checkpoints), *end]
