"""Sends writes on the connections of an aiohttp session, without what the session does for each request.

A session prepares each request for cookies, redirects, middlewares, traces and bodies of any kind, and starts a task
that sends it: two thirds of the CPU time of a small write. The connections and TLS are aiohttp's here, too, and the
parser of all but plain responses.
"""

import asyncio
import re
from http import HTTPStatus

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.whole_response import Response, WholeResponseReader

#: What the URL of a request may contain without being quoted.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]+")


class WriteTransport:
    """Sends writes to one API server, each once.

    Args:
        connection: the address and the credentials.
        session: the session whose connections are used. It sends the requests that need more: those through a proxy,
            and those that were refused and may be repeated elsewhere, with other credentials or other certificates.
    """

    def __init__(self, connection: Connection, session: aiohttp.ClientSession) -> None:
        self._connection = connection
        self._session = session
        self._prefix = URL(connection.server).raw_path.rstrip("/")
        self._headers = ""
        """The headers that all requests have."""
        self._request: aiohttp.ClientRequest | None = None
        """Names the server for the pool of connections; it is never sent."""

    async def send(
        self,
        method: str,
        path: str,
        body: bytes,
        content_type: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's type of a timeout
    ) -> Response | None:
        """Sends a write and returns the response.

        Returns:
            The response; None if the session has to send the request: it was not sent, or refused without effect.

        Raises:
            aiohttp.ClientError: the API server did not answer.
            TimeoutError: it did not answer in time.
            NotLeadingError: the fence did not admit the write.
        """
        if self._connection.proxy is not None or _PLAIN_PATH.fullmatch(path) is None:
            return None
        credentials, fence = self._connection.credentials, self._connection.fence
        term = None if fence is None else fence.term
        async with asyncio.timeout(timeout.total):
            authorization = None if credentials is None else await credentials.authorization()
            try:
                pooled = await self._connect(timeout)
            except aiohttp.ClientConnectorCertificateError:
                return None
            try:
                if fence is not None:
                    await fence.admit_write(term, pooled.protocol)
                head = self._request_head(method, path, len(body), content_type, authorization)
                response = await _exchange(pooled, head + body)
            except BaseException:
                pooled.close()  # a response may still arrive on it
                raise
            pooled.release()
            is_redirected = 300 <= response.status < 400  # noqa: PLR2004 - redirects
            is_refused = (
                response.status == HTTPStatus.UNAUTHORIZED
                and credentials is not None
                and await credentials.refresh() != authorization
            )
            if (is_redirected or is_refused) and fence is not None:
                await fence.admit_write(term)  # the session would send it in a later term, too
        return None if is_redirected or is_refused else response

    def _request_head(self, method: str, path: str, length: int, content_type: str, authorization: str | None) -> bytes:
        """Returns the request line and the headers."""
        credentials = "" if authorization is None else f"Authorization: {_checked(authorization)}\r\n"
        return (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}{credentials}"
            f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def _connect(self, timeout: aiohttp.ClientTimeout) -> aiohttp.connector.Connection:  # noqa: ASYNC109 - as above
        """Returns a connection of the session's pool, when there is one."""
        if self._request is None:
            self._request = self._first_request()
        if self._session.connector is None:
            raise aiohttp.ClientConnectionError("the client is closed")
        return await self._session.connector.connect(self._request, traces=[], timeout=timeout)

    def _first_request(self) -> aiohttp.ClientRequest:
        request = aiohttp.ClientRequest(
            "GET",
            URL(self._connection.server),
            headers=self._session.headers,
            loop=asyncio.get_running_loop(),
            ssl=True,
            server_hostname=self._connection.server_name,
        )
        self._headers = "".join(f"{name}: {_checked(value)}\r\n" for name, value in request.headers.items())
        return request


async def _exchange(connection: aiohttp.connector.Connection, request: bytes) -> Response:
    """Sends a request in one piece and reads the response."""
    protocol = connection.protocol
    if protocol is None or protocol.transport is None or protocol.transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection was closed before the request was sent")
    if protocol.should_close:  # the data would count as the response to this request
        raise aiohttp.ClientConnectionResetError("the server has sent data before the request was sent")
    reader = WholeResponseReader(protocol)
    protocol.transport.write(request)
    if (response := await reader.response) is not None:
        return response
    try:
        message, content = await protocol.read()
        while message.code < HTTPStatus.OK:  # 100 Continue, for example
            message, content = await protocol.read()
    except HttpProcessingError as error:
        raise aiohttp.ClientPayloadError(f"the response is malformed: {error.message}") from error
    return Response(message.code, message.headers, await content.read())


def _checked(value: str) -> str:
    """Returns the value of a header.

    Raises:
        ValueError: it would end the header.
    """
    if "\r" in value or "\n" in value:
        raise ValueError("the value of a header has several lines")
    return value
