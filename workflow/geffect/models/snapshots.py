"""What the hub holds at a pinned revision, in a folder of this machine. Imports no torch."""

import logging
from collections.abc import Sequence
from pathlib import Path

from geffect import files
from geffect.errors import HubError


def snapshot(
    repository: str,
    revision: str,
    patterns: Sequence[str],
    otherwise: str,
    kind: str = "model",
    folder: str | Path | None = None,
) -> Path:
    """Downloads the matching files of a repository, unless the hub's cache has them.

    Args:
        otherwise: what to do without network, for the error.
        kind: "model" or "dataset".
        folder: where to put them; None for the hub's cache.

    Raises:
        HubError: the hub cannot be reached, or has no such repository or revision.
    """
    from huggingface_hub import snapshot_download

    # It would say each of its retries.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return Path(
            snapshot_download(
                repository,
                repo_type=kind,
                revision=revision,
                allow_patterns=list(patterns),
                local_dir=folder,
            )
        )
    except Exception as error:  # of the hub, of HTTP, of sockets: they have no common class
        if files.full(error):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise HubError(
            f"{kind} {repository} at {revision}: cannot be downloaded ({why}); {otherwise}"
        ) from error
