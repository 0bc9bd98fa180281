"""The HTTP session that kopf works with: nothing that the API server answers to its watch of routes ends the operator.

kopf itself lists anew after an event that says `410`, and after a connection that broke off. Whatever else it is told,
it takes for the end: a `410` as an answer, a `404` while the definition of the kind is away, a `500` that lasts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf
import structlog
from aiohttp.base_protocol import BaseProtocol

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.request_metrics import RequestObserver

log = structlog.get_logger(__name__)

#: How soon kopf asks again.
_PAUSE_SECONDS = 1.0

_TOO_OLD = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'


def login_with(
    connection: Connection, connections: int, observe: RequestObserver
) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    """The handler by which kopf gets its session.

    Args:
        connection: the API server.
        connections: how many requests, watches included, may be under way at the same time.
        observe: is told of every request.
    """

    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's own
        return kopf.AiohttpSession(
            aiohttp_session=connection.session(connections, observe, relist_after_error),
            server=connection.server,
            default_namespace=None,
        )

    return login


async def relist_after_error(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turn an error that answers a list or a watch of routes into one after which kopf lists anew.

    Raises:
        aiohttp.ClientPayloadError: the list was answered with an error.
    """
    response = await handler(request)
    if request.method != "GET" or not request.url.path.endswith(f"/{STATEFUL_ROUTE.plural}"):
        return response
    if response.status < HTTPStatus.BAD_REQUEST or response.status == HTTPStatus.UNAUTHORIZED:
        return response  # after the latter, kopf logs in anew
    log.info("following routes failed: listing anew", status=response.status)
    await response.read()
    await asyncio.sleep(_PAUSE_SECONDS)
    if "watch" not in request.url.query:
        raise aiohttp.ClientPayloadError(f"the list of routes was answered with {response.status}")
    response.status, response.content = HTTPStatus.OK, _stream(_TOO_OLD)
    return response


def _stream(content: bytes) -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    stream = aiohttp.StreamReader(BaseProtocol(loop), limit=2**16, loop=loop)
    stream.feed_data(content)
    stream.feed_eof()
    return stream
