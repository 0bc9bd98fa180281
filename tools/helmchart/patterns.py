"""Generates a named template that checks the patterns of texts; its errors say what is wrong and what to write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helmchart.model import FIX_KEY, PATTERN_KEY
from helmchart.schema import full_schema
from helmchart.text import TEMPLATE_HEADER


def pattern_checks() -> tuple[Path, str]:
    """Returns the template: its path in the chart's folder, and its text."""
    checks = "".join(_checks(full_schema(), ""))
    text = f'{TEMPLATE_HEADER}\n{{{{- define "statefulroute.patterns" -}}}}\n{checks}{{{{- end -}}}}\n'
    return Path("templates/_patterns.tpl"), text


def _checks(node: dict[str, Any], path: str) -> Iterator[str]:
    """Yields the checks of a value and of everything in it."""
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
    arguments = f'"{name}" {value} `{node[PATTERN_KEY]}` "{node[FIX_KEY]}"'
    return f'{{{{- include "statefulroute.checkPattern" (list {arguments}) -}}}}\n'
