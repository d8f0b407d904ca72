"""Models from the hub, at a pinned revision."""

from pathlib import Path

from transformers import AutoConfig

from geffect import files
from geffect.errors import ModelError
from geffect.models.components import check_blocks
from geffect.models.snapshots import snapshot


def download_model(repository: str, revision: str, layers: int, folder: str | Path) -> None:
    """Downloads a hub model (safetensors, configuration, tokenizer) into a folder.

    Raises:
        HubError: the hub cannot be reached, or has no such repository or revision.
        ModelError: it has no safetensors, or not `layers` blocks.
    """
    patterns = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
    with files.written_folder(folder) as partial:
        otherwise = "check its id and revision, or name its folder by source: path"
        snapshot(repository, revision, patterns, otherwise, folder=partial)
        if not any(partial.glob("*.safetensors")):
            raise ModelError(f"{repository} at {revision}: no safetensors weights")
        try:
            config = AutoConfig.from_pretrained(partial, local_files_only=True)
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise ModelError(f"{repository} at {revision}: no usable config ({why})") from error
        check_blocks(config, repository, layers)
