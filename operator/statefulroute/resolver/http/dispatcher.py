"""Which path and method is answered by what, and what all answers have in common."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from statefulroute.resolver.callers import Callers
from statefulroute.resolver.http.gateways import Gateways
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.openapi import document
from statefulroute.resolver.http.paths import Resource, Target, target_of
from statefulroute.resolver.http.streams import Streams
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import EXPECTED, ProblemError, ProblemKind, problem_of

log = structlog.get_logger(__name__)

#: A thousand uids of the longest kind, and what stands around them.
MAX_BODY_BYTES = 2**18

_KINDS = {
    404: ProblemKind.NO_SUCH_PATH,
    405: ProblemKind.NO_SUCH_METHOD,
    413: ProblemKind.TOO_LARGE,
}


class _Operation(NamedTuple):
    """What answers a request.

    Attributes:
        name: what it is called in the API's document, and in metrics.
        answer: answers.
    """

    name: str
    answer: Callable[[web.BaseRequest, Target], Awaitable[web.StreamResponse]]


#: As which nginx counts it, too.
_CALLER_HAS_GONE = 499

#: Stands for every method.
_ANY = "*"

#: What requests are counted as that ask for nothing that there is.
_NONE = "none"


class Dispatcher:
    """Lets callers in, has their requests answered, counts the answers, and says in one form why there is none.

    aiohttp's own dispatch by patterns, a request's match and middlewares took an eighth of a look-up's time.

    Args:
        lookups: answers look-ups.
        streams: answers with streams.
        gateways: answers gateways.
        callers: lets callers in.
        metrics: counts answers.
    """

    def __init__(
        self, lookups: Lookups, streams: Streams, gateways: Gateways, callers: Callers, metrics: ResolverMetrics
    ) -> None:
        get_link, get_route = _Operation("get_link", lookups.get_link), _Operation("get_route", lookups.get_route)
        openapi = _Operation("openapi", _document)
        self._operations: Mapping[Resource, Mapping[str, _Operation]] = {
            Resource.LINK: {"GET": get_link, "HEAD": get_link, "POST": _Operation("bind_link", lookups.bind_link)},
            Resource.LINKS: {"POST": _Operation("batch_get", lookups.batch_get)},
            Resource.MOVES: {"GET": _Operation("get_moves", streams.get_moves)},
            Resource.ROUTE: {"GET": get_route, "HEAD": get_route},
            Resource.GATEWAY: {_ANY: _Operation("authorize", gateways.authorize)},
            Resource.DOCUMENT: {"GET": openapi, "HEAD": openapi},
        }
        self._streams = streams
        self._callers = callers
        self._metrics = metrics
        self._is_leaving = False

    def leave(self) -> None:
        """From now on, each answer is the last of its connection: who asks again asks another resolver."""
        self._is_leaving = True

    def end(self) -> None:
        """End all streams; there are no new ones."""
        self._streams.end()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever it is and whatever happens."""
        begun = time.perf_counter()
        target = target_of(request.rel_url.raw_path)
        methods = _NOTHING if target is None else self._operations[target.resource]
        operation = methods.get(request.method) or methods.get(_ANY)
        name = _NONE if operation is None else operation.name
        response: web.StreamResponse
        try:
            if not self._callers.are_all_let_in and name != "openapi":
                await self._callers.admit(request.headers.get(hdrs.AUTHORIZATION), _peer(request))
            if target is None or operation is None:
                response = _nothing_there(request.method, methods)
            else:
                if hdrs.EXPECT in request.headers:
                    await _ask_for_the_body(request)
                response = await operation.answer(request, target)
        except Exception as error:  # noqa: BLE001 - it is told, and what nobody has expected is logged
            response = _not_answered(error, name)
        if self._is_leaving:
            response.force_close()
        is_stream = name == "get_moves" and response.status == HTTPStatus.OK
        self._metrics.answered(name, response.status, None if is_stream else time.perf_counter() - begun)
        return response


_NOTHING: Mapping[str, _Operation] = {}


def _not_answered(error: Exception, operation: str) -> web.Response:
    """What is said of an error instead of an answer; only what nobody has expected is the resolver's own."""
    if isinstance(error, EXPECTED):
        problem = problem_of(error)
        if problem.kind is ProblemKind.REFUSED:
            log.warning("the API server has refused what was asked", operation=operation, error=str(error))
        return _told(problem)
    if isinstance(error, web.HTTPException):
        return _told_by_status(error)
    if isinstance(error, web.RequestPayloadError):
        return _told(ProblemError(ProblemKind.MALFORMED, f"the body cannot be read: {error}"))
    if isinstance(error, ConnectionResetError):
        return web.Response(status=_CALLER_HAS_GONE)  # nobody reads it
    log.error("a request was not answered", operation=operation, exc_info=error)
    return _told(ProblemError(ProblemKind.INTERNAL, "the resolver's log says more"))


async def _document(_: web.BaseRequest, __: Target) -> web.Response:
    return web.Response(body=document(), content_type="application/json")


def _nothing_there(method: str, methods: Mapping[str, _Operation]) -> web.Response:
    return _told_by_status(web.HTTPMethodNotAllowed(method, sorted(methods)) if methods else web.HTTPNotFound())


async def _ask_for_the_body(request: web.BaseRequest) -> None:
    """Answer `Expect` (RFC 9110, section 10.1.1): who sends it waits with the body until it is asked for."""
    if request.version < HttpVersion11:
        return
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise ProblemError(ProblemKind.MALFORMED, "Expect can only be 100-continue")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


def _peer(request: web.BaseRequest) -> str:
    """Who asks: by the certificate, where there is one, else by the address."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        names = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
        names += [value for _, value in certificate.get("subjectAltName", ())]
        if names:
            return str(names[0])
    return request.remote or ""


def _told(error: ProblemError) -> web.Response:
    return web.Response(status=error.kind.status, body=error.body, headers=error.headers)


def _told_by_status(error: web.HTTPException) -> web.Response:
    """What aiohttp itself answers, in the same form."""
    kind = _KINDS.get(error.status)
    if kind is None:
        kind = ProblemKind.INTERNAL if error.status >= 500 else ProblemKind.MALFORMED  # noqa: PLR2004 - HTTP's own
    response = _told(ProblemError(kind, error.text or error.reason))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
