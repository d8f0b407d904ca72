"""What made the rows of the tables, where, and at what cost."""

from collections.abc import Iterable, Mapping

import pandas as pd

from geffect.files import hash_content
from geffect.report.results import Results
from geffect.report.writing import Column

TITLE = "Provenance"
CAPTION = (
    "What made every result: commit, hashes of code, settings and weights, versions, host, time, "
    "memory. Wall seconds compare jobs of one host only."
)
CATEGORY = "Provenance"
READS = ["records"]
FORMATS = ["csv"]

COLUMNS = {
    "wall_seconds": Column("wall time (s)"),
    "peak_memory_mib": Column("peak memory (MiB)"),
    "peak_gpu_mib": Column("peak memory of the GPU (MiB)"),
}

USAGE = ["wall_seconds", "peak_memory_mib", "peak_gpu_mib"]


def table(results: Results) -> pd.DataFrame:
    """`provenance` of all cells and reference models."""
    return provenance(results.records())


def provenance(records: Iterable[tuple[Mapping, str, Mapping]]) -> pd.DataFrame:
    """What made the rows of the tables, where, and at what cost.

    Args:
        records: (cell, stage, content of its provenance.json, geffect.json or evaluation.json).

    Returns:
        One row per record: CELL, `stage`, `git_commit`, `git_dirty`, the hashes `code`, `settings`
        and `weights` (of the model that was trained or evaluated), `given` (where the original or
        retain model behind it was taken from, if it was not made here: a path, or id@revision),
        `python` and a column per package with their versions, `host`, `device`, `gpus`,
        `wall_seconds`, `peak_memory_mib`, `peak_gpu_mib`.
    """
    return pd.DataFrame(
        [
            {
                **cell,
                "stage": stage,
                "git_commit": record["git"]["commit"],
                "git_dirty": record["git"]["dirty"],
                "code": record.get("code"),
                "settings": hash_content(record["settings"])[:16],
                "weights": hash_content(_weights(record))[:16],
                "given": _given(record["settings"].get("given")),
                **_versions(record),
                "host": record["host"],
                "device": record["device"],
                "gpus": record["gpu"]["count"],
                **{name: record[name] for name in USAGE},
            }
            for cell, stage, record in records
        ]
    )


def mixed_versions(records: Iterable[Mapping]) -> list[str]:
    """A warning for each package that the records name in several versions.

    Args:
        records: contents of provenance.json, geffect.json and evaluation.json.
    """
    counts: dict[str, dict[str, int]] = {}
    for record in records:
        for package, version in _versions(record).items():
            known = counts.setdefault(package, {})
            known[version] = known.get(version, 0) + 1
    return [
        f"WARNING: made with several versions of {package}: "
        + ", ".join(
            f"{version} ({number} of {sum(known.values())} records)"
            for version, number in sorted(known.items())
        )
        + "; provenance.csv names the rows."
        for package, known in sorted(counts.items())
        if len(known) > 1
    ]


def _given(source: Mapping[str, str] | None) -> str | None:
    if source is None:
        return None
    return source.get("path") or f"{source['id']}@{source['revision']}"


def _weights(record: Mapping) -> Mapping[str, str]:
    weights = record["weights"]
    return weights.get("unlearned", weights.get("model", weights))


def _versions(record: Mapping) -> dict[str, str]:
    return {"python": record["python"], **dict(sorted(record["packages"].items()))}
