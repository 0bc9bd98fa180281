"""Serves metrics over TLS, to clients that Kubernetes authenticates and authorizes."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from math import ceil

import structlog
from aiohttp import web
from prometheus_client.registry import Collector

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError, UnreachableError
from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.cluster.token_reviewer import TokenReviewer, TokenUser, TooManyTokensError, bearer_token
from statefulroute.monitoring.exposition import CONTENT_TYPE, Exposition
from statefulroute.monitoring.server import RequestHandler, serve_http
from statefulroute.monitoring.settings import MetricsEndpoint
from statefulroute.monitoring.tls import RELOAD_SECONDS, reloading_tls_context

log = structlog.get_logger(__name__)

#: The path of the metrics, also as the `nonResourceURL` that clients must be allowed to get.
PATH = "/metrics"

#: The maximal number of concurrent requests for reviews.
_CONNECTIONS = 8


@asynccontextmanager
async def serve_secure_metrics(
    endpoint: MetricsEndpoint | None,
    collectors: Iterable[Collector],
    connection: Connection,
    observer: RequestObserver | None = None,
    *,
    reload_seconds: float = RELOAD_SECONDS,
) -> AsyncIterator[None]:
    """Serves metrics over TLS while the context is open.

    Args:
        endpoint: where and to whom; None serves nothing.
        collectors: the metrics.
        connection: the connection to the API server. A standby reviews tokens, too, so it must not be a leader's.
        observer: called with the record of every review.
        reload_seconds: the interval between checks of the TLS files.

    Raises:
        BindError: the process cannot listen on the address.
        UnusableCertificateError: a TLS file cannot be read, or is invalid.
    """
    if endpoint is None:
        yield
        return
    async with AsyncExitStack() as stack:
        tls = await stack.enter_async_context(reloading_tls_context(endpoint.tls, reload_seconds))
        reviewer = None
        if endpoint.authenticates:
            client = await stack.enter_async_context(Client(connection, _CONNECTIONS, observer))
            reviewer = TokenReviewer(client, path=PATH)
        handler = RequestHandler(_Metrics(Exposition(collectors), reviewer).handle, max_body_bytes=0)
        addresses = await stack.enter_async_context(
            serve_http(handler, endpoint.address, option="--metrics-address", tls=tls)
        )
        log.info("serving metrics over TLS", addresses=addresses, authentication=endpoint.authenticates)
        yield


class _RefusedError(Exception):
    """A request is refused.

    Attributes:
        response: the response to it.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.response = web.Response(status=status, text=f"{detail}\n", headers=headers)


class _Metrics:
    """Handles requests for metrics."""

    def __init__(self, exposition: Exposition, reviewer: TokenReviewer | None) -> None:
        self._exposition = exposition
        self._reviewer = reviewer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Responds with the metrics, or with the reason why not."""
        try:
            await self._check(request)
        except _RefusedError as error:
            return error.response
        body = b"".join([part async for part in self._exposition.render()])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _check(self, request: web.BaseRequest) -> None:
        if request.path != PATH:
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"only {PATH} is served here")
        if request.method not in {"GET", "HEAD"}:
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "send a GET request", {"Allow": "GET, HEAD"})
        if self._reviewer is not None:
            await _authorize(self._reviewer, request)


async def _authorize(reviewer: TokenReviewer, request: web.BaseRequest) -> None:
    """Raises an error unless the client may read the metrics."""
    token = bearer_token(request.headers.get("Authorization"))
    user = None if token is None else await _review(reviewer, token, request.remote or "")
    if user is None:
        detail = (
            "send a token of your ServiceAccount, as Authorization: Bearer"
            if token is None
            else "the API server does not accept this token"
        )
        raise _RefusedError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
    if not user.is_allowed:
        detail = f"{user.name} may not get {PATH}: bind it to a ClusterRole that allows this, like ...-metrics-reader"
        raise _RefusedError(HTTPStatus.FORBIDDEN, detail)


async def _review(reviewer: TokenReviewer, token: str, peer: str) -> TokenUser | None:
    try:
        return await reviewer.review(token, peer)
    except TooManyTokensError as error:
        retry = {"Retry-After": str(ceil(error.retry_after_seconds))}
        raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS, str(error), retry) from error
    except UnreachableError as error:
        detail = "the API server is unavailable, and cannot review the token"
        raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    except ClusterError as error:
        log.warning(
            "a token cannot be reviewed: is it allowed to create tokenreviews and subjectaccessreviews?",
            error=str(error),
        )
        raise _RefusedError(HTTPStatus.BAD_GATEWAY, "the API server refused to review the token") from error
