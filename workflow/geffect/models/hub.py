"""Models from the hub, at a pinned revision."""

from pathlib import Path

from transformers import AutoConfig

from geffect import files
from geffect.errors import ModelError
from geffect.models.components import check_blocks


def download_model(repository: str, revision: str, layers: int, folder: str | Path) -> None:
    """Downloads a hub model (safetensors, configuration, tokenizer) into a folder.

    Raises:
        ModelError: it has no safetensors, or not `layers` blocks.
    """
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.txt", "tokenizer.model"]
    with files.written_folder(folder) as partial:
        snapshot_download(repository, revision=revision, allow_patterns=patterns, local_dir=partial)
        if not any(partial.glob("*.safetensors")):
            raise ModelError(f"{repository} at {revision}: no safetensors weights")
        config = AutoConfig.from_pretrained(partial, local_files_only=True)
        check_blocks(config, repository, layers)
