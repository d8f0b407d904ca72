"""The sizes of a model's parts, from its Hugging Face config: parameters, and what passes keep."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geffect import files
from geffect.errors import ConfigError
from geffect.names import ALL_LINEAR

# The configs of the paper's models, so that planning needs no network.
_KNOWN: Mapping[str, Mapping[str, Any]] = {
    "microsoft/phi-1_5": {
        "model_type": "phi",
        "num_hidden_layers": 24,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "vocab_size": 51200,
    },
    "NousResearch/Llama-2-7b-chat-hf": {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "vocab_size": 32000,
    },
}
_LLAMA_LIKE = ("llama", "mistral")
ARCHITECTURES = ("phi", *_LLAMA_LIKE)


@dataclass(frozen=True)
class Shape:
    """A decoder of equal blocks.

    Attributes:
        architecture: its Hugging Face model type.
        layers: number of blocks.
        hidden: dimension d of the hidden states.
        intermediate: dimension of the MLPs.
        keys: dimension of the keys, and of the values, of all heads.
        vocabulary: number of tokens.
        tied: whether embedding and unembedding are one parameter.
        rank: of adapters, the only thing that is trained then; 0 without.
        targets: names of the matrices of a block that have them.
        merged: whether gradients are measured in the weights that they are merged into.
    """

    architecture: str
    layers: int
    hidden: int
    intermediate: int
    keys: int
    vocabulary: int
    tied: bool
    rank: int = 0
    targets: tuple[str, ...] = ()
    merged: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> "Shape":
        """From the entries of a `config.json`; `where` names it in errors.

        Raises:
            ConfigError: the architecture is unknown here, or an entry is missing.
        """
        architecture = config.get("model_type")
        if architecture not in ARCHITECTURES:
            raise ConfigError(
                f"{where}: the cost of architecture {architecture!r} is unknown; known: "
                f"{', '.join(ARCHITECTURES)}"
            )
        try:
            hidden, heads = config["hidden_size"], config["num_attention_heads"]
            groups = config.get("num_key_value_heads") or heads
            return cls(
                architecture,
                config["num_hidden_layers"],
                hidden,
                config["intermediate_size"],
                groups * (config.get("head_dim") or hidden // heads),
                config["vocab_size"],
                bool(config.get("tie_word_embeddings", False)),
            )
        except KeyError as error:
            raise ConfigError(f"{where}: has no {error.args[0]}; complete it") from error

    @property
    def embedding(self) -> int:
        """Parameters of the embedding alone, the largest single parameter."""
        return self.vocabulary * self.hidden

    @property
    def matrices(self) -> int:
        """Parameters of all matrices that a token is multiplied with, the unembedding included."""
        d, f = self.hidden, self.intermediate
        mlp = (2 if self.architecture == "phi" else 3) * d * f
        return self.layers * (2 * d * d + 2 * d * self.keys + mlp) + self.embedding

    @property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """The matrices of a block by name: numbers of columns and rows."""
        d, k, f = self.hidden, self.keys, self.intermediate
        found = {"q_proj": (d, d), "k_proj": (d, k), "v_proj": (d, k)}
        if self.architecture == "phi":
            return {**found, "dense": (d, d), "fc1": (d, f), "fc2": (f, d)}
        mlp = {"gate_proj": (d, f), "up_proj": (d, f), "down_proj": (f, d)}
        return {**found, "o_proj": (d, d), **mlp}

    def adapted(self, lora: Mapping[str, Any] | None, merged: bool = False) -> "Shape":
        """The same with the adapters that the key `lora` of a configuration asks for."""
        if lora is None:
            return self
        named = lora["targets"]
        asked = list(self.blocks) if named == ALL_LINEAR else [n.rpartition(".")[2] for n in named]
        targets = tuple(name for name in self.blocks if name in asked)
        return replace(self, rank=lora["rank"], targets=targets, merged=merged)

    @property
    def trained(self) -> int:
        """Parameters that are trained: all, or those of adapters."""
        if not self.rank:
            return self.parameters
        return self.layers * self.rank * sum(sum(self.blocks[name]) for name in self.targets)

    @property
    def measured(self) -> int:
        """Parameters that a measured gradient has."""
        if not self.merged:
            return self.trained
        return self.layers * sum(a * b for a, b in (self.blocks[name] for name in self.targets))

    @property
    def largest(self) -> int:
        """Parameters of the largest single tensor of a measured gradient."""
        if not self.rank:
            return self.embedding
        sizes = (self.blocks[name] for name in self.targets)
        return max(a * b if self.merged else self.rank * max(a, b) for a, b in sizes)

    @property
    def linear(self) -> int:
        """Parameters of linear layers that nothing else uses (`models.compute.halved`)."""
        return self.matrices - (self.embedding if self.tied else 0)

    @property
    def parameters(self) -> int:
        """All parameters."""
        d, f = self.hidden, self.intermediate
        if self.architecture == "phi":  # one layer norm a block, and biases
            vectors = self.layers * (2 * d + 2 * d + 2 * self.keys + f + d) + 2 * d
            vectors += self.vocabulary
        else:
            vectors = self.layers * 2 * d + d
        return self.matrices + vectors + (0 if self.tied else self.embedding)

    def kept(self, precision: str) -> float:
        """Bytes that the graph of a block keeps for the backward pass, per token.

        As measured of transformers' blocks: the residual stream and what norms and rotations keep,
        in float32; inputs of matrix products, in the precision that they are computed in and with
        a copy for each product where they are rounded; and what the activation function keeps.
        """
        d, k, f = self.hidden, self.keys, self.intermediate
        if self.architecture == "phi":
            if precision == "float32":
                return 4 * (5.5 * d + 2 * k + 5 * f)
            return 4 * 2.5 * d + 2 * (6 * d + 2 * k + 5 * f)
        if precision == "float32":
            return 4 * (9 * d + 2 * k + 4 * f)
        return 4 * 5.5 * d + 2 * (7 * d + 2 * k + 4 * f)


def shape_of(entry: Mapping[str, Any], where: str, downloaded: Path | None = None) -> Shape:
    """The shape of a model from its entry in the configuration.

    Args:
        where: names the entry, for errors.
        downloaded: where a hub model's folder lies once it is there.

    Raises:
        ConfigError: it is a hub model of which neither its sizes are known here nor its
            `config.json` is there; or its architecture is unknown.
    """
    if entry["source"] == "scratch":
        own = {"model_type": entry["architecture"], "vocab_size": entry["vocabulary"]}
        return Shape.of({**own, **entry["config"]}, f"{where}.config")
    folder = Path(entry["path"]) if entry["source"] == "path" else downloaded
    if folder is not None and (folder / "config.json").is_file():
        return Shape.of(files.read_json(folder / "config.json"), str(folder / "config.json"))
    if entry["source"] == "hub" and entry["id"] in _KNOWN:
        return Shape.of(_KNOWN[entry["id"]], where)
    raise ConfigError(f"{where}: there is no config.json of it yet; download the model first")
