"""A small HTTP client for the API server: bounded connections, bytes in and out, typed errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from http import HTTPStatus
from typing import Any, Self

import aiohttp
import msgspec

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.clock import elapsed_seconds, observe_server_time
from statefulroute.cluster.errors import APIError, ClusterError, GoneError, UnreachableError, api_error
from statefulroute.cluster.expiry_clock import ExpiryClock
from statefulroute.cluster.missing_kind import NO_GROUP, explain_missing_kind
from statefulroute.cluster.request_metrics import RequestObserver, RequestRecord, record_request
from statefulroute.cluster.retry_after import allows_retry_after, parse_retry_after, retry_pause
from statefulroute.cluster.watch_lines import read_lines
from statefulroute.cluster.whole_response import Response
from statefulroute.cluster.write_transport import WriteTransport

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

#: The values of Accept for the metadata of the objects of a list or a watch. A server that cannot send that sends whole
#: objects.
_LISTED_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_WATCHED_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

#: For requests other than watches. The API server's own timeout is 60 s.
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=65, sock_connect=10)

#: A healthy watch receives an event or a bookmark about once a minute; after this time, the connection is dead.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)

#: A request that its caller gives up after this time counts as one without a response. Before it, the caller has most
#: likely gone away itself.
_GIVEN_UP_SECONDS = 1.0

#: aiohttp's value for an unlimited number of connections.
_UNLIMITED = 0


class Client:
    """Sends requests to one API server; an async context manager that closes all connections on exit.

    Args:
        connection: the address and the credentials.
        max_connections: how many requests may be in progress at the same time, not counting watches.
        observer: called with the record of every request.
        attempts: how often a request is sent, as long as the API server is too busy for it and asks for a pause
            (429 with Retry-After): it has not handled such a request.

    Attributes:
        expiry_clock: the time by which temporary links end: it stands still while the API server is away.
    """

    def __init__(
        self,
        connection: Connection,
        max_connections: int = 32,
        observer: RequestObserver | None = None,
        *,
        attempts: int = 1,
    ) -> None:
        self._server = connection.server
        self._observer = observer
        self.expiry_clock = ExpiryClock()
        self._requests = connection.session(max_connections)
        self._writes = WriteTransport(connection, self._requests)
        # A watch must not wait for a free connection: its cache would become stale.
        self._watches = connection.session(_UNLIMITED)
        for session in (self._requests, self._watches):
            # aiohttp repeats a request when the connection breaks off, even a DELETE. The second response would be 404,
            # and the caller would not know that the first request deleted the object.
            session._retry_connection = False  # noqa: SLF001 - there is no public setting
        self._is_dry_run = False
        self._is_metadata_only = False
        self._attempts = attempts

    def dry_run(self) -> Self:
        """Returns a client that shares the connections and whose writes are dry runs: nothing is persisted."""
        client = copy(self)
        client._is_dry_run = True  # noqa: SLF001 - an object of the same class
        return client

    def metadata_only(self) -> Self:
        """Returns a client that shares the connections, and lists and watches only the metadata of objects."""
        client = copy(self)
        client._is_metadata_only = True  # noqa: SLF001 - an object of the same class
        return client

    def observed(self, observer: RequestObserver) -> Self:
        """Returns a client that shares the connections, and calls an observer with the record of every request, too."""
        client, other = copy(self), self._observer

        def observe_both(record: RequestRecord) -> None:
            if other is not None:
                other(record)
            observer(record)

        client._observer = observe_both  # noqa: SLF001 - an object of the same class
        return client

    @property
    def _write_params(self) -> Mapping[str, str] | None:
        """The query parameters of a write."""
        return {"dryRun": "All"} if self._is_dry_run else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()
        await self._watches.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, attempts: int | None = None) -> bytes:
        """Returns the response body of a GET.

        Args:
            path: the path.
            params: the query parameters.
            attempts: how often the request is sent if the API server is too busy; None is the client's number.

        Raises:
            APIError: the API server answered with an error.
            UnreachableError: it did not answer.
        """
        try:
            return await self._send("GET", path, params=params, attempts=attempts)
        except UnreachableError as error:
            if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | ConnectionResetError):
                raise
        # The server had closed the idle connection.
        return await self._send("GET", path, params=params, attempts=attempts)

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """Applies a JSON merge patch (RFC 7386) and returns the resulting object.

        Raises:
            ConflictError: the body's resourceVersion is no longer the object's.
            NotFoundError: the object does not exist.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the patch was applied is not known.
        """
        return await self._send("PATCH", path, params=self._write_params, body=body, content_type=MERGE_PATCH)

    async def post(self, path: str, body: bytes) -> bytes:
        """Creates an object with a POST and returns it.

        Raises:
            ConflictError: an object of this name exists.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the object was created is not known.
        """
        return await self._send("POST", path, params=self._write_params, body=body, content_type=JSON)

    async def delete(self, path: str, options: bytes) -> bytes:
        """Deletes an object with these DeleteOptions and returns the API server's response.

        Raises:
            ConflictError: a precondition does not hold.
            NotFoundError: the object does not exist.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the object was deleted is not known.
        """
        if self._is_dry_run:  # the API server ignores the query parameters of a DELETE with a body
            fields: dict[str, Any] = msgspec.json.decode(options)
            options = msgspec.json.encode({**fields, "dryRun": ["All"]})
        return await self._send("DELETE", path, body=options, content_type=JSON)

    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens a watch; the context's value yields one line per event.

        Raises:
            GoneError: the resource version is too old.
            APIError: the API server answered with another error.
            UnreachableError: the connection was refused or broke off.
        """
        started, is_open = time.monotonic(), False
        try:
            watch_params = {**params, "watch": "true"}
            async with self._request(self._watches, "GET", path, _WATCH_TIMEOUT, params=watch_params) as response:
                is_open = True
                self._record("GET", path, response.status, started, is_watch=True)
                try:
                    yield read_lines(response)
                finally:
                    await _abort(response)
        except (APIError, UnreachableError) as error:
            if not is_open:
                self._record("GET", path, _code(error), started, is_watch=True)
            raise

    async def _send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        attempts: int | None = None,
    ) -> bytes:
        """Sends a request that is not a watch, again while the API server is too busy; returns the response body."""
        for _ in range((attempts or self._attempts) - 1):
            try:
                return await self._send_once(method, path, params=params, body=body, content_type=content_type)
            except APIError as error:
                if error.status != HTTPStatus.TOO_MANY_REQUESTS or not error.retry_after_seconds:
                    raise
                pause = retry_pause(0.0, error.retry_after_seconds)
            await asyncio.sleep(pause)
        return await self._send_once(method, path, params=params, body=body, content_type=content_type)

    async def _send_once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str | None,
    ) -> bytes:
        if self._requests.closed:  # aiohttp would raise a RuntimeError
            raise ClusterError(f"{method} {path}: the client is closed")
        started = time.monotonic()
        try:
            response = None
            if body is not None and content_type is not None and params is None:
                response = await self._write(method, path, body, content_type)
            if response is None:
                async with self._request(
                    self._requests, method, path, _REQUEST_TIMEOUT, params=params, body=body, content_type=content_type
                ) as from_session:
                    response = Response(from_session.status, from_session.headers, await from_session.read())
        except (APIError, UnreachableError) as error:
            self._record(method, path, _code(error), started)
            raise
        except asyncio.CancelledError:  # the caller's deadline is over, or it has gone away
            if time.monotonic() - started >= _GIVEN_UP_SECONDS:
                self.expiry_clock.observe(None)
                self._record(method, path, None, started)
            raise
        self._record(method, path, response.status, started)
        return response.body

    async def _write(self, method: str, path: str, body: bytes, content_type: str) -> Response | None:
        """Sends a write; returns None if the session has to send it."""
        sent_at = elapsed_seconds()
        try:
            response = await self._writes.send(method, path, body, content_type, _REQUEST_TIMEOUT)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(method, path, error) from error
        if response is not None:
            observe_server_time(response.headers.get("Date"), sent_at)
            self.expiry_clock.observe(response.status)
            if response.status >= 400:  # noqa: PLR2004 - the first error status of HTTP
                raise _error(path, response.status, response.body, response.headers)
        return response

    def _record(self, method: str, path: str, code: int | None, started: float, *, is_watch: bool = False) -> None:
        if self._observer is not None:
            seconds = time.monotonic() - started
            self._observer(record_request(method, path, is_watch=is_watch, code=code, seconds=seconds))

    @asynccontextmanager
    async def _request(  # noqa: PLR0913 - the parts of a request
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's type of a timeout
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": content_type} if content_type else None
        if self._is_metadata_only:
            headers = {"Accept": _WATCHED_METADATA if session is self._watches else _LISTED_METADATA}
        sent_at = elapsed_seconds()
        try:
            async with session.request(
                method,
                self._server + path,
                params=params,
                data=body,
                headers=headers,
                timeout=timeout,
            ) as response:
                observe_server_time(response.headers.get("Date"), sent_at)
                self.expiry_clock.observe(response.status)
                if response.status >= 400:  # noqa: PLR2004 - the first error status of HTTP
                    raise _error(path, response.status, await response.read(), response.headers)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(method, path, error) from error

    def _unreachable(self, method: str, path: str, error: Exception) -> UnreachableError:
        self.expiry_clock.observe(None)
        return UnreachableError(f"{method} {path}: {str(error) or type(error).__name__}")


async def _abort(response: aiohttp.ClientResponse) -> None:
    """Closes the connection of a response that has not ended, and waits until it is closed.

    aiohttp would close it in the background, and with TLS not before the server does. The end of its session does not
    wait for that, and the event loop may end with an open socket.
    """
    connection = response.connection
    if connection is None or connection.protocol is None or connection.transport is None:
        return
    closed = connection.protocol.closed
    connection.transport.abort()
    if closed is not None:
        await asyncio.gather(closed, return_exceptions=True)


def _code(error: APIError | UnreachableError) -> int | None:
    return error.status if isinstance(error, APIError) else None


class _Cause(msgspec.Struct):
    field: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: Any = None


class _Metadata(msgspec.Struct, rename={"continue_token": "continue"}):
    continue_token: str = ""


class Status(msgspec.Struct):
    """The API server's error response: a metav1.Status."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None
    metadata: _Metadata | None = None

    def as_error(self, status: int = 0) -> APIError:
        """Returns the error to raise; `status` is used if the response has no code."""
        causes = (self.details and self.details.causes) or [_Cause()]
        error = api_error(self.code or status, self.reason, self.message, causes[0].field)
        if isinstance(error, GoneError) and self.metadata is not None:
            error.continue_token = self.metadata.continue_token
        seconds = None if self.details is None else self.details.retry_after_seconds
        if isinstance(seconds, int | float) and seconds > 0 and allows_retry_after(error.status):
            error.retry_after_seconds = seconds
        return error


_status = msgspec.json.Decoder(Status)


def _error(path: str, status: int, body: bytes, headers: Mapping[str, str]) -> APIError:
    try:
        error = _status.decode(body).as_error(status)
    except ValueError:
        error = _page_error(status, body[:200].decode(errors="replace"))
    if allows_retry_after(status) and (seconds := parse_retry_after(headers.get("Retry-After"), headers.get("Date"))):
        error.retry_after_seconds = seconds
    return explain_missing_kind(error, path)


def _page_error(status: int, text: str) -> APIError:
    """Returns the error for a page; the 404 of a proxy does not mean that an object does not exist."""
    if status == HTTPStatus.NOT_FOUND and text.strip() != NO_GROUP:
        return APIError(status, "", f"this is not the response of an API server, but of a proxy: {text}")
    return api_error(status, "", text)
