"""What is checked of a configuration's single values, and of the model folders that it names.

Imports neither torch nor transformers. Every error is one line that names the key and the remedy.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from geffect.errors import ConfigError
from geffect.files import MODEL_FILES, missing_files

SCHEMA = Path(__file__).parent / "schema.yaml"
TOKENIZER = "tokenizer*"

# 42.0 is an integer to JSON schema, but would name other paths than 42.
_VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    ),
)
_IN_WORDS = {
    "array": "a list",
    "object": "a mapping of keys to values",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_NUMBER = r"([+-]?[0-9]+)(\.[0-9]*)?(?:[eE]([+-]?)([0-9]+))?"
_EMBEDDING = r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$"
_UNEMBEDDING = r"(^|\.)(lm_head|embed_out|output)\.weight$"
_OTHER_NAMES = ("n_layer", "n_layers", "num_layers")


def check_schema(raw: Any) -> None:
    """Raises ConfigError for the first key or value that the schema does not allow."""
    _check_finite(raw, ())
    check(raw, _schema())


@cache
def _schema() -> dict:
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def check_section(name: str, section: Any, where: str, whole: bool = True) -> None:
    """Raises ConfigError, naming `where`, unless a section of a configuration is as it must be.

    Unless it is given as a `whole`, keys may be missing.
    """
    schema = _schema()
    _check_finite(section, (), where)
    rules = {"$defs": schema["$defs"], **schema["properties"][name]}
    check(section, rules if whole else {**rules, "required": []}, where)


def check(value: Any, schema: Mapping, where: str = "") -> None:
    """Raises ConfigError, naming `where` and the key below it, unless a value fits a schema.

    `allowed` in a schema says in words what its `pattern` demands.
    """
    errors = sorted(
        _VALIDATOR(schema).iter_errors(value),
        key=lambda e: (e.validator != "additionalProperties", len(e.path)),
    )
    if errors:
        raise ConfigError(_explain(errors[0], where))


def _check_finite(value: Any, path: tuple, where: str = "") -> None:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _check_finite(entry, (*path, key), where)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            _check_finite(entry, (*path, number), where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{_key(path, where)}: {value} is not a finite number; write one")


def _key(path: Any, where: str = "") -> str:
    parts = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return f"{where}{parts}".lstrip(".") or "config"


def _explain(error: jsonschema.ValidationError, where: str) -> str:
    key, given = _key(error.absolute_path, where), error.instance
    rule, wanted = error.validator, error.validator_value
    if rule == "additionalProperties" and isinstance(given, Mapping):
        known = error.schema.get("properties", {})
        unknown = next((k for k in given if k not in known), None)
        if unknown is not None:
            return f"{key}.{unknown}: unknown key{ConfigError.suggestion(unknown, known)}"
    if rule == "required":
        absent = next(k for k in wanted if k not in given)
        return f"{key}.{absent}: missing; set it"
    if rule == "type":
        return f"{key}: {_wrong_type(given, [wanted] if isinstance(wanted, str) else wanted)}"
    if rule == "pattern" and "allowed" in error.schema:
        return f"{key}: {given!r} is not allowed; write {error.schema['allowed']}"
    if rule == "uniqueItems":
        twice = next(v for number, v in enumerate(given) if v in given[:number])
        return f"{key}: {twice!r} is listed twice; list it once"
    if rule in ("minItems", "minProperties"):
        return f"{key}: is empty; name at least one"
    if rule == "enum":
        return f"{key}: {_short(given)} is unknown{ConfigError.suggestion(given, wanted)}"
    return f"{key}: {' '.join(error.message.split())}; choose a value in range"


def _wrong_type(given: Any, wanted: list[str]) -> str:
    kinds = " or ".join(_IN_WORDS[kind] for kind in wanted)
    number = _as_number(given) if isinstance(given, str) else None
    if number and not {"number", "integer"}.isdisjoint(wanted):
        return f"{given!r} is read as text, not as {kinds}; write {number}"
    if wanted == ["integer"] and isinstance(given, float) and given.is_integer():
        return f"{given} is not an integer; write {int(given)}"
    if wanted == ["array"] and isinstance(given, str | int | float):
        return f"{_short(given)} is not a list; write [{given}]"
    if wanted == ["string"] and isinstance(given, bool | int | float):
        return f"{_short(given)} is not text; write it in quotes"
    return f"{_short(given)} is not {kinds}; write {kinds}"


def _as_number(text: str) -> str | None:
    """How YAML wants a number that it has read as text: it needs the point and the exponent's sign.

    `1e-3` is text to YAML 1.1, `1.0e-3` a number.
    """
    found = re.fullmatch(_NUMBER, text.strip())
    if found is None:
        return None
    whole, fraction, sign, exponent = found.groups()
    if exponent is None:
        return text.strip()
    return f"{whole}{fraction if fraction and fraction != '.' else '.0'}e{sign or '+'}{exponent}"


def _short(value: Any) -> str:
    text = "null" if value is None else " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- Architectures and model folders.


def check_numbers(config: Mapping, where: str) -> None:
    """Raises ConfigError, naming `where` and the key, for a number that YAML has read as text."""
    for name, value in config.items():
        if isinstance(value, str) and _as_number(value):
            raise ConfigError(f"{where}.{name}: {_wrong_type(value, ['number'])}")


def check_architecture(config: Mapping, where: str) -> None:
    """Raises ConfigError, naming `where`, for numbers of heads that do not fit one another."""
    names = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    hidden, heads, shared, own = (config.get(name) for name in names)
    if isinstance(hidden, int) and isinstance(heads, int) and not own and hidden % max(heads, 1):
        raise ConfigError(
            f"{where}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}; "
            "change one of them"
        )
    if isinstance(shared, int) and isinstance(heads, int) and heads % max(shared, 1):
        raise ConfigError(
            f"{where}: num_attention_heads {heads} is not a multiple of num_key_value_heads "
            f"{shared}; change one of them"
        )


def folder_config(folder: str | Path, where: str) -> dict:
    """The content of a model folder's config.json, with `num_hidden_layers` by whatever name.

    Raises:
        ConfigError: naming `where`: the folder is none of a model, or its config does not.
    """
    if missing := missing_files(folder, (*MODEL_FILES, TOKENIZER)):
        raise ConfigError(
            f"{where}: {folder} is not a model folder (no {missing[0]}); name one written by "
            "save_pretrained, with its tokenizer"
        )
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: {path} is not JSON; copy the folder again") from error
    found = config if isinstance(config, dict) else {}
    blocks = next((found[n] for n in ("num_hidden_layers", *_OTHER_NAMES) if n in found), None)
    if type(blocks) is not int:
        raise ConfigError(
            f"{where}: {path} does not say num_hidden_layers as an integer; name a model whose "
            "config does, such as Phi or Llama"
        )
    return {**found, "num_hidden_layers": blocks}


def check_folder(folder: str | Path, where: str) -> None:
    """Checks that a model folder's config, weights and tokenizer fit one another.

    Raises:
        ConfigError: naming `where` and the file.
    """
    config = folder_config(folder, where)
    check_architecture(config, f"{where}: {Path(folder) / 'config.json'}")
    index = Path(folder) / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(_json(index, where).get("weight_map", {}).values()))
        if lost := [name for name in shards if not (Path(folder) / name).is_file()]:
            raise ConfigError(f"{where}: {folder} lacks {lost[0]}; copy the folder again")
    rows = config.get("vocab_size")
    for path, name, shape in _tensors(folder, where):
        if re.search(_EMBEDDING, name) and isinstance(rows, int) and shape[0] != rows:
            raise ConfigError(
                f"{where}: {path} holds {shape[0]} rows of embeddings, but config.json says "
                f"vocab_size {rows}; name a folder whose files belong together"
            )
    tokenizer = Path(folder) / "tokenizer.json"
    if isinstance(rows, int) and tokenizer.is_file():
        highest = max(_token_ids(_json(tokenizer, where)), default=-1)
        if highest >= rows:
            raise ConfigError(
                f"{where}: {tokenizer} has a token with the id {highest}, but the model has "
                f"embeddings for {rows}; name a folder whose files belong together"
            )


def check_folders(folders: Mapping[str, str | Path]) -> None:
    """Checks the folders that one model is taken from: each of them, and that they are alike.

    Args:
        folders: by their keys in the configuration.

    Raises:
        ConfigError: naming the key, and the file or the first parameter that differs.
    """
    shapes: dict[str, dict[str, list[int]]] = {}
    for where, folder in folders.items():
        check_folder(folder, where)
        shapes[where] = {name: shape for _, name, shape in _tensors(folder, where)}
    for where, own in shapes.items():
        first, wanted = next(iter(shapes.items()))
        for name in sorted(own.keys() | wanted.keys()):
            absent = name not in own or name not in wanted
            if absent and re.search(_UNEMBEDDING, name):
                continue  # of tied ones some files hold one, some both
            if own.get(name) != wanted.get(name):
                raise ConfigError(
                    f"{where}: {name} is {own.get(name, 'not there')}, but "
                    f"{wanted.get(name, 'not there')} in {first}; name models of one architecture"
                )


def check_targets(targets: str | Iterable[str], folder: str | Path, where: str) -> None:
    """Checks that the targets of adapters name modules with matrices of a model folder.

    Raises:
        ConfigError: naming `where` and the target.
    """
    if isinstance(targets, str):
        return
    names = [n for _, n, shape in _tensors(folder, where) if len(shape) == 2]
    modules = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in modules):
            known = {name.rpartition(".")[2] for name in modules}
            raise ConfigError(
                f"{where}.targets: {target!r} is no matrix of {folder}"
                f"{ConfigError.suggestion(target, known)}"
            )


def _json(path: Path, where: str) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: {path} is not JSON; copy the folder again") from error
    return content if isinstance(content, dict) else {}


def _tensors(folder: str | Path, where: str) -> Iterator[tuple[Path, str, list[int]]]:
    """File, name and shape of every tensor of a folder, from the headers of its safetensors."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        size = path.stat().st_size
        try:
            with open(path, "rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if length + 8 > size:
                    raise ValueError("cut off")
                header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            shapes = {name: list(entry["shape"]) for name, entry in header.items()}
            if 8 + length + max((e["data_offsets"][1] for e in header.values()), default=0) > size:
                raise ValueError("cut off")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where}: {path} is damaged or cut off; copy it again") from error
        for name, shape in shapes.items():
            yield path, name, shape


def _token_ids(tokenizer: Mapping) -> Iterator[int]:
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, Mapping):
        yield from vocabulary.values()
    else:
        yield len(vocabulary) - 1  # a list of tokens: its order is their numbers
    yield from (entry["id"] for entry in tokenizer.get("added_tokens") or ())
