"""What the jobs of a run took, from the records that they leave beside their logs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from geffect import files
from geffect.errors import DataError


@dataclass(frozen=True)
class Measured:
    """What the finished jobs of a model and stage took.

    Attributes:
        jobs: how many there are.
        seconds: their mean time.
        peak: the most bytes on one GPU, or of main memory where none was used.
    """

    jobs: int
    seconds: float
    peak: float


def measured(
    run: str | Path, models: Iterable[str], stages: Iterable[str]
) -> dict[tuple[str, str], Measured]:
    """(model, stage) -> what its jobs took, where there are any.

    Raises:
        DataError: the folder holds no record of a finished job of these models.
    """
    logs = Path(run) / "logs"
    found: dict[tuple[str, str], list[dict]] = {}
    by_length = sorted(models, key=len, reverse=True)  # one name may begin with another
    for stage in stages:
        for path in sorted((logs / stage).glob("*.json")):
            model = next((m for m in by_length if path.name.startswith(f"{m}_")), None)
            record = files.read_json(path)
            if model is not None and record.get("state") == "done":
                found.setdefault((model, stage), []).append(record)
    if not found:
        raise DataError(
            f"--measured {run}: no finished job of the configured models; name the folder of a "
            "run, such as results/demo"
        )
    return {key: _of(records) for key, records in found.items()}


def _of(records: list[dict]) -> Measured:
    peaks = [record["peak_gpu_mib"] or record["peak_memory_mib"] for record in records]
    return Measured(
        len(records),
        sum(record["wall_seconds"] for record in records) / len(records),
        max(peaks) * 2**20,
    )
