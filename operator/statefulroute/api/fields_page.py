"""The page of the documentation with the fields of both kinds, their types, default values and enumerated values."""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from statefulroute.api import vocabulary
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

_HEAD = """# Fields

<!-- Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. -->

The fields of both kinds, and [the values](#values) of those that are enumerations: states, phases, conditions, reasons.
A field of the spec without a default is optional unless it is required. `kubectl explain` shows the limits of each
field, too.
"""

_VALUES = """## Values

This version writes only these values; a later version may write others. A program that reads a value that it does not
know treats it as `Unknown`.
"""

_Schema = Mapping[str, Any]


def fields_page() -> str:
    """Returns the page, in Markdown."""
    sections = (line for model in (StatefulRoute, PodLink) for line in _section(model))
    return "\n".join([_HEAD, *sections, _VALUES, *_values()])


def _section(model: type[PodLink | StatefulRoute]) -> Iterator[str]:
    definition = custom_resource_definition(model)["spec"]
    names, (version,) = definition["names"], definition["versions"]
    (short,) = names["shortNames"]
    yield f"## {names['kind']}\n"
    yield f"Its names in kubectl are `{names['plural']}`, `{names['singular']}` and `{short}`.\n"
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    yield "| field of `spec` | type and description |"
    yield "| --- | --- |"
    for path, schema, is_required in _fields(properties["spec"], ""):
        yield _row(path, schema, "; required" if is_required else _default(schema))
    yield ""
    yield "| field of `status` | type and description |"
    yield "| --- | --- |"
    for path, schema, _ in _fields(properties["status"], ""):
        yield _row(path, schema, "")
    yield ""


def _row(path: str, schema: _Schema, default: str) -> str:
    """Returns the row of a field: a table with two columns fits a phone."""
    return f"| `{path}` | {_type(schema)}{default}<br>{_cell(schema.get('description', ''))} |"


def _fields(schema: _Schema, parent: str) -> Iterator[tuple[str, _Schema, bool]]:
    """Yields the path and the schema of each field, and whether it is required."""
    for name, field in schema.get("properties", {}).items():
        path = f"{parent}{name}"
        yield path, field, name in schema.get("required", ())
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _type(schema: _Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema["type"] == "array":
        return f"list of {schema['items']['type']}s"
    return str(schema["type"])


def _default(schema: _Schema) -> str:
    """Returns the default of a value; the fields of an object have their own."""
    if "default" not in schema or isinstance(schema["default"], dict):
        return ""
    value = schema["default"]
    return f"; default `{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _values() -> Iterator[str]:
    """Yields the lines of a section for each enumeration of the vocabulary, with the string after each member."""
    for each in ast.parse(inspect.getsource(vocabulary)).body:
        rows = list(_members(each)) if isinstance(each, ast.ClassDef) else []
        if isinstance(each, ast.ClassDef) and rows:
            yield f"### {each.name}\n"
            yield f"{ast.get_docstring(each)}\n"
            yield "| value | meaning |"
            yield "| --- | --- |"
            yield from rows
            yield ""


def _members(definition: ast.ClassDef) -> Iterator[str]:
    for statement, text in pairwise(definition.body):
        match statement, text:
            case ast.Assign(value=ast.Constant(str(value))), ast.Expr(value=ast.Constant(str(meaning))):
                yield f"| `{value}` | {_cell(meaning)} |"
            case _:
                pass
