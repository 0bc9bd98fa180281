"""The forms of texts, as a named template: it says in a sentence what is wrong and what to write instead."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helmchart.model import FORM, REMEDY
from helmchart.schema import described
from helmchart.text import TEMPLATE_HEADER


def formats() -> tuple[Path, str]:
    """The template: its path below the chart's folder, and its text."""
    checks = "".join(_of(described(), ""))
    text = f'{TEMPLATE_HEADER}\n{{{{- define "statefulroute.formats" -}}}}\n{checks}{{{{- end -}}}}\n'
    return Path("templates/_formats.tpl"), text


def _of(node: dict[str, Any], path: str) -> Iterator[str]:
    """The checks of a value and of all that is in it."""
    name = path.lstrip(".")
    if FORM in node:
        yield _check(node, f"$.Values{path}", name)
    if FORM in node.get("items", {}):
        yield f"{{{{- range $.Values{path} -}}}}\n"
        yield _check(node["items"], ".", f"an item of {name}")
        yield "{{- end -}}\n"
    for inner, value in node.get("properties", {}).items():
        yield from _of(value, f"{path}.{inner}")


def _check(node: dict[str, Any], value: str, name: str) -> str:
    return f'{{{{- include "statefulroute.form" (list "{name}" {value} `{node[FORM]}` "{node[REMEDY]}") -}}}}\n'
