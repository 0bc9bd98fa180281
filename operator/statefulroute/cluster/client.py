"""The one small HTTP client that the hot path uses: bounded connections, bytes in, bytes out, typed errors."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, Self

import aiohttp
import msgspec

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.clock import elapsed_seconds, observe_server_time
from statefulroute.cluster.errors import APIError, UnreachableError, api_error
from statefulroute.cluster.request_metrics import RequestObserver, record_request

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

#: One request that is no watch: the API server itself gives up after 60 s.
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=65, sock_connect=10)

#: A watch that is alive brings an event or a bookmark about once a minute; silence for longer is a dead connection.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)


#: No limit, in aiohttp's words.
_UNLIMITED = 0


class Client:
    """Requests to one API server; leaving its context closes every connection.

    Args:
        connection: where it is and how to be let in.
        max_connections: how many requests may be under way at the same time, watches left out.
        observer: is told of every request.
    """

    def __init__(
        self, connection: Connection, max_connections: int = 32, observer: RequestObserver | None = None
    ) -> None:
        self._server = connection.server
        self._observer = observer
        self._requests = connection.session(max_connections)
        # A watch that waited behind the requests of a full queue would leave its cache stale meanwhile.
        self._watches = connection.session(_UNLIMITED)
        for session in (self._requests, self._watches):
            # aiohttp asks twice when a connection breaks off, also to delete: the second answer would be that there is
            # nothing, and nobody would know that the first has deleted it.
            session._retry_connection = False  # noqa: SLF001 - it has no other switch
        self._is_dry_run = False

    def dry_run(self) -> Self:
        """The same client, whose writes the API server only judges: it answers as if it had carried them out."""
        rehearsal = copy(self)
        rehearsal._is_dry_run = True  # noqa: SLF001 - of its own class
        return rehearsal

    @property
    def _write_params(self) -> Mapping[str, str] | None:
        """The parameters of a write."""
        return {"dryRun": "All"} if self._is_dry_run else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()
        await self._watches.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET.

        Raises:
            APIError: the API server answered with an error.
            UnreachableError: it did not answer.
        """
        try:
            return await self._send("GET", path, params=params)
        except UnreachableError as error:
            if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | ConnectionResetError):
                raise
        return await self._send("GET", path, params=params)  # the connection had been closed while nobody used it

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """The object that a JSON merge patch (RFC 7386) makes.

        Raises:
            ConflictError: the body's resourceVersion is no longer the object's.
            NotFoundError: the object does not exist.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the patch was applied is not known.
        """
        return await self._send("PATCH", path, params=self._write_params, body=body, content_type=MERGE_PATCH)

    async def post(self, path: str, body: bytes) -> bytes:
        """The object that a POST creates.

        Raises:
            ConflictError: there is an object of that name.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the object was created is not known.
        """
        return await self._send("POST", path, params=self._write_params, body=body, content_type=JSON)

    async def delete(self, path: str, options: bytes) -> bytes:
        """The API server's answer to a DELETE with these DeleteOptions.

        Raises:
            ConflictError: a precondition does not hold.
            NotFoundError: the object does not exist.
            APIError: the API server answered with another error.
            UnreachableError: it did not answer; whether the object was deleted is not known.
        """
        if self._is_dry_run:  # of a DELETE with a body, the API server reads no parameters
            asked: dict[str, Any] = msgspec.json.decode(options)
            options = msgspec.json.encode({**asked, "dryRun": ["All"]})
        return await self._send("DELETE", path, body=options, content_type=JSON)

    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The events of a watch, a line each, as they come.

        Raises:
            GoneError: the resource version is too old.
            APIError: the API server answered with another error.
            UnreachableError: the connection was refused or broke off.
        """
        begun, has_begun = time.monotonic(), False
        try:
            asked = {**params, "watch": "true"}
            async with self._request(self._watches, "GET", path, _WATCH_TIMEOUT, params=asked) as response:
                has_begun = True
                self._record("GET", path, response.status, begun, is_watch=True)
                yield _lines(response)
        except (APIError, UnreachableError) as error:
            if not has_begun:
                self._record("GET", path, _code(error), begun, is_watch=True)
            raise

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> bytes:
        """The body of the answer to a request that is no watch."""
        begun = time.monotonic()
        try:
            async with self._request(
                self._requests, method, path, _REQUEST_TIMEOUT, params=params, body=body, content_type=content_type
            ) as response:
                answer = await response.read()
        except (APIError, UnreachableError) as error:
            self._record(method, path, _code(error), begun)
            raise
        self._record(method, path, response.status, begun)
        return answer

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
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own kind of time-out
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Content-Type": content_type} if content_type else None
        asked = elapsed_seconds()
        try:
            async with session.request(
                method,
                self._server + path,
                params=params,
                data=body,
                headers=headers,
                timeout=timeout,
            ) as response:
                observe_server_time(response.headers.get("Date"), asked)
                if response.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
                    raise _error(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{method} {path}: {str(error) or type(error).__name__}") from error


def _code(error: APIError | UnreachableError) -> int | None:
    return error.status if isinstance(error, APIError) else None


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body line by line. Lines of any length: aiohttp's own reader of lines has a limit."""
    rest = b""
    async for data in response.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line:
                yield line


class _Cause(msgspec.Struct):
    field: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class Status(msgspec.Struct):
    """The API server's answer to what it refuses, as metav1.Status."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None

    def as_error(self, status: int = 0) -> APIError:
        """The error to raise; `status` stands in where the answer has no code of its own."""
        causes = (self.details and self.details.causes) or [_Cause()]
        return api_error(self.code or status, self.reason, self.message, causes[0].field)


_status = msgspec.json.Decoder(Status)


def _error(status: int, body: bytes) -> APIError:
    try:
        return _status.decode(body).as_error(status)
    except ValueError:  # a proxy's page, not the API server's words
        return api_error(status, "", body[:200].decode(errors="replace"))
