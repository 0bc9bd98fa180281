"""Which path is answered by what, and what all answers have in common."""

import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from statefulroute.resolver.callers import Callers
from statefulroute.resolver.http.gateways import Gateways
from statefulroute.resolver.http.lookups import Lookups
from statefulroute.resolver.http.openapi import document
from statefulroute.resolver.http.streams import Streams
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import EXPECTED, ProblemError, ProblemKind, problem_of

log = structlog.get_logger(__name__)

#: A thousand uids of the longest kind, and what stands around them.
_MAX_BODY_BYTES = 2**18

_ROUTE = "/v1/namespaces/{namespace}/routes/{route}"

_KINDS = {
    404: ProblemKind.NO_SUCH_PATH,
    405: ProblemKind.NO_SUCH_METHOD,
    413: ProblemKind.TOO_LARGE,
}


def application(
    lookups: Lookups, streams: Streams, gateways: Gateways, callers: Callers, metrics: ResolverMetrics
) -> web.Application:
    """The application.

    Args:
        lookups: answers look-ups.
        streams: answers with streams; they end when it ends.
        gateways: answers gateways.
        callers: lets callers in.
        metrics: counts answers.
    """
    made = web.Application(middlewares=[_answering(callers, metrics)], client_max_size=_MAX_BODY_BYTES)
    router = made.router
    router.add_get(f"{_ROUTE}/links/{{uid}}", lookups.get_link, name="get_link")
    router.add_post(f"{_ROUTE}/links/{{uid}}", lookups.bind_link, name="bind_link")
    router.add_post(f"{_ROUTE}/links:batchGet", lookups.batch_get, name="batch_get")
    router.add_get(f"{_ROUTE}/moves", streams.get_moves, name="get_moves", allow_head=False)
    router.add_get(_ROUTE, lookups.get_route, name="get_route")
    router.add_route("*", "/authorize/{namespace}/{route}{rest:(?:/.*)?}", gateways.authorize, name="authorize")
    router.add_get("/openapi.json", _document, name="openapi")

    made.on_shutdown.append(streams.end)
    return made


async def _document(_: web.Request) -> web.Response:
    return web.Response(body=document(), content_type="application/json")


def _answering(callers: Callers, metrics: ResolverMetrics) -> Middleware:
    """Lets callers in, counts the answers, and says in one form why there is none."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.perf_counter()
        operation = request.match_info.route.name or "none"
        response: web.StreamResponse
        try:
            if not callers.are_all_let_in and operation != "openapi":
                await callers.admit(request.headers.get("Authorization"), _peer(request))
            response = await handler(request)
        except EXPECTED as error:
            problem = problem_of(error)
            if problem.kind is ProblemKind.REFUSED:
                log.warning("the API server has refused what was asked", operation=operation, error=str(error))
            response = _told(problem)
        except web.HTTPException as error:
            response = _told_by_status(error)
        except Exception:
            log.exception("a request was not answered", operation=operation)
            response = _told(ProblemError(ProblemKind.INTERNAL, "the resolver's log says more"))
        is_stream = operation == "get_moves" and response.status == 200  # noqa: PLR2004 - OK
        metrics.answered(operation, response.status, None if is_stream else time.perf_counter() - begun)
        return response

    return answer


def _peer(request: web.Request) -> str:
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
