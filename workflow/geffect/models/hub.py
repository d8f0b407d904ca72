"""Models from the hub, at a pinned revision."""

from collections.abc import Callable
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from geffect import files
from geffect.errors import ModelError
from geffect.models.components import check_blocks
from geffect.models.folder import UNUSABLE, reason
from geffect.models.given import FILES
from geffect.models.snapshots import snapshot

_CONFIG = "config.json"


def download_model(
    repository: str,
    revision: str,
    layers: int,
    folder: str | Path,
    check: Callable[[PretrainedConfig], None] = lambda config: None,
) -> None:
    """Downloads a hub model (safetensors, configuration, tokenizer) into a folder.

    Its config comes first, alone: what it tells of the model is checked before gigabytes of weights
    are downloaded.

    Args:
        check: is called with the config; raises ModelError for a model that is of no use.

    Raises:
        HubError: the hub cannot be reached, or has no such repository or revision.
        ModelError: it has no safetensors, or not `layers` blocks.
    """
    otherwise = "check its id and revision, or name its folder by source: path"
    with files.written_folder(folder) as partial:
        snapshot(repository, revision, [_CONFIG], otherwise, folder=partial)
        try:
            config = AutoConfig.from_pretrained(partial, local_files_only=True)
        except UNUSABLE as error:
            raise ModelError(
                f"{repository} at {revision}: no usable config ({reason(error)})"
            ) from error
        check_blocks(config, repository, layers)
        check(config)
        snapshot(repository, revision, FILES, otherwise, folder=partial)
        if not any(partial.glob("*.safetensors")):
            raise ModelError(f"{repository} at {revision}: no safetensors weights")
