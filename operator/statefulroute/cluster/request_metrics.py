"""Records requests to the API server: the verb, the resource, the status code and the duration."""

import time
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class RequestRecord(NamedTuple):
    """A request and its outcome.

    Attributes:
        verb: the verb as in a Role: get, list, watch, create, update, patch, delete.
        resource: the resource as in a Role: the plural, with the subresource if there is one (`podlinks/status`);
            empty if the path is not a resource's.
        code: the HTTP status of the response; None if there was none, or it broke off.
        seconds: the time until the whole response was read; for a watch, until it was open.
    """

    verb: str
    resource: str
    code: int | None
    seconds: float


#: Called with the record of every request; it must be fast and must not raise.
RequestObserver = Callable[[RequestRecord], None]


def record_request(method: str, path: str, *, is_watch: bool, code: int | None, seconds: float) -> RequestRecord:
    """Returns the record of a request.

    Args:
        method: the HTTP method.
        path: the path of the URL, without a prefix.
        is_watch: whether the request was a watch.
        code: the HTTP status of the response; None if there was none.
        seconds: the duration.
    """
    parts = path.split("/")
    index = 3 if parts[1:2] == ["api"] else 4  # /api/VERSION/... or /apis/GROUP/VERSION/...
    if parts[index : index + 1] == ["namespaces"] and len(parts) > index + 2:
        index += 2
    resource, name, subresource = (*parts[index : index + 3], "", "", "")[:3]
    verb = "watch" if is_watch else _VERBS.get(method) or ("get" if name or not resource else "list")
    return RequestRecord(verb, f"{resource}/{subresource}" if subresource else resource, code, seconds)


def observe_requests(observer: RequestObserver, root: str) -> aiohttp.ClientMiddlewareType:
    """Returns a middleware that records each request when the headers of its response arrive, for sessions of kopf.

    Args:
        observer: called with the record of each request.
        root: the path prefix of the API server's URL; empty if it has none.
    """

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        started = time.monotonic()

        def record(code: int | None) -> None:
            path, seconds = request.url.raw_path.removeprefix(root), time.monotonic() - started
            is_watch = "watch" in request.url.query
            observer(record_request(request.method, path, is_watch=is_watch, code=code, seconds=seconds))

        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            record(None)
            raise
        record(response.status)
        return response

    return middleware
