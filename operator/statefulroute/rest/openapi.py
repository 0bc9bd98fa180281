"""The parts that the OpenAPI 3.1 documents of the APIs share."""

from collections.abc import Iterable
from typing import Any

import msgspec

from statefulroute.api.limits import (
    DNS_LABEL,
    DNS_LABEL_MAX_LENGTH,
    DNS_SUBDOMAIN,
    ENCODED_UID_MAX_BYTES,
    ENCODED_UID_PREFIX,
    UID_MAX_LENGTH,
)

JSON = "application/json"

#: The reference to the schema of a type, for `msgspec.json.schema_components`.
REF_TEMPLATE = "#/components/schemas/{name}"

LABEL_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": DNS_LABEL,
    "minLength": 1,
    "maxLength": DNS_LABEL_MAX_LENGTH,
}

#: A schema cannot count bytes: the last pattern limits uids to a length that is short enough in any script.
UID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "anyOf": [
        {"pattern": DNS_SUBDOMAIN, "maxLength": UID_MAX_LENGTH, "not": {"pattern": f"^{ENCODED_UID_PREFIX}"}},
        {"pattern": r"^[\x20-\x7e]+$", "maxLength": ENCODED_UID_MAX_BYTES},
        {"pattern": r"^[^\x00-\x1f\x7f-\x9f]+$", "maxLength": 23},
    ],
}


def schemas_of(types: Iterable[type[Any]]) -> dict[str, Any]:
    """Returns the schemas of types by their names. Enumerations have a type, which some generators require."""
    _, schemas = msgspec.json.schema_components(types, ref_template=REF_TEMPLATE)
    _add_types(schemas)
    return schemas


def _add_types(schema: Any) -> None:  # noqa: ANN401 - any part of a schema
    if isinstance(schema, list):
        for each in schema:
            _add_types(each)
    elif isinstance(schema, dict):
        if isinstance(schema.get("enum"), list) and all(isinstance(each, str) for each in schema["enum"]):
            schema.setdefault("type", "string")
        for each in schema.values():
            _add_types(each)


def in_path(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a parameter in the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def in_query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a parameter in the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def ref(kind: type[Any]) -> dict[str, str]:
    """Returns the reference to the schema of a type."""
    return {"$ref": REF_TEMPLATE.format(name=kind.__name__)}


UID_IN_PATH = in_path(
    "uid",
    f"The user, percent-encoded. At most {UID_MAX_LENGTH} characters; at most {ENCODED_UID_MAX_BYTES} bytes if it has "
    "characters other than lower-case letters, digits, '-' and '.'. No control characters.",
    UID_SCHEMA,
)
