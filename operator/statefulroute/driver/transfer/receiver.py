"""Receives the states of users from other pods.

    GET    /v1/identity                     the token by which this pod proves who it is
    PUT    /v1/arrivals/{service}/{uid}     the state of a user; 200 when the application has taken it
    DELETE /v1/arrivals/{service}/{uid}     the user will perhaps not arrive

All but the first need the token of the pod that hands the user over.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError

from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.field_logger import get_logger
from statefulroute.domain.errors import HandOverError, InvalidParameterError
from statefulroute.domain.validation import validate_route, validate_uid
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.parts import ArrivalAcceptor, ServerInformation
from statefulroute.driver.refusals import Refusal, RefusedError
from statefulroute.driver.transfer.connections import IDLE_SECONDS, ConnectionGuard
from statefulroute.driver.transfer.peers import Peers
from statefulroute.driver.transfer.tls import TLSContexts
from statefulroute.driver.transfer.tokens import (
    SEND_AUDIENCE,
    KeysUnavailableError,
    TokenError,
    TokenVerifier,
    read_token,
)

log = get_logger(__name__)

#: The log of aiohttp, without the malformed requests of others.
_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

IDENTITY_PATH = "/v1/identity"
ARRIVALS_PATH = "/v1/arrivals"

#: Bytes that are read ahead for each request: they limit the memory, and slow the sender down.
READ_BYTES = 2**16

#: The other pod may pause for so long in the middle of a state.
_PAUSE_SECONDS = 30.0

#: How long the rest of a refused request is read, so that the other pod reads the response.
_LINGER_SECONDS = 2.0

#: The time for requests in progress to end after they were cancelled.
_SHUTDOWN_SECONDS = 0.2

#: The pause before the port is tried again.
_RETRY_SECONDS = 2.0

#: The pause between log lines about invalid tokens.
_LOG_SECONDS = 10.0

_CONNECTIONS_FOR_EACH = 16
_HANDSHAKE_SECONDS = 5.0
_BEARER = "Bearer "
_BACKLOG = 128

_STATUSES = {
    Refusal.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    Refusal.NOT_HANDED_OVER: HTTPStatus.FORBIDDEN,
    Refusal.NO_RECEIVER: HTTPStatus.NOT_FOUND,
    Refusal.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.ALREADY_ARRIVING: HTTPStatus.CONFLICT,
    Refusal.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Refusal.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Refusal.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.INVALID: HTTPStatus.BAD_REQUEST,
}


class Receiver:
    """Receives states.

    Args:
        server: the identity of the pod.
        configuration: the port and the limits.
        verifier: verifies the tokens of other pods.
        peers: reads other pods.
        tls: the TLS contexts; None receives without TLS.
    """

    def __init__(
        self,
        server: ServerInformation,
        configuration: HandOverConfiguration,
        verifier: TokenVerifier,
        peers: Peers,
        tls: TLSContexts | None,
    ) -> None:
        self._pod = server
        self._configuration = configuration
        self._verifier = verifier
        self._peers = peers
        self._tls = tls
        self._acceptor: ArrivalAcceptor | None = None
        self._handling: set[asyncio.Task[object] | None] = set()
        self._logged_at = -math.inf

    async def serve(self, acceptor: ArrivalAcceptor) -> None:
        """Receives until it is cancelled. If the port is in use, it tries again."""
        self._acceptor = acceptor
        while True:
            try:
                await self._listen()
            except OSError as error:
                log.warning("cannot receive users: trying again", port=self._configuration.port, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        server = web.Server(
            self._handle,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
        )
        guard = self._guard = ConnectionGuard(
            server, _CONNECTIONS_FOR_EACH * self._configuration.max_concurrent, IDLE_SECONDS
        )
        tls = None if self._tls is None else self._tls.listening
        listener = await asyncio.get_running_loop().create_server(
            guard.make_protocol,
            self._configuration.listen_host or None,
            self._configuration.port,
            backlog=_BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
        )
        log.info("receives users", port=self._configuration.port, tls=tls is not None)
        try:
            await guard.run()
        finally:
            listener.close()
            for task in filter(None, self._handling):
                task.cancel()
            server.pre_shutdown()  # closes idle connections
            await server.shutdown(_SHUTDOWN_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        self._handling.add(task)
        with self._guard.handling(request.protocol):
            try:
                return await self._route(request)
            except RefusedError as error:
                return _problem(error.refusal)
            finally:
                self._handling.discard(task)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == IDENTITY_PATH and request.method == "GET":
            return self._identify()
        if not path.startswith(f"{ARRIVALS_PATH}/"):
            return web.json_response({"title": "there is no such path"}, status=HTTPStatus.NOT_FOUND)
        if request.method not in ("PUT", "DELETE"):
            return web.json_response({"title": "use PUT or DELETE"}, status=HTTPStatus.METHOD_NOT_ALLOWED)
        service, uid = _parse_user(path)
        origin = await self._authenticate(request)
        if self._acceptor is None:
            raise RefusedError(Refusal.NO_RECEIVER)
        if request.method == "DELETE":
            self._acceptor.reconsider(service, uid)
            return web.Response(status=HTTPStatus.NO_CONTENT)
        if (request.content_length or 0) > self._configuration.max_state_bytes:
            raise RefusedError(Refusal.TOO_LARGE)
        await self._acceptor.take(service, uid, origin, _parts(request))
        return web.json_response({})

    def _identify(self) -> web.Response:
        try:
            token = read_token(self._configuration.tokens, "receive")
        except HandOverError as error:
            log.warning("cannot identify this pod", error=str(error))
            raise RefusedError(Refusal.UNAVAILABLE) from None
        return web.json_response({"token": token})

    async def _authenticate(self, request: web.BaseRequest) -> str:
        """Returns the name of the pod that sends the request.

        Raises:
            RefusedError: it has not proved that.
        """
        try:
            identity = await self._verifier.verify(_bearer_token(request), SEND_AUDIENCE)
            peer = await self._peers.read(identity.name) if identity.namespace == self._pod.namespace else None
        except TokenError as error:
            raise self._unauthorized(str(error)) from None
        except (KeysUnavailableError, ClusterError, msgspec.MsgspecError):
            raise RefusedError(Refusal.UNAVAILABLE) from None
        if identity.namespace != self._pod.namespace:
            raise self._unauthorized("it is for a pod of another namespace")
        if peer is None or peer.uid != identity.uid:
            raise self._unauthorized("it is for a pod that does not exist any more")
        return identity.name

    def _unauthorized(self, reason: str) -> RefusedError:
        """Returns the error for an invalid token; logs some of them, because anybody may send any number."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_at > _LOG_SECONDS:
            self._logged_at = now
            log.warning("refused the token of a request", error=reason)
        return RefusedError(Refusal.UNAUTHORIZED)


