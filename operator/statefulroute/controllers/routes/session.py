"""The HTTP session of kopf: no answer of the API server to kopf's watch of routes stops the operator.

kopf lists again after an event with the code `410`, and after a broken connection. Any other error stops it: a `410` as
the status of a response, a `404` while the CustomResourceDefinition is missing, a `500` that lasts.
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
            aiohttp_session=connection.session(connections, observer, relist_after_error),
            server=connection.server,
            default_namespace=None,
        )

    return login


async def relist_after_error(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turns an error response to a list or a watch of routes into an error after which kopf lists again.

    Raises:
        aiohttp.ClientPayloadError: the API server answered a list with an error.
    """
    response = await handler(request)
    if request.method != "GET" or not request.url.path.endswith(f"/{STATEFUL_ROUTE.plural}"):
        return response
    if response.status < HTTPStatus.BAD_REQUEST or response.status == HTTPStatus.UNAUTHORIZED:
        return response  # kopf logs in again after an Unauthorized
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
