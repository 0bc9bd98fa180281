"""Dispatches requests by path and method, converts errors, and counts responses."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import hdrs, web

from statefulroute.rest.responses import error_response, handle_expect, no_operation_response
from statefulroute.sidecar.guard import RequestGuard
from statefulroute.sidecar.hand_over_operations import HandOverOperations
from statefulroute.sidecar.link_operations import LinkOperations
from statefulroute.sidecar.metrics import SidecarMetrics
from statefulroute.sidecar.openapi import document
from statefulroute.sidecar.paths import PathKind, RequestPath, parse_path
from statefulroute.sidecar.server_operations import ServerOperations
from statefulroute.sidecar.streams import EventStreams

#: No body of the API is longer than a few hundred bytes.
MAX_BODY_BYTES = 2**14


class Operation(NamedTuple):
    """An operation of the API.

    Attributes:
        name: its name in the OpenAPI document and in metrics.
        handle: handles a request.
    """

    name: str
    handle: Callable[[web.BaseRequest, RequestPath], Awaitable[web.StreamResponse]]


#: The operation of unknown paths and methods in metrics.
_NO_OPERATION = "none"


#: The operations whose duration is that of something else: of the users, of another pod.
_WAITING = frozenset({"stop", "send_state", "send_slot_state", "read_state"})


class Dispatcher:
    """Dispatches requests by path and method, and converts errors to problem responses.

    Args:
        server: handles the operations on the pod.
        links: handles the operations on links.
        streams: handles streams of events.
        hand_overs: handles the operations on hand-overs.
        guard: refuses requests.
        metrics: counts responses.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one for each collaborator
        self,
        server: ServerOperations,
        links: LinkOperations,
        streams: EventStreams,
        hand_overs: HandOverOperations,
        guard: RequestGuard,
        metrics: SidecarMetrics,
    ) -> None:
        self.operations: Mapping[PathKind, Mapping[str, Operation]] = {
            PathKind.SERVER: {"GET": Operation("get_server", server.get_server)},
            PathKind.START: {"POST": Operation("start", server.start)},
            PathKind.STOP: {"POST": Operation("stop", server.stop)},
            PathKind.LOAD_STATE: {
                "GET": Operation("get_load_state", server.get_load_state),
                "PUT": Operation("set_load_state", server.set_load_state),
            },
            PathKind.WAITING_TASKS: {
                "GET": Operation("get_waiting_tasks", server.get_waiting_tasks),
                "PUT": Operation("set_waiting_tasks", server.set_waiting_tasks),
            },
            PathKind.ROUTING_STATE: {
                "GET": Operation("get_routing_state", server.get_routing_state),
                "PUT": Operation("set_routing_state", server.set_routing_state),
            },
            PathKind.USERS: {"GET": Operation("users", server.users)},
            PathKind.USER: {"GET": Operation("owns", server.owns)},
            PathKind.SLOTS: {"GET": Operation("slots", server.slots)},
            PathKind.TOKEN: {"GET": Operation("token", server.token)},
            PathKind.EVENTS: {"GET": Operation("events", streams.events)},
            PathKind.LINKS: {"GET": Operation("links_of", links.links_of)},
            PathKind.LINK: {
                "GET": Operation("get_linked_pod", links.get_linked_pod),
                "PUT": Operation("set_linked_pod", links.set_linked_pod),
                "DELETE": Operation("remove_linked_pod", links.remove_linked_pod),
            },
            PathKind.CLAIM: {"POST": Operation("try_set_linked_pod", links.try_set_linked_pod)},
            PathKind.ADDRESS: {"GET": Operation("address_of", links.address_of)},
            PathKind.LEAVING_STATE: {"PUT": Operation("send_state", hand_overs.send_state)},
            PathKind.SLOT_USER_STATE: {"PUT": Operation("send_slot_state", hand_overs.send_slot_state)},
            PathKind.ARRIVING_STATE: {"GET": Operation("read_state", hand_overs.read_state)},
            PathKind.CONFIRM_ARRIVING: {"POST": Operation("confirm_arriving", hand_overs.confirm_arriving)},
            PathKind.REFUSE_ARRIVING: {"POST": Operation("refuse_arriving", hand_overs.refuse_arriving)},
            PathKind.CONFIRM_LEAVING: {"POST": Operation("confirm_leaving", hand_overs.confirm_leaving)},
            PathKind.OPENAPI: {"GET": Operation("openapi", _document)},
        }
        self._guard = guard
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handles a request; converts every error to a response."""
        started_at = time.perf_counter()
        path = parse_path(request.rel_url.raw_path)
        methods = _NO_METHODS if path is None else self.operations[path.kind]
        operation = methods.get(request.method)
        name = _NO_OPERATION if operation is None else operation.name
        response: web.StreamResponse
        try:
            self._guard.check(request)
            if path is None or operation is None:
                response = no_operation_response(request.method, methods)
            else:
                if hdrs.EXPECT in request.headers:
                    await handle_expect(request)
                response = await operation.handle(request, path)
        except Exception as error:  # noqa: BLE001 - converted to a response, and logged if unexpected
            response = error_response(error, name)
        is_stream = name == "events" and response.status == HTTPStatus.OK
        seconds = None if is_stream or name in _WAITING else time.perf_counter() - started_at
        self._metrics.observe_response(name, response.status, seconds)
        return response


_NO_METHODS: Mapping[str, Operation] = {}


async def _document(_: web.BaseRequest, __: RequestPath) -> web.Response:
    return web.Response(body=document(), content_type="application/json")
