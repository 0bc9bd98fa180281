"""Generates a named template that requires the values without which the chart cannot be rendered.

The schema could require them, too, but Helm's message would not say that `--reuse-values` lacks new values.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helmchart.schema import full_schema
from helmchart.text import TEMPLATE_HEADER


def presence_checks() -> tuple[Path, str]:
    """Returns the template: its path in the chart's folder, and its text."""
    checks = "".join(_checks(full_schema(), ""))
    text = f'{TEMPLATE_HEADER}\n{{{{- define "statefulroute.presence" -}}}}\n{checks}{{{{- end -}}}}\n'
    return Path("templates/_presence.tpl"), text


def _checks(group: dict[str, Any], path: str) -> Iterator[str]:
    """Yields the checks of a group and then of the groups in it."""
    if required := group.get("required"):
        keys = " ".join(f'"{key}"' for key in required)
        start = f"{path}.".lstrip(".")
        yield f'{{{{- include "statefulroute.checkPresence" (list $.Values{path} "{start}" (list {keys})) -}}}}\n'
    for key, inner in group.get("properties", {}).items():
        yield from _checks(inner, f"{path}.{key}")
