"""Generates values.yaml: every value with its default, and its description above it."""

import textwrap
from collections.abc import Iterator

from helmchart.fields import Value, values_of
from helmchart.model import ValueGroup
from helmchart.text import HEADER, indent, yaml_text

WIDTH = 110


def values_file(values: ValueGroup) -> str:
    """Returns the text of the file for the values of a chart."""
    return HEADER + "".join(_entry(value) for value in values_of(values))


def _entry(value: Value) -> str:
    depth = len(value.path) - 1
    lines = "".join(f"# {line}\n" for line in _comment(value, WIDTH - 2 * depth))
    text = f"{value.key}:\n" if value.is_group else yaml_text({value.key: value.default})
    return ("\n" if depth == 0 else "") + indent(lines + text, 2 * depth)


def _comment(value: Value, width: int) -> Iterator[str]:
    choices = f" One of: {', '.join(value.choices)}." if value.choices else ""
    yield from textwrap.wrap(value.description + choices, width - 2, break_long_words=False, break_on_hyphens=False)
