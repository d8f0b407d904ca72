"""How a loss is found, what it sees of a batch, and how its values are pooled."""
