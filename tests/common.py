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


def small_model(architecture, vocabulary, rng, eos=0, **sizes):
    """A random model from scratch; `sizes` are entries of its config that are to be others."""
    from geffect.models import scratch

    config = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if architecture == "llama" else 4,
        "max_position_embeddings": 64,
    }
    return scratch.build(architecture, config | sizes, vocabulary, eos, int(rng.integers(2**31)))
