"""Dispatches requests by path and method: authenticates callers, converts errors, and counts responses."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import hdrs, web

from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.http.callers import end_hold, peer_of
from statefulroute.resolver.http.changes import Changes
from statefulroute.resolver.http.ext_authz import ExtAuthz
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.openapi import document
from statefulroute.resolver.http.paths import PathKind, RequestPath, parse_path
from statefulroute.resolver.http.streams import MoveStreams
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.rest.responses import error_response, handle_expect, no_operation_response

#: Enough for a batch of a thousand uids of the maximal length.
MAX_BODY_BYTES = 2**18


class _Operation(NamedTuple):
    """An operation of the API.

    Attributes:
        name: its name in the OpenAPI document and in metrics.
        handle: handles a request.
    """

    name: str
    handle: Callable[[web.BaseRequest, RequestPath], Awaitable[web.StreamResponse]]


#: Any method.
_ANY = "*"

#: The operation of unknown paths and methods in metrics.
_NO_OPERATION = "none"


class Dispatcher:
    """Dispatches requests by path and method, and converts errors to problem responses.

    It replaces aiohttp's router and middlewares, which took an eighth of a look-up's time.

    Args:
        lookups: handles look-ups and bindings.
        changes: handles changes of links.
        streams: handles streams of moves.
        ext_authz: handles the checks of gateways.
        authenticator: admits callers.
        metrics: counts responses.
        holds: whether requests may be held.
    """

    def __init__(  # noqa: PLR0913 - one for each collaborator, and one with a default
        self,
        *,
        lookups: Lookups,
        changes: Changes,
        streams: MoveStreams,
        ext_authz: ExtAuthz,
        authenticator: Authenticator,
        metrics: ResolverMetrics,
        holds: bool = False,
    ) -> None:
        get_link, get_route = _Operation("get_link", lookups.get_link), _Operation("get_route", lookups.get_route)
        openapi = _Operation("openapi", _document)
        self._operations: Mapping[PathKind, Mapping[str, _Operation]] = {
            PathKind.LINK: {
                "GET": get_link,
                "HEAD": get_link,
                "POST": _Operation("bind_link", lookups.bind_link),
                "DELETE": _Operation("unlink", changes.unlink),
            },
            PathKind.RENEWAL: {"POST": _Operation("renew_link", changes.renew_link)},
            PathKind.CLAIM: {"POST": _Operation("claim_link", changes.claim_link)},
            PathKind.LINKS: {"POST": _Operation("batch_get", lookups.batch_get)},
            PathKind.MOVES: {"GET": _Operation("get_moves", streams.get_moves)},
            PathKind.ROUTE: {"GET": get_route, "HEAD": get_route},
            PathKind.EXT_AUTHZ: {_ANY: _Operation("authorize", ext_authz.authorize)},
            PathKind.OPENAPI: {"GET": openapi, "HEAD": openapi},
        }
        self._streams = streams
        self._authenticator = authenticator
        self._metrics = metrics
        self._holds = holds
        self._is_draining = False

    def drain(self) -> None:
        """Closes each connection after its next response, so that its client moves to another resolver."""
        self._is_draining = True

    def end_streams(self) -> None:
        """Ends all streams; a later one ends at once."""
        self._streams.end()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handles a request; converts every error to a response."""
        started_at = time.perf_counter()
        path = parse_path(request.rel_url.raw_path)
        methods = _NO_METHODS if path is None else self._operations[path.kind]
        operation = methods.get(request.method) or methods.get(_ANY)
        name = _NO_OPERATION if operation is None else operation.name
        response: web.StreamResponse
        try:
            if not self._authenticator.is_open and name != "openapi":
                authorization = request.headers.get(hdrs.AUTHORIZATION)
                caller = await self._authenticator.admit(authorization, peer_of(request))
                path = None if path is None else path._replace(caller=caller)
            if path is None or operation is None:
                response = no_operation_response(request.method, methods)
            else:
                if hdrs.EXPECT in request.headers:
                    await handle_expect(request)
                response = await operation.handle(request, path)
        except Exception as error:  # noqa: BLE001 - converted to a response, and logged if unexpected
            response = error_response(error, name)
        if self._is_draining:
            response.force_close()
        is_stream = name == "get_moves" and response.status == HTTPStatus.OK
        seconds = None if is_stream or (self._holds and end_hold(request)) else time.perf_counter() - started_at
        self._metrics.observe_response(name, response.status, seconds)
        return response


_NO_METHODS: Mapping[str, _Operation] = {}


async def _document(_: web.BaseRequest, __: RequestPath) -> web.Response:
    return web.Response(body=document(), content_type="application/json")
