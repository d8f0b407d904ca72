"""Values of the command line, which come as text, with the types that the configuration wants."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from geffect.config.checks import SCHEMA

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, dict[str, Any]] = {
    "null": {"null": None, "~": None},
    "boolean": {"true": True, "false": False},
}


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
