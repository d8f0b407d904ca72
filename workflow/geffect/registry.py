"""Finds unlearning objectives and regularizers: one file each, read without importing it.

A file `objectives/NAME.py` or `regularizers/NAME.py` declares, as literals:

- `HYPERPARAMETERS`: name -> JSON-schema fragment (type and range), e.g.
  `{"alpha": {"type": "number", "minimum": 0}}`;
- `NEEDS`: what the loop has to provide beyond the log-probabilities, out of `NEEDS` below;
- `REDUCTION`: "token" (its mean pools all label tokens) or "sample" (over samples);

and, optionally,

- `MINIMUM`: a lower bound of the loss; where it is attained the gradient is zero, and is taken as
  exactly zero instead of as rounding noise (KL and RR at the original model);
- `POSITIONS`: which positions a variant may ask it to pool, "labels" alone unless said otherwise;

and defines `loss(view, **hyperparameters)`, which returns a `losses.Sum`. An objective that
reweights log-likelihoods also defines `weight(view, **hyperparameters)`.
"""

import ast
import difflib
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from geffect.errors import ConfigError

NEEDS = {
    "reference_logp": "log p(y_i | x, y_<i; θ_o) of every label token",
    "reference_logits": "the original model's logits at every position",
    "hidden_states": "φ_l(s; θ), l being the hyper-parameter `layer`",
    "reference_hidden_states": "φ_l(s; θ_o), l being the hyper-parameter `layer`",
    "control_vector": "RMU's u ~ Uniform[0,1)^d, drawn once per cell",
    "refusals": "labels that are a randomly drawn refusal instead of the answer",
}
REFERENCE_NEEDS = frozenset({"reference_logp", "reference_logits", "reference_hidden_states"})
REDUCTIONS = ("token", "sample")
KINDS = ("objective", "regularizer")
_REQUIRED = ("HYPERPARAMETERS", "NEEDS", "REDUCTION")


@dataclass(frozen=True)
class Spec:
    """What a registered file declares about itself."""

    name: str
    kind: str
    path: Path
    hyperparameters: dict
    needs: frozenset
    reduction: str
    weighted: bool
    minimum: float | None
    positions: tuple[str, ...]

    def module(self) -> ModuleType:
        """The imported file (this imports torch if the file does)."""
        return importlib.import_module(f"geffect.{self.kind}s.{self.name}")


def _read(path: Path, kind: str) -> Spec:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}: no Python, line {error.lineno}: {error.msg}") from error
    literals, functions = {}, set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in (*_REQUIRED, "MINIMUM", "POSITIONS"):
                try:
                    literals[name] = ast.literal_eval(node.value)
                except (ValueError, TypeError) as error:
                    raise ConfigError(
                        f"{path}: {name} must be a literal (it is read without importing the file)"
                    ) from error
    missing = [name for name in _REQUIRED if name not in literals]
    if missing or "loss" not in functions:
        what = ", ".join([*missing, *([] if "loss" in functions else ["loss()"])])
        raise ConfigError(f"{path}: {what} is missing; see an existing {kind} beside it")
    for name, types in (("HYPERPARAMETERS", dict), ("NEEDS", (list, tuple, set))):
        if not isinstance(literals[name], types):
            raise ConfigError(f"{path}: {name} must be a {'dict' if types is dict else 'list'}")
    unknown = [need for need in literals["NEEDS"] if need not in list(NEEDS)]
    if unknown:
        raise ConfigError(f"{path}: unknown need {unknown[0]!r}; known: {', '.join(NEEDS)}")
    if literals["REDUCTION"] not in REDUCTIONS:
        raise ConfigError(f"{path}: REDUCTION must be one of {', '.join(REDUCTIONS)}")
    hidden = {"hidden_states", "reference_hidden_states", "control_vector"} & set(literals["NEEDS"])
    if hidden and "layer" not in literals["HYPERPARAMETERS"]:
        raise ConfigError(f"{path}: {sorted(hidden)[0]} needs a hyper-parameter `layer`")
    return Spec(
        name=path.stem,
        kind=kind,
        path=path,
        hyperparameters=literals["HYPERPARAMETERS"],
        needs=frozenset(literals["NEEDS"]),
        reduction=literals["REDUCTION"],
        weighted="weight" in functions,
        minimum=literals.get("MINIMUM"),
        positions=tuple(literals.get("POSITIONS", ["labels"])),
    )


@cache
def catalogue(kind: str) -> dict[str, Spec]:
    """All registered files of a kind ("objective" or "regularizer"), by name.

    Raises:
        ConfigError: a file does not declare what it must.
    """
    folder = Path(__file__).parent / f"{kind}s"
    paths = sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))
    return {path.stem: _read(path, kind) for path in paths}


def get(kind: str, name: str) -> Spec:
    """The declaration of one objective or regularizer.

    Raises:
        ConfigError: there is no such file.
    """
    specs = catalogue(kind)
    if name not in specs:
        raise ConfigError(f"unknown {kind} {name!r}{suggestion(name, specs)}")
    return specs[name]


def suggestion(name: str, known) -> str:
    """The tail of an error line: the closest known name, or all of them."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(str(k) for k in known))}"
