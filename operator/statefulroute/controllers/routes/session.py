"""The HTTP session of kopf: no answer of the API server to kopf's watch of routes stops the operator.

kopf lists again after an event with the code `410`, and after a broken connection. Any other error stops it: an event
with another error, a malformed event, a `410` as the status of a response, a `404` while the CustomResourceDefinition
is missing, a `500` that lasts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import aiohttp
import kopf
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

log = structlog.get_logger(__name__)

#: How long kopf waits before it lists or watches again.
_PAUSE_SECONDS = 1.0

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
                connections, observer, honour_retry_after, relist_after_error, hold_after_leading(connection.fence)
            ),
            server=connection.server,
            default_namespace=None,
        )

    return login


async def relist_after_error(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turns every error of a list or a watch of routes into one after which kopf lists again.

    Raises:
        aiohttp.ClientPayloadError: the API server answered a list with an error.
    """
    response = await handler(request)
    if request.method != "GET" or not request.url.path.endswith(f"/{STATEFUL_ROUTE.plural}"):
        return response
    is_watch = "watch" in request.url.query
    if response.status < HTTPStatus.BAD_REQUEST:
        if is_watch:
            response.content = cast("aiohttp.StreamReader", _RouteEvents(response.content))
        return response
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
    stream = aiohttp.StreamReader(BaseProtocol(loop), limit=2**16, loop=loop)
    stream.feed_data(content)
    stream.feed_eof()
    return stream


class _Object(msgspec.Struct):
    metadata: dict[str, Any]


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_event_decoder = msgspec.json.Decoder(_Event)
_object_decoder = msgspec.json.Decoder(_Object)
_status_decoder = msgspec.json.Decoder(Status)


class _RouteEvents:
    """The events of a watch, as whole lines; an error ends them with an event of a version that is too old.

    kopf reads the content of a watch with `iter_chunked` only.

    Args:
        content: the content of the API server's response.
    """

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        """Returns an attribute of the content: aiohttp sets an error when it closes the response."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yields the events of each piece of data, and drops an incomplete line at the end."""
        incomplete = b""
        async for data in self._content.iter_chunked(size):
            *lines, incomplete = (incomplete + data).split(b"\n")
            for line in filter(None, lines):
                if (failure := _failure(line)) is None:
                    yield line + b"\n"
                    continue
                if not isinstance(failure, GoneError):  # which is normal after a long time without a change
                    log.warning("following routes failed: listing again", error=str(failure))
                    await asyncio.sleep(retry_pause(_PAUSE_SECONDS, getattr(failure, "retry_after_seconds", 0.0)))
                yield _TOO_OLD
                return


def _failure(line: bytes) -> APIError | ValueError | None:
    """Returns why an event ends the watch; None if kopf can handle it."""
    try:
        event = _event_decoder.decode(line)
        if event.type == "ERROR":
            return _status_decoder.decode(event.object).as_error()
        _object_decoder.decode(event.object)
    except ValueError as error:  # includes invalid UTF-8
        return error
    return None
