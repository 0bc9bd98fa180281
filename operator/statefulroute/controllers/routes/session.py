"""The HTTP session of kopf: what kopf receives when it follows the routes.

It receives only the routes that it has to handle (`unhandled.py`), and no answer of the API server stops it.
kopf lists again after an event with the code `410`, and after a broken connection. Any other error stops it: an event
with another error, a malformed event, a `410` as the status of a response, a `404` while the CustomResourceDefinition
is missing, a `500` that lasts.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import aiohttp
import msgspec
import structlog
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Status
from statefulroute.cluster.errors import APIError, GoneError, NotLeadingError
from statefulroute.cluster.fence import Fence
from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.cluster.retry_after import allows_retry_after, parse_retry_after, retry_pause
from statefulroute.controllers.lean_kopf import kopf
from statefulroute.controllers.routes.unhandled import RouteObject, UnhandledRoutes

log = structlog.get_logger(__name__)

#: How long kopf waits before it lists or watches again.
_PAUSE_SECONDS = 1.0

#: The path of a route or its status. A namespace may have the name of the resource, and so may a route.
_route_path = re.compile(rf"/namespaces/([^/]+)/{STATEFUL_ROUTE.plural}/([^/]+)(?:/status)?$")

_TOO_OLD = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'


def login_with(
    connection: Connection, connections: int, observer: RequestObserver
) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    """Returns the login handler that gives kopf its session.

    Args:
        connection: the connection to the API server.
        connections: how many requests, including watches, may be in flight at the same time.
        observer: called with every request.
    """

    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's own
        return kopf.AiohttpSession(
            aiohttp_session=connection.session(
                connections,
                observer,
                honour_retry_after,
                follow_routes(UnhandledRoutes()),
                hold_after_leading(connection.fence),
            ),
            server=connection.server,
            default_namespace=None,
        )

    return login


def follow_routes(routes: UnhandledRoutes) -> aiohttp.ClientMiddlewareType:
    """Returns a middleware for kopf's lists, watches and patches of routes.

    It turns every error of a list or a watch into one after which kopf lists again.

    Args:
        routes: selects what kopf receives.
    """

    async def follow(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.method == "PATCH" and (route := _route_path.search(request.url.path)) is not None:
            try:
                return await handler(request)
            finally:
                routes.patched(*route.groups())
        if request.method != "GET" or not request.url.path.endswith(f"/{STATEFUL_ROUTE.plural}"):
            return await handler(request)
        is_watch = "watch" in request.url.query
        if not is_watch:
            await routes.wait_for_place()
        response = await handler(request)
        if response.status >= HTTPStatus.BAD_REQUEST:
            return await _relist_after_error(response, is_watch=is_watch)
        if is_watch:
            response.content = cast("aiohttp.StreamReader", _RouteEvents(response.content, routes))
        else:
            response.content = _stream(_select(await response.content.read(), routes))
        return response

    return follow


async def _relist_after_error(response: aiohttp.ClientResponse, *, is_watch: bool) -> aiohttp.ClientResponse:
    """Turns an error of a list or a watch of routes into one after which kopf lists again.

    Raises:
        aiohttp.ClientPayloadError: the API server answered a list with an error.
    """
    if response.status == HTTPStatus.UNAUTHORIZED:
        return response  # kopf logs in again
    log.info("following routes failed: listing again", status=response.status)
    await response.read()
    await asyncio.sleep(retry_pause(_PAUSE_SECONDS, _retry_after(response)))
    if not is_watch:
        raise aiohttp.ClientPayloadError(f"the list of routes was answered with {response.status}")
    response.status, response.content = HTTPStatus.OK, _stream(_TOO_OLD)
    return response


async def honour_retry_after(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Waits for as long as a response asks, before kopf sees it and retries.

    kopf itself would wait only after the status 429, without a limit, and fail if the header is a date.
    """
    response = await handler(request)
    if seconds := _retry_after(response):
        await response.read()  # the connection serves other requests meanwhile
        await asyncio.sleep(retry_pause(0.0, seconds))
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        headers = CIMultiDict(response.headers)
        headers["Retry-After"] = "0"
        response._headers = CIMultiDictProxy(headers)  # noqa: SLF001 - there is no public setter
        response._cache.pop("headers", None)  # noqa: SLF001 - the property's value
    return response


