"""What a command line gives: configuration files, and values, which come as text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from geffect.config.checks import SCHEMA
from geffect.errors import ConfigError

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, dict[str, Any]] = {
    "null": {"null": None, "~": None},
    "boolean": {"true": True, "false": False},
}
_KEY = re.compile(r"[a-zA-Z_][\w-]*\w")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: str | Path, where: str) -> dict:
    """The content of a configuration file, YAML or JSON.

    Args:
        where: what names the file, for errors.

    Raises:
        ConfigError: it is not there, cannot be read, or holds anything but a mapping of keys to
            values; a key is there twice, of which YAML would keep the last.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{where}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{where}: is a folder; name a YAML file") from error
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8; save it as UTF-8") from error
    try:
        content = json.loads(text)  # which may hold tabs, unlike YAML
    except ValueError:
        content = _read_yaml(text, where)
    if content is None:
        raise ConfigError(f"{where}: is empty; write `key: value` lines, or leave it out")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise ConfigError(f"{where}: holds {kind}, not keys with values; write `key: value` lines")
    return content


def _read_yaml(text: str, where: str) -> Any:
    try:
        twice = next(_twice(yaml.compose(text, _LOADER)), None)
        content = _LOADER(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        why = ", ".join(part for part in (error.problem, error.context) if part)
        raise ConfigError(f"{where}: {line}not YAML ({why}); fix the file") from error
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"{where}: not YAML ({why}); fix the file") from error
    if twice is not None:
        number = twice.start_mark.line + 1
        raise ConfigError(
            f"{where}: line {number}: {twice.value!r} appears for the second time; merge both"
        )
    return content


def _twice(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """The keys that the mapping around them already has."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                yield key
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


def once(option: str, given: Sequence[Sequence[str]]) -> Sequence[str]:
    """What follows an option, which may be there once: of two, Snakemake drops the first.

    Args:
        option: with its dashes.
        given: what follows it, each time that it is there.

    Raises:
        ConfigError: it is there several times.
    """
    if len(given) > 1:
        merged = " ".join(text for texts in given for text in texts)
        raise ConfigError(f"{option}: is given {len(given)} times; write {option} {merged}")
    return given[0] if given else []


def check_value(text: str, where: str) -> None:
    """Raises ConfigError, naming `where`, unless a text has the form KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{where}: no value; write {key}=VALUE")
    first, dot, rest = key.partition(".")
    if dot and _KEY.fullmatch(first):
        for part in reversed(rest.split(".")):
            value = f"{{{part}: {value}}}"
        raise ConfigError(f"{where}: {key!r} is not a key; write '{first}={value}'")
    if not _KEY.fullmatch(key):
        raise ConfigError(f"{where}: {key!r} is not a key of the configuration; see config.yaml")


def use_given(config: dict, given: Mapping[str, Any]) -> None:
    """Gives the values in a configuration that the command line has set the types of the schema.

    What does not look like any of the wanted types stays as it is, for the check to refuse.

    Args:
        config: with the given values already merged into it; changed in place.
        given: key -> value as the command line has it.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    for key, value in given.items():
        _use(config, key, value, _inside(schema, key, schema), schema)


def _use(config: Any, key: str, given: Any, wanted: Mapping, schema: Mapping) -> None:
    if not isinstance(config, dict) or key not in config:
        return
    if isinstance(given, Mapping) and isinstance(config[key], dict):
        for name, value in given.items():
            _use(config[key], name, value, _inside(wanted, name, schema), schema)
    elif config[key] == given:
        config[key] = _typed(given, wanted, schema)


def _typed(value: Any, wanted: Mapping, schema: Mapping) -> Any:
    if isinstance(value, Mapping):
        return {k: _typed(v, _inside(wanted, k, schema), schema) for k, v in value.items()}
    if isinstance(value, list):
        items = _resolved(wanted.get("items", {}), schema)
        return [_typed(item, items, schema) for item in value]
    types = wanted.get("type", "string" if "enum" in wanted else None)
    if isinstance(value, str):
        return _from_text(value, [types] if isinstance(types, str) else types)
    if types == "string" and value is not None and not isinstance(value, bool):
        return str(value)  # a name that is a number
    return value


def _from_text(text: str, types: list[str] | None) -> Any:
    if types is None:  # entries of a Hugging Face config: whatever YAML makes of them
        value = yaml.safe_load(text)
        return value if isinstance(value, bool | int | float | None) else text
    for name, words in _WORDS.items():
        if name in types and text.lower() in words:
            return words[text.lower()]
    if {"integer", "number"} & set(types) and _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if "number" in types and _NUMBER.fullmatch(text) else text


def _inside(wanted: Mapping, key: str, schema: Mapping) -> Mapping:
    """The schema of a key of an object."""
    found = wanted.get("properties", {}).get(key)
    if found is None:
        found = wanted.get("additionalProperties", {})
    return _resolved(found if isinstance(found, Mapping) else {}, schema)


def _resolved(wanted: Mapping, schema: Mapping) -> Mapping:
    """A part of the schema, with what it refers to."""
    if "$ref" not in wanted:
        return wanted
    there = schema["$defs"][wanted["$ref"].rpartition("/")[2]]
    return {**_resolved(there, schema), **wanted}
