"""The page of an HTTP API, from its OpenAPI document."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from referencepages.markdown import code, head, lines, prose, table

_Object = Mapping[str, Any]

_METHODS = ("get", "put", "post", "delete", "patch")


def http_api_page(document: Path) -> str:
    """Returns the page, in Markdown.

    Args:
        document: The file of the OpenAPI document, in JSON.
    """
    return "\n".join(_lines(json.loads(document.read_text(encoding="utf-8")), document.name))


def _lines(api: _Object, name: str) -> Iterator[str]:
    program = name.removesuffix(".json")
    operations = [
        (method, path, item[method], item.get("parameters", []))
        for path, item in api["paths"].items()
        for method in _METHODS
        if method in item
    ]
    yield head(f"The HTTP API of the {program}", "the OpenAPI document")
    yield f"{api['info']['description']} [The {program}]({program}.md) describes it; this page is its"
    yield f"[OpenAPI document](../openapi/{name}), which the {program} serves at `/openapi.json`.\n"
    yield from table(
        ("request", "purpose"),
        (
            (f"[`{method.upper()} {path}`](#{_anchor(each)})", prose(each["summary"]))
            for method, path, each, _ in operations
        ),
    )
    yield from _common_parts(operations)
    yield "## Requests\n"
    for method, path, operation, shared in operations:
        yield from _operation(method, path, operation, [*shared, *operation.get("parameters", [])])
    yield "## Bodies\n"
    for title, schema in api["components"]["schemas"].items():
        yield from _schema(title, schema)


def _anchor(operation: _Object) -> str:
    return str(operation["operationId"]).replace("_", "-")


def _common_parts(operations: list[tuple[str, str, _Object, list[_Object]]]) -> Iterator[str]:
    """Yields what requests have in common: the parameters of their paths, and the problems."""
    parameters = (
        each for _, _, operation, shared in operations for each in (*shared, *operation.get("parameters", ()))
    )
    yield "## Parameters of paths\n"
    yield from _parameters({each["name"]: each for each in parameters if each["in"] == "path"}.values())
    responses = (each for _, _, operation, _ in operations for each in operation["responses"].items())
    problems = {_response(status, each) for status, each in responses if _is_problem(each)}
    yield "## Problems\n"
    yield "The body of these responses is a [Problem](#problem).\n"
    yield from table(("code", "meaning"), sorted(problems))


def _operation(method: str, path: str, operation: _Object, parameters: list[_Object]) -> Iterator[str]:
    yield f"### {_anchor(operation)}\n"
    yield f"{prose(operation['summary'])}.\n"
    yield f"    {method.upper()} {path}\n"
    yield from _parameters(each for each in parameters if each["in"] != "path")
    if "requestBody" in operation:
        need = "required" if operation["requestBody"].get("required") else "optional"
        yield f"The body is {need}: {_content(operation['requestBody'])}.\n"
    responses = operation["responses"].items()
    yield from table(
        ("code", "meaning"), (_response(status, each) for status, each in responses if not _is_problem(each))
    )
    yield f"[Problems](#problems): {', '.join(status for status, each in responses if _is_problem(each))}.\n"


def _is_problem(response: _Object) -> bool:
    return "application/problem+json" in response.get("content", ())


def _response(status: str, response: _Object) -> tuple[str, str]:
    """Returns the row of a response: its code, and what it means, with its body and headers."""
    body = "" if _is_problem(response) else _content(response)
    headers = ", ".join(map(code, response.get("headers", {})))
    return status, lines(prose(response["description"]), body and f"Body: {body}", headers and f"Headers: {headers}")


def _parameters(parameters: Iterable[_Object]) -> Iterator[str]:
    yield from table(
        ("parameter", "type and description"),
        (
            (code(each["name"]), lines(f"{each['in']}: {_type(each['schema'])}", _parameter_text(each)))
            for each in parameters
        ),
    )


def _parameter_text(parameter: _Object) -> str:
    default = parameter["schema"].get("default")
    return prose(parameter.get("description", "")) + (f" Default: `{default}`." if default is not None else "")


def _content(message: _Object) -> str:
    return ", ".join(
        _type(media["schema"]) if "$ref" in media["schema"] else code(kind)
        for kind, media in message.get("content", {}).items()
    )


def _schema(title: str, schema: _Object) -> Iterator[str]:
    yield f"### {title}\n"
    yield f"{prose(schema.get('description', ''))}\n"
    if "enum" in schema:
        yield f"One of {_type(schema)}.\n"
    required = schema.get("required", ())
    yield from table(
        ("field", "type and description"),
        (
            (code(name), lines(_type(each) + _default(each, name in required), prose(each.get("description", ""))))
            for name, each in schema.get("properties", {}).items()
        ),
    )


def _default(schema: _Object, is_required: bool) -> str:  # noqa: FBT001 - what the schema of the body states
    if is_required:
        return "; required"
    return f"; default {code(json.dumps(schema['default']))}" if "default" in schema else ""


def _type(schema: _Object) -> str:
    """Returns the type of a value; the types of bodies are links to their sections."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return ", ".join(code(str(each)) for each in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    return _plain_type(schema)


def _plain_type(schema: _Object) -> str:
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_type(schema['additionalProperties'])}"
    return kind
