"""The names that files, tables and modules share. Imports nothing."""

CELL = ["model", "split", "objective", "regularizer", "seed"]
"""The five keys of a cell: the first columns of every table of cells."""

ORIGINAL, RETAIN_MODEL = "original", "retain_model"
REFERENCES = (ORIGINAL, RETAIN_MODEL)
"""The names of the reference models in the column `objective`."""

NO_REGULARIZER = "none"

FULL = "full"
"""The corpus of all rows, which the original model is fine-tuned on; others are retain splits."""

COMPONENTS = ("embed", "shallow", "middle", "deep", "lm")
"""The parts of a model that a G-effect is split into; they add up to `TOTAL`."""
TOTAL = "total"
THIRDS = ("shallow", "middle", "deep")
"""The components that the blocks of a model are in, from the bottom up."""
MINIMUM_BLOCKS = len(THIRDS)
"""One block each for shallow, middle and deep."""
BLOCK = "layer."
"""Before the number of a block, from 1, in the column `component`."""


def thirds(blocks: int) -> list[str]:
    """The component of each block: 1..⌈L/3⌉ shallow, up to ⌈2L/3⌉ middle, the rest deep."""
    shallow, middle = -(-blocks // 3), -(-2 * blocks // 3)
    numbers = (shallow, middle - shallow, blocks - middle)
    return [name for name, number in zip(THIRDS, numbers, strict=True) for _ in range(number)]


UNLEARN, RETAIN = "unlearn", "retain"
EFFECT_DATASETS = (UNLEARN, RETAIN)
"""The data sets whose risk a G-effect is about: D_u, and the non-targeted rows."""

OBJECTIVE, REGULARIZER, COMBINED, PROBE = "objective", "regularizer", "combined", "probe."
"""The terms of `geffect.parquet`; a probe is called by the prefix followed by its variant."""

DECAY, UNEXPLAINED = "decay", "unexplained"
CHANGE_TERMS = (OBJECTIVE, REGULARIZER, DECAY, UNEXPLAINED)
"""The terms of `risk.parquet`; `unexplained` is what the others leave of the measured change."""

REAL_AUTHORS, WORLD_FACTS, HOLDOUT = "real_authors", "world_facts", "holdout"
TOFU_SETS = (UNLEARN, RETAIN)
BACKGROUND_SETS = (REAL_AUTHORS, WORLD_FACTS)
QUESTION_SETS = (*TOFU_SETS, *BACKGROUND_SETS)
MEMBERSHIP_SETS = (UNLEARN, HOLDOUT)
COMPARED = ("truth_ratio_geometric", "mia_loss", "mia_min_k")
"""The columns of a per-row log that are compared with the retain model's."""
EVALUATION_SETS = (*QUESTION_SETS, HOLDOUT)
"""The data sets of an evaluation; no model has ever seen the `holdout` rows."""

OTHER, RELEARNED = "other", "relearned"
"""D_u in two parts where rows of it are relearned: those that are not, and those that are."""

WHOLE_BITS = 32
"""The bits of weights that are not rounded."""

UTILITY_PARTS = tuple(
    (metric, dataset)
    for metric in ("probability", "rouge", "truth_ratio")
    for dataset in (RETAIN, REAL_AUTHORS, WORLD_FACTS)
)
"""The nine (metric, data set) pairs that Model Utility is the harmonic mean of."""

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradient_norm", "reference")
"""The membership inference attacks, as in the metrics `mia_*`."""

PRECISIONS = ("float32", "bf16")
"""In which a model's forward passes compute."""

OFFLOADED = ("shares", "measurement", "optimizer")
"""What can rest in the machine's memory instead of the card's (`models.offload`)."""

ADAPTER, MERGED = "adapter", "merged"
COORDINATES = (ADAPTER, MERGED)
"""What G-effects of a model with adapters are measured in (`models.adapters`)."""
ALL_LINEAR = "all-linear"
"""Stands for every linear layer but the unembedding as the target of adapters."""
