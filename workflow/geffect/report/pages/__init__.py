"""Pages to look at results with: one HTML file each, without a network.

A page is a template in `templates/` and a module that prepares its data. Texts are escaped by the
template engine, data go into the page as JSON, and scripts only ever set text, never markup.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from geffect.files import hash_content, sha256

TEMPLATES = Path(__file__).parent / "templates"


def version() -> str:
    """A hash of all templates, styles and scripts: they count for a page as code does."""
    paths = sorted(path for path in TEMPLATES.iterdir() if path.is_file())
    return hash_content({path.name: sha256(path) for path in paths})[:16]


def render(template: str, **values: Any) -> str:
    """A page as text.

    Args:
        template: the name of a file in `templates/`.
        values: what it shows; one that it names and that is not here is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
