"""The page of the values of the Helm chart."""

from collections.abc import Iterable, Iterator

from helmchart.fields import Value, values_of
from helmchart.values import Values
from referencepages.markdown import code, head, lines, prose, table

_INTRODUCTION = """\
[Install](install.md) describes the chart. The API server validates values that are Kubernetes objects ("in the format
of a container"); the schema of the chart validates everything else before anything is sent.
"""


def chart_values_page() -> str:
    """Returns the page, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield head("Values of the chart", "the types in tools/helmchart")
    yield _INTRODUCTION
    values = list(values_of(Values()))
    yield from _table(value for value in values if len(value.path) == 1)
    for group in (value for value in values if value.is_group and len(value.path) == 1):
        yield f"## {group.key}\n"
        yield f"{prose(group.description)}\n" if group.description else ""
        yield from _table(value for value in values if value.path[0] == group.key)


def _table(values: Iterable[Value]) -> Iterator[str]:
    rows = (_row(value) for value in values if not value.is_group)
    yield from table(("value", "default and description"), rows)


def _row(value: Value) -> tuple[str, str]:
    choices = f" One of: {', '.join(map(code, value.choices))}." if value.choices else ""
    return code(".".join(value.path)), lines(code(value.default_text), prose(value.description) + choices)
