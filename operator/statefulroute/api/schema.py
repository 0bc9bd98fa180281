"""Converts a pydantic model to the structural OpenAPI schema that a CustomResourceDefinition requires."""

import inspect
import re
from typing import Any

from statefulroute.api.limits import CAMEL_CASE, CAMEL_CASE_MAX_LENGTH
from statefulroute.api.model import Model

#: Any JSON value. (A recursive type would add nothing here.)
JSON = Any

#: Keywords of JSON Schema that a structural schema does not support.
_DROPPED_KEYWORDS = frozenset({"title", "$defs"})

#: Keywords that come first in the output, because a reader needs them first.
_LEADING_KEYWORDS = ("description", "type", "format", "enum", "default")

_RULES = "x-kubernetes-validations"

_CONDITION_STATUSES = ["True", "False", "Unknown"]


def structural_schema(model: type[Model]) -> dict[str, JSON]:
    """Returns the OpenAPI v3 structural schema of a model, with all references resolved.

    Args:
        model: the type of an object or of a part of one.

    Returns:
        The schema for `openAPIV3Schema`: without `$ref` and `title`, with defaults and CEL rules.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def with_validation_messages(schema: dict[str, JSON]) -> dict[str, JSON]:
    """Returns the schema with its bounds replaced by CEL rules whose messages name the field.

    If an object violates a plain bound, the API server skips its CEL rules and adds an error about that. The message of
    a CEL rule is the only error, and says how to fix the value.
    """
    out = dict(schema)
    if "properties" in out:
        out["properties"] = {name: _with_field_messages(name, child) for name, child in out["properties"].items()}
    if "items" in out:
        out["items"] = with_validation_messages(out["items"])
    return out


def with_open_enums(schema: dict[str, JSON]) -> dict[str, JSON]:
    """Returns the schema of a status with its enums opened: any CamelCase word is valid, and the enum is described.

    The definitions and the operator are not upgraded at the same moment. If an enum of a status were closed, older
    definitions would refuse the statuses of a newer operator. The status of a condition stays closed: Kubernetes' own
    type closes it.
    """
    out = dict(schema)
    if "enum" in out and out["enum"] != _CONDITION_STATUSES:
        values = ", ".join(out.pop("enum"))
        out["description"] = f"{out['description']} One of {values}, or a value of a later version."
        out["pattern"], out["maxLength"] = CAMEL_CASE, CAMEL_CASE_MAX_LENGTH
    if "properties" in out:
        out["properties"] = {name: with_open_enums(child) for name, child in out["properties"].items()}
    if "items" in out:
        out["items"] = with_open_enums(out["items"])
    return out


def _with_field_messages(name: str, schema: dict[str, JSON]) -> dict[str, JSON]:
    out = with_validation_messages(schema)
    rules: list[dict[str, str]] = []
    if out.get("type") == "integer" and "minimum" in out and "maximum" in out:
        least, most = out.pop("minimum"), out.pop("maximum")
        rules.append(
            {"rule": f"self >= {least} && self <= {most}", "message": f"{name} must be from {least} to {most}"}
        )
    if out.get("type") == "string" and out.get("minLength") == 1:
        del out["minLength"]
        rules.append({"rule": "self != ''", "message": f"{name} must not be empty"})
    if rules:
        out[_RULES] = rules + out.get(_RULES, [])
    return out


def _structural(node: dict[str, JSON], definitions: dict[str, JSON]) -> dict[str, JSON]:
    """Converts one schema and all schemas inside it."""
    if "$ref" in node:
        referred = definitions[node["$ref"].rsplit("/", 1)[-1]]
        # The keywords of the referring field (description, default, rules) override those of the type.
        own = {key: value for key, value in node.items() if key != "$ref"}
        return _structural({**referred, **own}, definitions)
    if "anyOf" in node:
        return _structural(_without_any_of(node), definitions)
    out = {
        key: _structural_value(key, value, definitions) for key, value in node.items() if key not in _DROPPED_KEYWORDS
    }
    _apply_kubernetes_conventions(out)
    return {key: out[key] for key in (*_LEADING_KEYWORDS, *out) if key in out}


def _structural_value(key: str, value: JSON, definitions: dict[str, JSON]) -> JSON:
    """Converts the value of one keyword; names of properties are not keywords."""
    if key == "properties":
        return {name: _structural(schema, definitions) for name, schema in value.items()}
    if key == "items":
        return _structural(value, definitions)
    return value


def _without_any_of(node: dict[str, JSON]) -> dict[str, JSON]:
    """Removes `anyOf`: `X | None` is an optional X, and `int | str` is the int-or-string of Kubernetes."""
    own = {key: value for key, value in node.items() if key != "anyOf"}
    if node.get("x-kubernetes-int-or-string"):
        return own
    (only,) = (choice for choice in node["anyOf"] if choice.get("type") != "null")
    return {**only, **own}


def _apply_kubernetes_conventions(schema: dict[str, JSON]) -> None:
    """Sets the formats of integers, and cleans defaults and descriptions, in place."""
    if schema.get("type") == "integer":
        schema.setdefault("format", "int32")
    if "default" in schema:
        schema["default"] = _without_empty(schema["default"])
        if schema["default"] in (None, []):
            del schema["default"]
    if "description" in schema:
        schema["description"] = _paragraphs(schema["description"])


def _without_empty(value: JSON) -> JSON:
    """Returns a default value without its null and empty fields, which are absent in an object.

    The other fields stay, although they have defaults: the API server validates a default before it sets the defaults
    inside it.
    """
    if not isinstance(value, dict):
        return value
    parts = {key: _without_empty(part) for key, part in value.items()}
    return {key: part for key, part in parts.items() if part not in (None, [])}


def _paragraphs(text: str) -> str:
    """Returns a docstring with the lines of each paragraph joined."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(text))
