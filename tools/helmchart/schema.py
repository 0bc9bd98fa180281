"""Generates values.schema.json, which Helm validates every installation against (JSON Schema, draft 7)."""

import json
from typing import Any

from helmchart.model import FIX_KEY, PATTERN_KEY, ValueGroup
from helmchart.values import FORMER_VALUES, Values

DRAFT = "http://json-schema.org/draft-07/schema#"

#: The group of the values of all charts, which Helm may leave out.
GLOBAL = "global"


def values_schema() -> str:
    """Returns the schema of the values of the chart as text, without what the chart checks itself."""
    schema = _without_required(_without_patterns(full_schema()))
    for *groups, key in FORMER_VALUES:
        group = schema
        for name in groups:
            group = group["properties"][name]
        group["properties"][key] = {}
    return _text(schema)


def plain_schema(values: type[ValueGroup]) -> str:
    """Returns the schema of the values of a chart that checks nothing itself, as text."""
    return _text(_inlined_schema(values))


def _text(schema: dict[str, Any]) -> str:
    return json.dumps({"$schema": DRAFT, **schema}, indent=2, ensure_ascii=False) + "\n"


def full_schema() -> dict[str, Any]:
    """Returns the schema without references, with the patterns and required values that the chart checks itself."""
    return _inlined_schema(Values)


def _inlined_schema(values: type[ValueGroup]) -> dict[str, Any]:
    schema = values.model_json_schema(by_alias=True)
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return inlined


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Replaces references: draft 7 ignores their siblings, and Helm's messages quote them."""
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    reference = node.pop("$ref", None)
    if reference is not None:
        node = definitions[reference.rpartition("/")[2]] | node
    if "anyOf" in node:  # of several types: Helm would report an error for each of them
        node["type"] = [each["type"] for each in node.pop("anyOf")]
    if "properties" in node:
        node["required"] = [
            name for name, inner in node["properties"].items() if name != GLOBAL and _is_required(inner)
        ]
    # `title` repeats the key; values.yaml has the defaults. A property may have either name.
    return {
        key: _inlined_properties(value, definitions) if key == "properties" else _inlined(value, definitions)
        for key, value in node.items()
        if key not in {"title", "default"}
    }


def _inlined_properties(properties: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    inlined = {name: _inlined(each, definitions) for name, each in properties.items()}
    return inlined | ({GLOBAL: _without_required(inlined[GLOBAL])} if GLOBAL in inlined else {})


def _is_required(node: dict[str, Any]) -> bool:
    """Returns whether null, which removes a default in Helm, is invalid: for groups, numbers and enums."""
    if "$ref" in node:
        return True
    return node.get("type") != "object" and node.get("default") not in ("", [])


def _without_required(group: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a group of values that requires none of them, nor any in the groups in it."""
    inner = {name: _without_required(each) for name, each in group.get("properties", {}).items()}
    rest = {key: value for key, value in group.items() if key != "required"}
    return rest | ({"properties": inner} if inner else {})


def _without_patterns(node: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [_without_patterns(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_patterns(value) for key, value in node.items() if key not in {PATTERN_KEY, FIX_KEY}}
