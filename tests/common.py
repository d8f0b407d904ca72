"""What tests share besides fixtures."""

EOS = 5
"""Of models without a tokenizer; not 0, with which much is filled."""

OUTSIDE: list[tuple[str, str]] = []
"""(kind, path) of losses outside of the package that the registry-wide tests take in."""


def declarations():
    """The declarations of all losses that the registry-wide tests cover."""
    from geffect.losses import registry

    inside = [spec for kind in registry.KINDS for spec in registry.catalogue(kind).values()]
    return inside + [registry.get(kind, path) for kind, path in OUTSIDE]


def rows_of(start, stop):
    """Rows of different lengths, so that a row taken for another one shows."""
    return [
        {
            "row": i,
            "question": f"What is number {i}?",
            "answer": f"It is {i} of them" + ", and one more" * (i * 7 % 5) + ".",
        }
        for i in range(start, stop)
    ]
