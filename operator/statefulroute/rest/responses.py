"""Converts errors to problem responses, and handles `Expect`."""

from collections.abc import Collection

import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from statefulroute.rest.problems import EXPECTED_ERRORS, INTERNAL_DETAIL, ProblemError, ProblemKind, problem_of

log = structlog.get_logger(__name__)

_KINDS = {
    404: ProblemKind.NO_SUCH_PATH,
    405: ProblemKind.NO_SUCH_METHOD,
    413: ProblemKind.TOO_LARGE,
}


#: The status that nginx logs for a request whose client closed the connection.
_CLIENT_CLOSED_REQUEST = 499


def error_response(error: Exception, operation: str) -> web.Response:
    """Converts an error to a response. An unexpected one is an internal error."""
    if isinstance(error, EXPECTED_ERRORS):
        problem = problem_of(error)
        if problem.kind is ProblemKind.REFUSED:
            log.warning("the API server refused a request", operation=operation, error=str(error))
        return problem_response(problem)
    if isinstance(error, web.HTTPException):
        return _http_error_response(error)
    if isinstance(error, web.RequestPayloadError):
        return problem_response(ProblemError(ProblemKind.MALFORMED, f"the body cannot be read: {error}"))
    if isinstance(error, ConnectionResetError):
        return web.Response(status=_CLIENT_CLOSED_REQUEST)  # only counted: the connection is closed
    log.error("a request failed with an unexpected error", operation=operation, exc_info=error)
    return problem_response(ProblemError(ProblemKind.INTERNAL, INTERNAL_DETAIL))


def no_operation_response(method: str, methods: Collection[str]) -> web.Response:
    """Returns the response to a request that is no operation: of a path with other methods, or without any."""
    return _http_error_response(web.HTTPMethodNotAllowed(method, sorted(methods)) if methods else web.HTTPNotFound())


async def handle_expect(request: web.BaseRequest) -> None:
    """Handles `Expect` (RFC 9110, section 10.1.1): the client sends the body only after a 100 response."""
    if request.version < HttpVersion11:
        return
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise ProblemError(ProblemKind.MALFORMED, "Expect must be 100-continue")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the final response has not started


def problem_response(error: ProblemError) -> web.Response:
    """Returns the response for a problem."""
    return web.Response(status=error.kind.status, body=error.body, headers=error.headers)


def _http_error_response(error: web.HTTPException) -> web.Response:
    """Converts an error of aiohttp to a problem response."""
    kind = _KINDS.get(error.status)
    if kind is None:
        kind = ProblemKind.INTERNAL if error.status >= 500 else ProblemKind.MALFORMED  # noqa: PLR2004 - HTTP's own
    response = problem_response(ProblemError(kind, error.text or error.reason))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
