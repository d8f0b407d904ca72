"""What a card can do: memory, speed, bandwidth; and how much of it a job gets out."""

from collections.abc import Mapping
from dataclasses import dataclass

from geffect.errors import ConfigError

GB = 1e9
TERA = 1e12


@dataclass(frozen=True)
class Card:
    """A GPU.

    Attributes:
        name: what it is called here.
        memory: bytes.
        flops: precision -> dense FLOP/s of its data sheet, for float32, tf32 and bf16.
        bandwidth: of its memory, bytes/s.
    """

    name: str
    memory: float
    flops: Mapping[str, float]
    bandwidth: float


def _card(name: str, gb: float, tb: float, float32: float, tf32: float, bf16: float) -> Card:
    flops = {"float32": float32 * TERA, "tf32": tf32 * TERA, "bf16": bf16 * TERA}
    return Card(name, gb * GB, flops, tb * TERA)


# From the manufacturer's data sheets (SXM), without sparsity.
CARDS = {
    card.name: card
    for card in (
        _card("A100-40GB", 40, 1.555, 19.5, 156, 312),
        _card("A100-80GB", 80, 2.039, 19.5, 156, 312),
        _card("H100", 80, 3.35, 67, 494, 989),
        _card("H200", 141, 4.8, 67, 494, 989),
    )
}

UTILISATION = {"float32": 0.7, "tf32": 0.4, "bf16": 0.4}
"""The share of a card's FLOP/s that full batches get out of it, unless measured."""
OF_BANDWIDTH = 0.7
"""The share of its bandwidth."""
USUAL = "A100-80GB"
"""The card of which a plan speaks where none is named."""
USABLE = 0.94
"""The share of a card's memory that tensors can have."""


def card_of(name: str) -> Card:
    """The card of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in CARDS:
        raise ConfigError(
            f"--card {name}: unknown{ConfigError.suggestion(name, CARDS)}; or give --flops and --gb"
        )
    return CARDS[name]


def own_card(flops: float, gb: float, bandwidth: float | None = None) -> Card:
    """A card of given FLOP/s (in every precision) and GB; bandwidth in GB/s.

    Without a bandwidth it is a byte for every 150 FLOP, as of GPUs in bfloat16, but not less than a
    CPU has.
    """
    speed = dict.fromkeys(UTILISATION, flops)
    usual = max(flops / 150, 10 * GB)
    return Card("given", gb * GB, speed, usual if bandwidth is None else bandwidth * GB)
