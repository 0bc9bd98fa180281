"""Names the callers of HTTP requests, and observes whether they are still connected."""

from collections.abc import Callable

from aiohttp import web

from statefulroute.monitoring.listener import TimedConnection
from statefulroute.resolver.http.paths import RequestPath


class HTTPCaller:
    """The caller of an HTTP request.

    Args:
        request: the request.
        path: its path, with the name of an authenticated caller.
    """

    __slots__ = ("_path", "_request")

    def __init__(self, request: web.BaseRequest, path: RequestPath) -> None:
        self._request = request
        self._path = path

    @property
    def name(self) -> str:
        """The user of its token, the name in its certificate, or its address."""
        return self._path.caller or peer_of(self._request)

    def hold(self, on_disconnect: Callable[[], object]) -> None:
        """Records that the request is held, and calls a function once the client has closed the connection."""
        connection = self._request.protocol
        if isinstance(connection, TimedConnection):
            connection.on_close = on_disconnect
        if self._request.transport is None:  # closed before
            on_disconnect()


def end_hold(request: web.BaseRequest) -> bool:
    """Ends the observation of a request's connection, before its response; returns whether the request was held."""
    connection = request.protocol
    if not isinstance(connection, TimedConnection) or connection.on_close is None:
        return False
    connection.on_close = None
    return True


def peer_of(request: web.BaseRequest) -> str:
    """Returns the name in the client's certificate, or its address if it has none."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        names = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
        names += [value for _, value in certificate.get("subjectAltName", ())]
        if names:
            return str(names[0])
    return request.remote or ""
