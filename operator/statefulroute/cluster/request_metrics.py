"""Requests to the API server as they are counted: what was asked for, what was answered, how long it took."""

import time
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class RequestRecord(NamedTuple):
    """A request and its outcome.

    Attributes:
        verb: as in a Role: get, list, watch, create, update, patch, delete.
        resource: as in a Role: the plural, and the subresource where there is one (`podlinks/status`); empty where
            the path is no resource's.
        code: the HTTP status of the answer; None where none came, or it was cut off.
        seconds: how long it took until the whole answer was there; of a watch, until it had begun.
    """

    verb: str
    resource: str
    code: int | None
    seconds: float


#: Is told of every request; it must be quick, and must not raise.
RequestObserver = Callable[[RequestRecord], None]


def record_request(method: str, path: str, *, is_watch: bool, code: int | None, seconds: float) -> RequestRecord:
    """The request of this method and path.

    Args:
        method: the HTTP method.
        path: the URL's path, with nothing before it.
        is_watch: whether events were asked for.
        code: the HTTP status of the answer, if there was one.
        seconds: how long it took.
    """
    parts = path.split("/")
    place = 3 if parts[1:2] == ["api"] else 4  # /api/VERSION/... or /apis/GROUP/VERSION/...
    if parts[place : place + 1] == ["namespaces"] and len(parts) > place + 2:
        place += 2
    resource, name, subresource = (*parts[place : place + 3], "", "", "")[:3]
    verb = "watch" if is_watch else _VERBS.get(method) or ("get" if name or not resource else "list")
    return RequestRecord(verb, f"{resource}/{subresource}" if subresource else resource, code, seconds)


def observe_requests(observer: RequestObserver, root: str) -> aiohttp.ClientMiddlewareType:
    """A part of a session that tells of each request when the head of its answer is there: for sessions of others.

    Args:
        observer: is told.
        root: what stands before the API server's own paths; empty where nothing does.
    """

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        begun = time.monotonic()

        def tell(code: int | None) -> None:
            path, seconds = request.url.raw_path.removeprefix(root), time.monotonic() - begun
            is_watch = "watch" in request.url.query
            observer(record_request(request.method, path, is_watch=is_watch, code=code, seconds=seconds))

        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError):  # a time-out is one
            tell(None)
            raise
        tell(response.status)
        return response

    return middleware
