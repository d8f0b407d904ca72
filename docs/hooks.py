"""Generates the configuration page from the schema, so that the two cannot differ."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "workflow/geffect/config/schema.yaml"
DEFAULTS = ROOT / "config.yaml"
PLACEHOLDER = "<!-- schema -->"
TABLE = "| key | type | in config.yaml | meaning |\n|---|---|---|---|"
SHARED = {
    "loop": "training settings",
    "unlearning": "unlearning settings",
    "variant": "a variant",
    "model": "a model",
}
"""Definitions that get a section of their own, and how other sections call them."""


def on_page_markdown(markdown, page, config, files):
    """Called by MkDocs for every page."""
    if page.file.src_uri == "configuration.md":
        return markdown.replace(PLACEHOLDER, render())
    return markdown


def render() -> str:
    """The reference of all keys: a section per top-level key, then the shared definitions."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    defaults = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    definitions = schema["$defs"]
    single = {
        name: entry
        for name, entry in schema["properties"].items()
        if not any(part in _resolved(entry, definitions) for part in ("properties", "items"))
        and not isinstance(entry.get("additionalProperties"), dict)
    }
    parts = ["## Single values", TABLE, *_rows(single, definitions, defaults, "")]
    parts[1:] = ["\n" + parts[1], *parts[2:]]
    for name, entry in schema["properties"].items():
        if name not in single:
            parts.append(_section(f"`{name}`", name, entry, definitions, defaults.get(name)))
    for name, title in SHARED.items():
        heading = title.removeprefix("a ").capitalize()
        shown = {"loop": "finetune", "unlearning": "unlearn"}
        values = defaults["training"][shown[name]] if name in shown else None
        parts.append(_section(heading, "", definitions[name], definitions, values))
    return "\n".join(parts)


def _section(title, name, entry, definitions, defaults):
    entry = _resolved(entry, definitions)
    text = [f"\n## {title}\n", _sentence(entry.get("description", "")) + "\n"]
    inner, prefix = entry, ""
    if "properties" not in entry:
        inner = entry.get("items", entry.get("additionalProperties", {}))
        owner = SHARED.get(str(inner.get("$ref", "")).rpartition("/")[2])
        extra = {key: value for key, value in inner.items() if key != "$ref"}
        if owner is not None:
            text.append(f"Each entry is {owner}; see [{_plain(owner)}](#{_plain(owner)}).\n")
            inner = extra
        else:
            inner = _resolved(inner, definitions)
        defaults = None
    rows = _rows(inner.get("properties", {}), definitions, defaults, prefix)
    return "\n".join([*text, *([TABLE, *rows] if rows else [])])


def _plain(owner):
    return owner.removeprefix("a ").replace(" ", "-")


def _rows(properties, definitions, defaults, prefix):
    rows = []
    for name, given in properties.items():
        entry = _resolved(given, definitions)
        value = defaults.get(name) if isinstance(defaults, dict) else None
        shared = SHARED.get(str(given.get("$ref", "")).rpartition("/")[2])
        described = _sentence(entry.get("description", ""))
        nested = {} if shared else entry.get("properties", {})
        kind = f"[{shared}](#{_plain(shared)})" if shared else _type(entry, definitions)
        if _alike(nested):  # the same keys again and again
            names = ", ".join(f"`{sibling}`" for sibling in nested)
            keys = ", ".join(f"`{key}`" for key in next(iter(nested.values()))["properties"])
            text = f"{described} One for each of {names}; keys of each: {keys}.".strip()
            rows.append(f"| `{prefix}{name}` | object | | {text} |")
            continue
        if nested:
            rows.append(f"| `{prefix}{name}` | object | | {described} |")
            rows += _rows(nested, definitions, value, f"{prefix}{name}.")
            continue
        known = isinstance(defaults, dict) and name in defaults and not isinstance(value, dict)
        shown = f"`{yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}`"
        rows.append(f"| `{prefix}{name}` | {kind} | {shown if known else ''} | {described} |")
    return rows


def _alike(nested):
    entries = list(nested.values())
    return len(entries) > 1 and "properties" in entries[0] and entries.count(entries[0]) > 1


def _resolved(entry, definitions):
    """An entry with what it refers to; its own keys win."""
    if "$ref" in entry:
        target = _resolved(definitions[entry["$ref"].rpartition("/")[2]], definitions)
        return {**target, **{key: value for key, value in entry.items() if key != "$ref"}}
    return entry


def _type(entry, definitions):
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    kinds = entry.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds == ["array"]:
        return f"list of {_type(_resolved(entry['items'], definitions), definitions)}"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limit = ", ".join(f"{sign} {entry[key]}" for key, sign in limits.items() if key in entry)
    return " or ".join(kinds) + (f" {limit}" if limit else "")


def _sentence(text):
    text = " ".join(text.split()).replace("|", "\\|")
    return text if not text or text.endswith((".", ":")) else f"{text}."
