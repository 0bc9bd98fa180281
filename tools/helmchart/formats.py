"""The forms of texts, as a named template: it says in a sentence what is wrong and what to write instead."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helmchart.model import FIX_KEY, PATTERN_KEY
from helmchart.schema import schema_with_patterns
from helmchart.text import TEMPLATE_HEADER


def formats() -> tuple[Path, str]:
    """The template: its path below the chart's folder, and its text."""
    checks = "".join(_checks(schema_with_patterns(), ""))
    text = f'{TEMPLATE_HEADER}\n{{{{- define "statefulroute.formats" -}}}}\n{checks}{{{{- end -}}}}\n'
    return Path("templates/_formats.tpl"), text


def _checks(node: dict[str, Any], path: str) -> Iterator[str]:
    """The checks of a value and of all that is in it."""
    name = path.lstrip(".")
    if PATTERN_KEY in node:
        yield _check(node, f"$.Values{path}", name)
    if PATTERN_KEY in node.get("items", {}):
        yield f"{{{{- range $.Values{path} -}}}}\n"
        yield _check(node["items"], ".", f"an item of {name}")
        yield "{{- end -}}\n"
    for inner, value in node.get("properties", {}).items():
        yield from _checks(value, f"{path}.{inner}")


def _check(node: dict[str, Any], value: str, name: str) -> str:
    return f'{{{{- include "statefulroute.form" (list "{name}" {value} `{node[PATTERN_KEY]}` "{node[FIX_KEY]}") -}}}}\n'
