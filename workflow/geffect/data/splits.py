"""What a source of data is divided into: splits by name, their tables, and how many rows they have.

Light enough to be imported wherever a workflow is planned.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from geffect.data.tofu import HOLDOUT, SPLITS, forget_count, row_count
from geffect.names import FULL

TABLES = "tables"
"""The source of own files."""
REFUSALS = "refusals"
BACKGROUND = ("real_authors", "world_facts")


class Split(NamedTuple):
    """The names of a split's tables.

    Attributes:
        forget: the rows of D_u; also the split's own name.
        retain: all rows but those: what its retain model is fine-tuned on.
        train: the retain rows that unlearning may train on; a table that also has held-out rows
            numbers them from 0 (`rows.trainable`).
        held_out: the rows of D_r in evaluation and G-effects.
        holdout: rows that no model ever sees.
    """

    forget: str
    retain: str
    train: str
    held_out: str
    holdout: str


_TOFU = {
    name: Split(name, retain, retain, "held_out", HOLDOUT[name]) for name, retain in SPLITS.items()
}


def own(name: str) -> Split:
    """The tables of a split of own files."""
    return Split(name, *(f"{part}_{name}" for part in ("retain", "train", "held_out", "holdout")))


def splits_of(data: Mapping[str, Any]) -> dict[str, Split]:
    """The splits of the configuration's `data`, by name."""
    if data["source"] == TABLES:
        return {name: own(name) for name in data["tables"]["splits"]}
    return dict(_TOFU)


def table_names(splits: Iterable[Split]) -> list[str]:
    """The names of the data tables of a run over these splits, each once."""
    found = [FULL, *BACKGROUND, REFUSALS]
    return list(dict.fromkeys([*found, *(name for split in splits for name in split)]))


@dataclass(frozen=True)
class Sizes:
    """How many rows there are, each by the name of its split where there are several.

    Attributes:
        rows: of the table `full`.
        forget: |D_u|.
        trainable: retain rows that unlearning may train on.
        held_out: |D_r|.
        background: rows of real authors and world facts; None where only the source knows.
        characters: mean characters of a row and of its answer; None where nobody has counted.
        texts: the splits in whose D_u, and in whose trainable or held-out rows, there is running
            text.
    """

    rows: int
    forget: dict[str, int]
    trainable: dict[str, int]
    held_out: dict[str, int]
    background: tuple[int, int] | None = None
    characters: tuple[float, float] | None = None
    texts: dict[str, list[str]] = field(default_factory=lambda: {"forget": [], "retain": []})

    def record(self) -> dict[str, Any]:
        """As JSON can hold it; `Sizes.of` reads it back."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Sizes":
        """What `record` returned, from JSON."""
        pairs = {
            name: None if record[name] is None else tuple(record[name])
            for name in ("background", "characters")
        }
        return cls(**{**record, **pairs})


def tofu_sizes(data: Mapping[str, Any], splits: Iterable[str]) -> Sizes:
    """The sizes of TOFU, or of the fictional authors, as the configuration's `data` asks for them.

    Raises:
        DataError: TOFU has fewer authors or questions.
    """
    rows, held_out = row_count(data), data["held_out_rows"]
    forget = {name: forget_count(rows, name) for name in splits}
    return Sizes(
        rows,
        forget,
        {name: rows - number - held_out for name, number in forget.items()},
        dict.fromkeys(forget, held_out),
    )
