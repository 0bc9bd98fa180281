"""Generates the OpenAPI 3.1 document of the API from the types of its bodies."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from statefulroute.api.limits import DNS_SUBDOMAIN, DNS_SUBDOMAIN_MAX_LENGTH, INT32_MAX
from statefulroute.rest.openapi import JSON, LABEL_SCHEMA, UID_IN_PATH, in_path, in_query, ref, schemas_of
from statefulroute.rest.problems import CONTENT_TYPE, Problem
from statefulroute.sidecar import answers
from statefulroute.sidecar.event_bodies import EVENTS
from statefulroute.sidecar.paths import PathKind
from statefulroute.sidecar.queries import CONSISTENCIES

_TYPES: tuple[type[msgspec.Struct], ...] = (
    answers.ServerAnswer,
    answers.StopRequest,
    answers.LoadState,
    answers.WaitingTasks,
    answers.RoutingStateBody,
    answers.UsersAnswer,
    answers.UserAnswer,
    answers.SlotsAnswer,
    answers.TokenAnswer,
    answers.BindRequest,
    answers.LinkAnswer,
    answers.BoundAnswer,
    answers.ClaimAnswer,
    answers.RemovedAnswer,
    answers.LinksAnswer,
    answers.AddressAnswer,
    *EVENTS.values(),
    Problem,
)

_FAILURES = {
    400: "A parameter or the body is invalid; the detail says how to fix it.",
    401: "The request does not have the token of --token-file.",
    403: "The request comes from a web page.",
    404: "The user is not linked or not held, the route does not exist, or the hand-over has ended.",
    405: "The path does not support the method.",
    408: "The body did not arrive in time.",
    409: "The driver is already running, or the state was read before or is being read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "The namespace has as many links as it may have.",
    502: "The API server refused the request, or the other pod did not take the state.",
    503: "The API server is unavailable, the driver has not reached it yet, the pod is unreachable, or there "
    "are too many streams.",
}

#: The failures of each operation that has a body.
_OF_BODIES = (400, 408, 413, 415)

#: The failures of each operation that sends requests to the API server.
_OF_REQUESTS = (400, 502, 503)


def _consistency(description: str) -> dict[str, Any]:
    return in_query("consistency", description, {"type": "string", "enum": [*CONSISTENCIES], "default": "cached"})


_ROUTE = in_path("route", "The name of a StatefulRoute in the namespace of the pod.", LABEL_SCHEMA)
_ROUTE_QUERY = in_query("route", "One of the followed routes; by default the pod's own.", LABEL_SCHEMA)
_NAME_SCHEMA = {"type": "string", "pattern": DNS_SUBDOMAIN, "minLength": 1, "maxLength": DNS_SUBDOMAIN_MAX_LENGTH}
_HAND_OVER_ID = in_path("id", "The id of the hand-over in the event that asks for it.", {"type": "string"})
_TAKES_PART = in_query(
    "handOver",
    "Whether the client takes part in hand-overs: it must answer each `hand-over`, `slot-hand-over` and "
    "`arriving`. While no client does, users and slots are moved at their deadlines.",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
)
_TOKEN_CONSISTENCY = _consistency(
    "`cached` sends no request, and finds users with a link of their own; `strong` reads from the API server, and "
    "finds users of the pod's slots, too."
)
_STATE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_INTEGER_SCHEMA = {"type": "integer", "minimum": 0, "maximum": INT32_MAX}


@cache
def document() -> bytes:
    """Returns the document as JSON."""
    return msgspec.json.encode(_document())


def _document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "StatefulRoute sidecar",
            "version": version("statefulroute"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Reports the load and the routing state of a pod of a stateful service, binds users to "
            "pods, and says which users and slots the pod has. It serves the programs of the pod.",
        },
        "servers": [{"url": "http://127.0.0.1:8470"}],
        "paths": _pod_paths() | _report_paths() | _user_paths() | _link_paths() | _hand_over_paths(),
        "components": {
            "schemas": schemas_of(_TYPES),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "With --token-file: the token in it."}
            },
        },
        "security": [{}, {"token": []}],
    }


def _pod_paths() -> dict[str, Any]:
    return {
        PathKind.SERVER.value: {
            "get": _operation(
                "get_server",
                "Read the identity of the pod, and what its driver does",
                answers.ServerAnswer,
                fails=_OF_REQUESTS,
            )
        },
        PathKind.START.value: {
            "post": _operation(
                "start",
                "Start the driver again after a stop; the sidecar starts it itself",
                fails=(404, 409, *_OF_REQUESTS),
            )
        },
        PathKind.STOP.value: {
            "post": _operation(
                "stop",
                "Deny new users, wait until the present ones have left, and stop the driver; call it on SIGTERM",
                body=answers.StopRequest,
                needs_body=False,
            )
        },
    }


def _report_paths() -> dict[str, Any]:
    return {
        PathKind.LOAD_STATE.value: {
            "get": _operation("get_load_state", "Read the load state; initially 0", answers.LoadState),
            "put": _operation(
                "set_load_state",
                "Set how busy the pod is, in a unit of the application; published periodically",
                body=answers.LoadState,
            ),
        },
        PathKind.WAITING_TASKS.value: {
            "get": _operation("get_waiting_tasks", "Read the number of waiting tasks", answers.WaitingTasks),
            "put": _operation(
                "set_waiting_tasks",
                "Set the number of tasks that wait in the pod; published periodically",
                body=answers.WaitingTasks,
            ),
        },
        PathKind.ROUTING_STATE.value: {
            "get": _operation("get_routing_state", "Read the routing state", answers.RoutingStateBody),
            "put": _operation(
                "set_routing_state",
                "Set which users the pod accepts; published at once",
                body=answers.RoutingStateBody,
                fails=(409, *_OF_REQUESTS),
            ),
        },
    }


def _user_paths() -> dict[str, Any]:
    description = (
        "An endless stream. A client that reconnects with `Last-Event-ID` gets the events after that one, if the "
        "sidecar still has them; otherwise, and without the header, the stream begins with `state`. The types of the "
        "data: "
        + ", ".join(f"`{name}` {kind.__name__}" for name, kind in EVENTS.items())
        + ". Further events may be added: ignore unknown ones."
    )
    header = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that the client has received.",
        "schema": {"type": "string"},
    }
    return {
        PathKind.USERS.value: {
            "get": _operation(
                "users",
                "List the users that are bound to the pod",
                answers.UsersAnswer,
                parameters=[_ROUTE_QUERY],
                fails=(400, 503),
            )
        },
        PathKind.USER.value: {
            "parameters": [UID_IN_PATH],
            "get": _operation(
                "owns",
                "Read whether the pod holds a user, by a link of its own or by its slot",
                answers.UserAnswer,
                parameters=[_ROUTE_QUERY],
                fails=(400, 503),
            ),
        },
        PathKind.SLOTS.value: {
            "get": _operation(
                "slots",
                "List the slots that are bound to the pod, with all their users that have no link of their own",
                answers.SlotsAnswer,
                parameters=[_ROUTE_QUERY],
                fails=(400, 503),
            )
        },
        PathKind.TOKEN.value: {
            "parameters": [UID_IN_PATH],
            "get": _operation(
                "token",
                "Read the fencing token of a user that is bound to the pod, before its state is read",
                answers.TokenAnswer,
                parameters=[_ROUTE_QUERY, _TOKEN_CONSISTENCY],
                fails=(404, *_OF_REQUESTS),
            ),
        },
        PathKind.EVENTS.value: {
            "get": {
                "operationId": "events",
                "summary": "Stream the users and slots that arrive and leave",
                "parameters": [header, _TAKES_PART],
                "responses": {
                    "200": {
                        "description": description,
                        "content": {"text/event-stream": {"schema": {"type": "string"}}},
                    },
                    **_failures((400, 503)),
                },
            }
        },
    }


def _link_paths() -> dict[str, Any]:
    among = in_query(
        "route", "The routes to search; by default all of the namespace.", {"type": "array", "items": LABEL_SCHEMA}
    )
    consistency = _consistency("`strong` reads from the API server, also with --follow-links.")
    unlink = [
        in_query(
            "graceSeconds", "How long the link remains; by default, or with 0, it is removed at once.", _INTEGER_SCHEMA
        ),
        in_query("ifPodIndex", "Removes the link only if it is to the pod of this index.", _INTEGER_SCHEMA),
        in_query("ifPodName", "Removes the link only if it is to the pod of this name.", _NAME_SCHEMA),
    ]
    return {
        PathKind.LINK.value: {
            "parameters": [_ROUTE, UID_IN_PATH],
            "get": _operation(
                "get_linked_pod",
                "Read the pod that holds a user",
                answers.LinkAnswer,
                parameters=[consistency],
                fails=(404, *_OF_REQUESTS),
            ),
            "put": _operation(
                "set_linked_pod",
                "Bind a user to a pod, and replace any other binding; renews a temporary link",
                answers.BoundAnswer,
                body=answers.BindRequest,
                needs_body=False,
                fails=(429, *_OF_REQUESTS),
            ),
            "delete": _operation(
                "remove_linked_pod",
                "Remove the link of a user, at once or after a grace period",
                answers.RemovedAnswer,
                parameters=unlink,
                fails=_OF_REQUESTS,
            ),
        },
        PathKind.CLAIM.value: {
            "parameters": [_ROUTE, UID_IN_PATH],
            "post": _operation(
                "try_set_linked_pod",
                "Bind a user to a pod, unless the user has a persistent link to another pod",
                answers.ClaimAnswer,
                body=answers.BindRequest,
                needs_body=False,
                fails=(429, *_OF_REQUESTS),
            ),
        },
        PathKind.ADDRESS.value: {
            "parameters": [_ROUTE, UID_IN_PATH],
            "get": _operation(
                "address_of",
                "Read the address of the pod that holds a user",
                answers.AddressAnswer,
                fails=(404, *_OF_REQUESTS),
            ),
        },
        PathKind.LINKS.value: {
            "parameters": [UID_IN_PATH],
            "get": _operation(
                "links_of",
                "Read the pods that hold a user, by route",
                answers.LinksAnswer,
                parameters=[among],
                fails=_OF_REQUESTS,
            ),
        },
    }


def _hand_over_paths() -> dict[str, Any]:
    return {
        PathKind.CONFIRM_LEAVING.value: {
            "parameters": [_HAND_OVER_ID],
            "post": _operation(
                "confirm_leaving",
                "Let the driver move a user or a slot to the new pod: the states are saved, or were sent",
                fails=(400, 404, 502),
            ),
        },
        PathKind.LEAVING_STATE.value: {
            "parameters": [_HAND_OVER_ID],
            "put": _operation(
                "send_state",
                "Send the state of a user to the new pod; when its application has taken it, the driver moves the user",
                fails=(400, 404, 413, 502),
            )
            | {"requestBody": {"required": True, "content": _STATE}},
        },
        PathKind.SLOT_USER_STATE.value: {
            "parameters": [_HAND_OVER_ID, UID_IN_PATH],
            "put": _operation(
                "send_slot_state",
                "Send the state of one user of a slot to the new pod, which answers when its application has taken it",
                fails=(400, 404, 413, 502),
            )
            | {"requestBody": {"required": True, "content": _STATE}},
        },
        PathKind.ARRIVING_STATE.value: {
            "parameters": [_HAND_OVER_ID],
            "get": _read_state(),
        },
        PathKind.CONFIRM_ARRIVING.value: {
            "parameters": [_HAND_OVER_ID],
            "post": _operation(
                "confirm_arriving", "Tell the other pod that the application has the state", fails=(400, 404, 409)
            ),
        },
        PathKind.REFUSE_ARRIVING.value: {
            "parameters": [_HAND_OVER_ID],
            "post": _operation(
                "refuse_arriving", "Tell the other pod that the application does not take the state", fails=(400, 404)
            ),
        },
    }


def _read_state() -> dict[str, Any]:
    operation = _operation(
        "read_state",
        "Read the state of a user who arrives, once; then confirm or refuse it",
        fails=(400, 404, 409, 413, 502),
    )
    del operation["responses"]["204"]
    operation["responses"] = {"200": {"description": "The state.", "content": _STATE}} | operation["responses"]
    return operation


def _operation(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    answer: type[msgspec.Struct] | None = None,
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: type[msgspec.Struct] | None = None,
    needs_body: bool = True,
    fails: tuple[int, ...] = (400,),
) -> dict[str, Any]:
    success: dict[str, Any] = {"204": {"description": "Done."}}
    if answer is not None:
        success = {"200": {"description": "OK.", "content": {JSON: {"schema": ref(answer)}}}}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": success | _failures((*fails, *(() if body is None else _OF_BODIES))),
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": needs_body, "content": {JSON: {"schema": ref(body)}}}
    return operation


def _failures(codes: tuple[int, ...]) -> dict[str, Any]:
    """Returns the error responses: the given ones, and those that every path has."""
    content = {CONTENT_TYPE: {"schema": ref(Problem)}}
    return {str(code): {"description": _FAILURES[code], "content": content} for code in sorted({*codes, 401, 403, 405})}