class _RouteList(msgspec.Struct, rename={"api_version": "apiVersion"}, omit_defaults=True):
    metadata: msgspec.Raw
    items: list[msgspec.Raw] | None
    api_version: str = ""
    kind: str = ""


_list_decoder = msgspec.json.Decoder(_RouteList)


def _select(content: bytes, routes: UnhandledRoutes) -> bytes:
    """Returns a page of a list with the routes that kopf receives.

    Raises:
        aiohttp.ClientPayloadError: the page is malformed.
    """
    try:
        page = _list_decoder.decode(content)
    except ValueError as error:
        raise aiohttp.ClientPayloadError(f"the list of routes is malformed: {error}") from error
    page.items = [item for item in page.items or () if _selects(item, routes)]
    return msgspec.json.encode(page)


def _selects(item: msgspec.Raw, routes: UnhandledRoutes) -> bool:
    """Returns whether kopf receives an item of a list; it could do nothing with a malformed one."""
    try:
        return routes.selects(_object_decoder.decode(item))
    except ValueError:
        return False


def hold_after_leading(fence: Fence | None) -> aiohttp.ClientMiddlewareType:
    """Returns a middleware that holds a request that fails after the Lease was lost, until kopf is stopped.

    kopf would report the failure as an error of its own, and retry.

    Args:
        fence: closed when the Lease is lost; None if this operator runs alone.
    """

    async def hold(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except (NotLeadingError, aiohttp.ClientError):
            if fence is not None and fence.seconds_left <= 0:
                await asyncio.Event().wait()
            raise

    return hold


def _retry_after(response: aiohttp.ClientResponse) -> float:
    if not allows_retry_after(response.status):
        return 0.0
    return parse_retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))


def _stream(content: bytes) -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    # Without a connection to pause, the limit must be above all of the content.
    stream = aiohttp.StreamReader(BaseProtocol(loop), limit=len(content) + 1, loop=loop)
    stream.feed_data(content)
    stream.feed_eof()
    return stream


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_event_decoder = msgspec.json.Decoder(_Event)
_object_decoder = msgspec.json.Decoder(RouteObject)
_status_decoder = msgspec.json.Decoder(Status)


class _RouteEvents:
    """The events of a watch, as whole lines; an error ends them with an event of a version that is too old.

    kopf reads the content of a watch with `iter_chunked` only.

    Args:
        content: the content of the API server's response.
        routes: selects what kopf receives.
    """

    def __init__(self, content: aiohttp.StreamReader, routes: UnhandledRoutes) -> None:
        self._content = content
        self._routes = routes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        """Returns an attribute of the content: aiohttp sets an error when it closes the response."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yields the events of each piece of data, and drops an incomplete line at the end."""
        incomplete = b""
        async for data in self._content.iter_chunked(size):
            *lines, incomplete = (incomplete + data).split(b"\n")
            for line in filter(None, lines):
                try:
                    is_selected = self._selects(line)
                except (APIError, ValueError) as error:  # includes invalid UTF-8
                    if not isinstance(error, GoneError):  # which is normal after a long time without a change
                        log.warning("following routes failed: listing again", error=str(error))
                        await asyncio.sleep(retry_pause(_PAUSE_SECONDS, getattr(error, "retry_after_seconds", 0.0)))
                    yield _TOO_OLD
                    return
                if is_selected:
                    yield line + b"\n"
                    await self._routes.wait_for_place()

    def _selects(self, line: bytes) -> bool:
        """Returns whether kopf receives an event.

        Raises:
            APIError: the event is an error.
            ValueError: the event is malformed.
        """
        event = _event_decoder.decode(line)
        if event.type == "ERROR":
            raise _status_decoder.decode(event.object).as_error()
        route = _object_decoder.decode(event.object)
        return event.type == "BOOKMARK" or self._routes.selects(route, is_deleted=event.type == "DELETED")
