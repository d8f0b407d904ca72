"""Finds unlearning objectives and regularizers: one file each, read without importing it.

A file `objectives/NAME.py` or `regularizers/NAME.py`, or any file that a configuration names by
its path, defines

- `loss(view, **hyperparameters)`: the values that its mean pools, differentiable;
- optionally `weight(view, **hyperparameters)`: if its gradient is that of a reweighted
  log-likelihood, the weights w of Σ w ∇log p, detached and of the shape of the values; with the
  need `refusal_pairs` two of them, for the answers' and the refusals' labels, each [B] or [B, T];
  with the need `runner_up` two of that shape, for the labels and the runners-up;

and, as literals, all of them optional,

- `HYPERPARAMETERS`: name -> JSON-schema fragment (type and range), e.g.
  `{"alpha": {"type": "number", "minimum": 0}}`; one with a `default` may be left out;
- `NEEDS`: what it needs besides log-probabilities, some of `NEEDS` below;
- `REDUCTION`: "token" (values [B, T], pooled over label tokens; the default) or "sample"
  (values [B], pooled over samples);
- `MINIMUM`: a lower bound of the loss; where it is attained the gradient is zero, and is taken as
  exactly zero instead of as rounding noise (KL and RR at the original model);
- `POSITIONS`: the positions that a variant may choose to pool, by default ["labels"]; "all"
  includes questions and padding, as the authors' code does for KL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from geffect import declarations
from geffect.errors import ConfigError, LossError
from geffect.names import OBJECTIVE, REGULARIZER

NEEDS = {
    "reference_logp": "log p(y_i | x, y_<i; θ_o) of every label token",
    "reference_logits": "the original model's logits at every position",
    "hidden_states": "φ_l(s; θ), l being the hyper-parameter `layer`",
    "reference_hidden_states": "φ_l(s; θ_o), l being the hyper-parameter `layer`",
    "control_vector": "RMU's u ~ Uniform[0,1)^d, drawn once per cell",
    "refusals": "labels that are a randomly drawn refusal instead of the answer (objectives alone)",
    "refusal_pairs": "beside every answer a randomly drawn refusal to the same question",
    "runner_up": "log p of the most probable token other than the label",
}
ORIGINAL_NEEDS = frozenset({"reference_logp", "reference_logits", "reference_hidden_states"})
HIDDEN_NEEDS = frozenset({"hidden_states", "reference_hidden_states", "control_vector"})
REDUCTIONS = ("token", "sample")
POSITIONS = ("labels", "all")
KINDS = (OBJECTIVE, REGULARIZER)
_DEFAULTS: Mapping[str, Any] = {
    "HYPERPARAMETERS": {},
    "NEEDS": [],
    "REDUCTION": "token",
    "MINIMUM": None,
    "POSITIONS": ["labels"],
}
_TYPES: Mapping[str, Any] = {
    "HYPERPARAMETERS": dict,
    "NEEDS": (list, tuple, set),
    "POSITIONS": (list, tuple),
}


@dataclass(frozen=True)
class Declaration:
    """What a loss's file declares.

    Attributes:
        name: the file's name without `.py`.
        kind: "objective" or "regularizer".
        path: the file.
        hyperparameters: name -> JSON-schema fragment.
        needs: some of `NEEDS`.
        reduction: "token" or "sample".
        weighted: whether it defines `weight`.
        minimum: its lower bound; None if none is declared.
        positions: some of `POSITIONS`.
    """

    name: str
    kind: str
    path: Path
    hyperparameters: dict[str, dict]
    needs: frozenset[str]
    reduction: str
    weighted: bool
    minimum: float | None
    positions: tuple[str, ...]

    @property
    def defaults(self) -> dict[str, Any]:
        """The hyper-parameters that may be left out, with the value that they then have."""
        fragments = self.hyperparameters.items()
        return {name: f["default"] for name, f in fragments if "default" in f}

    def module(self) -> ModuleType:
        """The imported file (this imports torch if the file does).

        Raises:
            LossError: the file cannot be imported.
        """
        return declarations.load(self.path, self.kind, LossError)


def _folder(kind: str) -> Path:
    return Path(__file__).parent.parent / f"{kind}s"


def read(path: Path, kind: str) -> Declaration:
    """What a file declares, without importing it.

    Raises:
        ConfigError: the file cannot be read, or does not declare what it must.
    """
    literals, functions = declarations.read(path, _DEFAULTS)
    if "loss" not in functions:
        raise ConfigError(f"{path}: defines no loss(); see an existing {kind}")
    for name, types in _TYPES.items():
        if not isinstance(literals[name], types):
            raise ConfigError(f"{path}: {name} must be a {'dict' if types is dict else 'list'}")
    for name, known in (("NEEDS", NEEDS), ("POSITIONS", POSITIONS)):
        unknown = [entry for entry in literals[name] if entry not in list(known)]
        if unknown:
            raise ConfigError(
                f"{path}: {name} has an unknown entry {unknown[0]!r}; known: {', '.join(known)}"
            )
    if literals["REDUCTION"] not in REDUCTIONS:
        raise ConfigError(f"{path}: REDUCTION must be one of {', '.join(REDUCTIONS)}")
    if kind == REGULARIZER and "refusals" in literals["NEEDS"]:
        raise ConfigError(
            f"{path}: refusals replace the answers of forget rows, which a {kind} does not see; "
            "need refusal_pairs"
        )
    if "refusal_pairs" in literals["NEEDS"] and literals["REDUCTION"] != "sample":
        raise ConfigError(f'{path}: refusal_pairs needs REDUCTION = "sample": a value per pair')
    if {"refusal_pairs", "runner_up"} <= set(literals["NEEDS"]) and "weight" in functions:
        raise ConfigError(
            f"{path}: a weight() for refusal_pairs and runner_up is not defined; need one of them"
        )
    hidden = HIDDEN_NEEDS & set(literals["NEEDS"])
    if hidden and "layer" not in literals["HYPERPARAMETERS"]:
        raise ConfigError(f"{path}: {sorted(hidden)[0]} needs a hyper-parameter `layer`")
    return Declaration(
        name=path.stem,
        kind=kind,
        path=path,
        hyperparameters=literals["HYPERPARAMETERS"],
        needs=frozenset(literals["NEEDS"]),
        reduction=literals["REDUCTION"],
        weighted="weight" in functions,
        minimum=literals["MINIMUM"],
        positions=tuple(literals["POSITIONS"]),
    )


@cache
def catalogue(kind: str) -> dict[str, Declaration]:
    """The declarations of all files of the package, by name; `kind` is one of `KINDS`.

    Raises:
        ConfigError: a file does not declare what it must.
    """
    paths = sorted(p for p in _folder(kind).glob("*.py") if not p.name.startswith("_"))
    return {path.stem: read(path, kind) for path in paths}


def get(kind: str, name: str) -> Declaration:
    """The declaration of one objective or regularizer.

    Args:
        kind: "objective" or "regularizer".
        name: its name in the package, or the path of a file (which ends in `.py`).

    Raises:
        ConfigError: there is no such file, or it does not declare what it must.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ConfigError(f"{kind} {name}: there is no such file; check the path")
        return read(Path(name).resolve(), kind)
    known = catalogue(kind)
    if name not in known:
        raise ConfigError(
            f"unknown {kind} {name!r}{ConfigError.suggestion(name, known)}"
            "; or name a file by its path"
        )
    return known[name]
