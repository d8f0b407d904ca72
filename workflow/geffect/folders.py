"""What makes a folder a model folder; needs no torch, so that it is known before anything runs."""

from pathlib import Path

MODEL_FILES = ("config.json", "*.safetensors")


def lacking(folder, patterns=MODEL_FILES) -> list[str]:
    """Which of the files that a model consists of a folder lacks."""
    return [pattern for pattern in patterns if not any(Path(folder).glob(pattern))]
