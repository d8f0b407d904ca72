"""How hyper-parameters are written."""

from typing import Any

SYMBOLS = {
    "alpha": "α",
    "beta": "β",
    "beta1": "β1",
    "beta2": "β2",
    "gamma": "γ",
    "delta": "δ",
    "layer": "layer",
    "c": "c",
}
"""How hyper-parameters are written."""


def written(key: str, value: Any) -> str:
    """A hyper-parameter and its value, such as `α = 5` or `layer 9`."""
    symbol = SYMBOLS.get(key, key)
    word = symbol.isalpha() and len(symbol) > 1
    return f"{symbol} {text(value)}" if word else f"{symbol} = {text(value)}"


def text(value: Any) -> str:
    """A value for readers."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)
