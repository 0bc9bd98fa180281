"""Generates the OpenAPI 3.1 document of the API from the types of its bodies."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from statefulroute.api.limits import DNS_SUBDOMAIN, DNS_SUBDOMAIN_MAX_LENGTH, INT32_MAX
from statefulroute.resolver.answers import (
    BatchAnswer,
    BatchRequest,
    BindRequest,
    ClaimAnswer,
    ClaimRequest,
    HolderAnswer,
    LinkAnswer,
    LossAnswer,
    MoveAnswer,
    RouteAnswer,
    SlotMoveAnswer,
)
from statefulroute.resolver.http.paths import ROUTE_PATH
from statefulroute.rest.openapi import JSON, LABEL_SCHEMA, REF_TEMPLATE, UID_IN_PATH, in_path, ref
from statefulroute.rest.problems import CONTENT_TYPE, Problem

_TYPES = (
    LinkAnswer,
    BatchRequest,
    BatchAnswer,
    BindRequest,
    HolderAnswer,
    ClaimRequest,
    ClaimAnswer,
    RouteAnswer,
    MoveAnswer,
    SlotMoveAnswer,
    LossAnswer,
    Problem,
)

_HEADERS = {
    "ETag": {"description": "Changes when the answer does.", "schema": {"type": "string"}},
    "Age": {
        "description": "Seconds since the last event from the API server; the response may be that old. Without "
        "changes, the API server sends a bookmark about once a minute.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
_AGE = {"Age": _HEADERS["Age"]}
_RETRY = {
    "Retry-After": {"description": "Seconds until the client should retry.", "schema": {"type": "integer"}},
}


@cache
def document() -> bytes:
    """Returns the document as JSON."""
    return msgspec.json.encode(_document())


def _document() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=REF_TEMPLATE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "StatefulRoute resolver",
            "version": version("statefulroute"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Returns which pod of a stateful service holds a user, and the pod's address.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            f"{ROUTE_PATH}/links/{{uid}}": _link_path(),
            f"{ROUTE_PATH}/links/{{uid}}/renew": _renewal_path(),
            f"{ROUTE_PATH}/links/{{uid}}/claim": _claim_path(),
            f"{ROUTE_PATH}/links:batchGet": _batch_path(),
            f"{ROUTE_PATH}/moves": _moves_path(),
            ROUTE_PATH: _route_path(),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "With --token-audience: the token of a ServiceAccount.",
                },
                "certificate": {"type": "mutualTLS", "description": "With --client-ca: a client certificate."},
            },
        },
        "security": [{}, {"token": []}, {"certificate": []}],
    }


def _link_path() -> dict[str, Any]:
    return {
        "parameters": [*_named(), UID_IN_PATH],
        "get": _operation(
            "get_link",
            "Look up the pod that holds a uid; with --hold-seconds, a link without a pod is waited for",
            LinkAnswer,
            parameters=[_consistency(), _if_none_match()],
            fails=(400, 404, 503),
            unchanged=True,
        ),
        "post": _operation(
            "bind_link",
            "Bind a uid to the best pod, unless it is bound; with --hold-seconds, a pod is waited for",
            LinkAnswer,
            parameters=[_consistency()],
            body=BindRequest,
            needs_body=False,
            fails=(400, 404, 408, 413, 415, 502, 503),
        ),
        "delete": _operation(
            "unlink",
            "Unlink a uid, at once or after a grace period; with --link-changes",
            None,
            parameters=_unlink_parameters(),
            fails=(400, 404, 409, 502, 503),
        ),
    }


def _renewal_path() -> dict[str, Any]:
    return {
        "parameters": [*_named(), UID_IN_PATH],
        "post": _operation(
            "renew_link",
            "Renew the link of a uid, if it is temporary and less than half of its TTL is left",
            HolderAnswer,
            parameters=[_consistency()],
            fails=(400, 404, 502, 503),
        ),
    }


def _claim_path() -> dict[str, Any]:
    return {
        "parameters": [*_named(), UID_IN_PATH],
        "post": _operation(
            "claim_link",
            "Bind a uid to a pod, unless it has a persistent link to another pod; with --link-changes",
            ClaimAnswer,
            parameters=[],
            body=ClaimRequest,
            fails=(400, 404, 408, 413, 415, 502, 503),
        ),
    }


def _batch_path() -> dict[str, Any]:
    return {
        "parameters": _named(),
        "post": _operation(
            "batch_get",
            "Look up the pods that hold each of many uids",
            BatchAnswer,
            parameters=[_consistency()],
            body=BatchRequest,
            fails=(400, 404, 408, 413, 415, 502, 503),
        ),
    }


def _route_path() -> dict[str, Any]:
    return {
        "parameters": _named(),
        "get": _operation(
            "get_route",
            "Read the state of a service: its pods, and the pod for the next user",
            RouteAnswer,
            parameters=[_if_none_match()],
            fails=(400, 404),
            unchanged=True,
        ),
    }


def _moves_path() -> dict[str, Any]:
    description = (
        "An endless stream. The data of `event: moved` is a MoveAnswer, that of `event: slot-moved` a SlotMoveAnswer, "
        "that of `event: lost` a LossAnswer: the client was too slow, and must look up again the users that it follows."
    )
    return {
        "parameters": _named(),
        "get": {
            "operationId": "get_moves",
            "summary": "Stream every binding, move and release of a service from now on",
            "responses": {
                "200": {"description": description, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
                **_failures((400, 404, 503)),
            },
        },
    }


def _operation(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    answer: type[Any] | None,
    *,
    parameters: list[dict[str, Any]],
    fails: tuple[int, ...],
    body: type[Any] | None = None,
    needs_body: bool = True,
    unchanged: bool = False,
) -> dict[str, Any]:
    responses: dict[str, Any] = {"204": {"description": "Done."}}
    if answer is not None:
        headers = _AGE if answer in (HolderAnswer, ClaimAnswer) else _HEADERS
        responses = {"200": {"description": "OK.", "headers": headers, "content": {JSON: {"schema": ref(answer)}}}}
    if unchanged:
        responses["304"] = {"description": "Not modified.", "headers": _HEADERS}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": responses | _failures(fails),
    }
    if body is not None:
        operation["requestBody"] = {"required": needs_body, "content": {JSON: {"schema": ref(body)}}}
    return operation


def _failures(codes: tuple[int, ...]) -> dict[str, Any]:
    """Returns the error responses: the given ones, and those of authentication and limits, which every path has."""
    content = {CONTENT_TYPE: {"schema": ref(Problem)}}
    descriptions = {
        400: "A parameter is invalid; the detail says how to fix it.",
        401: "The caller is not authenticated.",
        403: "The caller is not allowed.",
        404: "The uid is not linked, or the route does not exist.",
        405: "The path does not support the method.",
        408: "The body did not arrive in time.",
        409: "The uid is linked to another pod than `ifPodName`.",
        413: "The body is too large.",
        415: "The body is not JSON.",
        429: "Too many requests of this caller, or too many new uids in this route.",
        502: "The API server refused the request.",
        503: "The pod does not exist or is unreachable, no pod accepts new users, the request was held too long or too "
        "many are held, the API server is unavailable, or the cache is old.",
    }
    headers = {404: {"headers": _AGE}, 429: {"headers": _RETRY}, 503: {"headers": _RETRY}}
    return {
        str(code): {"description": descriptions[code], "content": content} | headers.get(code, {})
        for code in sorted({*codes, 401, 403, 405, 429})
    }


def _named() -> list[dict[str, Any]]:
    return [
        in_path("namespace", "The namespace of the service.", LABEL_SCHEMA),
        in_path("route", "The name of its StatefulRoute.", LABEL_SCHEMA),
    ]


def _unlink_parameters() -> list[dict[str, Any]]:
    name = {"type": "string", "pattern": DNS_SUBDOMAIN, "maxLength": DNS_SUBDOMAIN_MAX_LENGTH}
    return [
        _in_query("ifPodName", "Unlinks only if the uid is linked to the pod of this name.", name),
        _in_query(
            "graceSeconds",
            "The seconds until the link expires; by default, or with 0, it is removed at once.",
            {"type": "integer", "minimum": 0, "maximum": INT32_MAX},
        ),
    ]


def _consistency() -> dict[str, Any]:
    return _in_query(
        "consistency",
        "`strong` reads the link from the API server instead of the cache; the pod's address always comes from the "
        "cache.",
        {"type": "string", "enum": ["cached", "strong"], "default": "cached"},
    )


def _in_query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _if_none_match() -> dict[str, Any]:
    return {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the body that the client has.",
        "schema": {"type": "string"},
    }