def _bearer_token(request: web.BaseRequest) -> str:
    headers = request.headers.getall("Authorization", [])
    if len(headers) != 1 or not headers[0].startswith(_BEARER):
        raise TokenError("there is none")
    return headers[0].removeprefix(_BEARER)


def _parse_user(path: str) -> tuple[str, str]:
    """Returns the service and the uid in a path, in which each is one percent-encoded segment.

    Raises:
        RefusedError: it has others.
    """
    segments = path.removeprefix(f"{ARRIVALS_PATH}/").split("/")
    try:
        service, uid = (unquote_to_bytes(segment).decode() for segment in segments)
        return validate_route(service), validate_uid(uid)
    except (ValueError, InvalidParameterError):
        raise RefusedError(Refusal.INVALID) from None


async def _parts(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yields the body of a request, as fast as it is read.

    Raises:
        HandOverError: the other pod has broken off, or pauses for too long.
    """
    try:
        while True:
            async with asyncio.timeout(_PAUSE_SECONDS):
                part = await request.content.readany()
            if part:
                yield part
            elif request.content.at_eof():
                break
    except (aiohttp.ClientError, OSError, web.RequestPayloadError, EOFError, HttpProcessingError) as error:
        raise HandOverError(f"the other pod has broken off ({type(error).__name__})") from error


def _problem(refusal: Refusal) -> web.Response:
    status = _STATUSES[refusal]
    return web.json_response(
        {"type": "about:blank", "title": status.phrase, "status": status, "code": refusal},
        status=status,
        content_type="application/problem+json",
    )
