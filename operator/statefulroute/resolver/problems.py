"""What can stand in the way of an answer, as RFC 9457 has it said."""

from enum import Enum

import msgspec

from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.domain.errors import (
    ContendedError,
    DeadlineExceededError,
    InvalidParameterError,
    PodNotAvailableError,
    PodNotFoundError,
    PodNotRoutableError,
    ServiceNotFoundError,
    StatefulRouteError,
)

CONTENT_TYPE = "application/problem+json"

#: What begins the type of each problem: a URI that is nobody else's.
_TYPES = "tag:statefulroute.io,2026:"

#: When it is worth asking again: a pod that restarts, or a link that is moved, takes about as long.
_RETRY_SECONDS = 1


class ProblemKind(Enum):
    """A kind of problem: its HTTP status, the end of its type, and its title."""

    MALFORMED = 400, "malformed", "The request cannot be read"
    INVALID_PARAMETER = 400, "invalid-parameter", "A parameter cannot be right"
    NO_UID = 400, "no-uid", "The request names no uid"
    NOT_AUTHENTICATED = 401, "not-authenticated", "The caller is not known"
    NOT_ALLOWED = 403, "not-allowed", "The caller may not ask"
    NOT_LINKED = 404, "not-linked", "The uid is not linked"
    ROUTE_NOT_FOUND = 404, "route-not-found", "There is no such StatefulRoute"
    NAMESPACE_NOT_SERVED = 404, "namespace-not-served", "The namespace is not served here"
    NO_SUCH_PATH = 404, "no-such-path", "Nothing is answered here"
    NO_SUCH_METHOD = 405, "no-such-method", "The path has no such method"
    TOO_LARGE = 413, "too-large", "The body is too large"
    NOT_JSON = 415, "not-json", "The body is not JSON"
    TOO_MANY_REQUESTS = 429, "too-many-requests", "The caller asks too often"
    TOO_MANY_BINDINGS = 429, "too-many-bindings", "New uids of the service come too fast"
    INTERNAL = 500, "internal", "Something has gone wrong here"
    REFUSED = 502, "refused", "The API server has refused it"
    POD_NOT_FOUND = 503, "pod-not-found", "The pod does not exist now"
    POD_NOT_ROUTABLE = 503, "pod-not-routable", "The pod does not serve its users now"
    NO_AVAILABLE_POD = 503, "no-available-pod", "No pod takes new users now"
    WAITS_FOR_POD = 503, "waits-for-pod", "The link waits for a pod"
    NO_PORT = 503, "no-port", "The service has no port to connect to"
    TOO_MANY_STREAMS = 503, "too-many-streams", "Too many listen to moves"
    API_SERVER_AWAY = 503, "api-server-away", "The API server does not answer"
    CONTENDED = 503, "contended", "Others changed the link each time"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]


class Problem(msgspec.Struct, frozen=True):
    """A problem, as its details are sent (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class ProblemError(Exception):
    """Why there is no answer.

    Attributes:
        kind: what kind of problem it is.
        detail: the sentence about this one.
        retry_seconds: when it is worth asking again; None where nobody knows.
        age_seconds: how old that may be; None where it is not from memory.
    """

    def __init__(
        self, kind: ProblemKind, detail: str, retry_seconds: int | None = None, age_seconds: int | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.retry_seconds = (
            _RETRY_SECONDS if retry_seconds is None and kind.status in _WORTH_RETRYING else retry_seconds
        )
        self.age_seconds = age_seconds

    @property
    def problem(self) -> Problem:
        """What is sent."""
        status, name, title = self.kind.value
        return Problem(_TYPES + name, title, status, self.detail)

    @property
    def body(self) -> bytes:
        """The same as JSON."""
        return msgspec.json.encode(self.problem)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it over HTTP."""
        retry = {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        challenge = {"WWW-Authenticate": "Bearer"} if self.kind is ProblemKind.NOT_AUTHENTICATED else {}
        age = {} if self.age_seconds is None else {"Age": str(self.age_seconds)}
        return {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **retry, **challenge, **age}


_WORTH_RETRYING = (429, 503)


def not_linked(route: str, uid: str, age_seconds: int | None = None) -> ProblemError:
    """That nobody has bound a uid in a route, as it was so long ago."""
    sentence = f"{uid!r} is not linked in StatefulRoute {route!r}"
    return ProblemError(ProblemKind.NOT_LINKED, sentence, age_seconds=age_seconds)


_KINDS: dict[type[Exception], ProblemKind] = {
    InvalidParameterError: ProblemKind.INVALID_PARAMETER,
    ServiceNotFoundError: ProblemKind.ROUTE_NOT_FOUND,
    PodNotFoundError: ProblemKind.POD_NOT_FOUND,
    PodNotRoutableError: ProblemKind.POD_NOT_ROUTABLE,
    PodNotAvailableError: ProblemKind.NO_AVAILABLE_POD,
    DeadlineExceededError: ProblemKind.API_SERVER_AWAY,
    ContendedError: ProblemKind.CONTENDED,
    UnreachableError: ProblemKind.API_SERVER_AWAY,
}

#: What can be raised on the way to an answer and has a problem to tell of it.
EXPECTED_ERRORS: tuple[type[Exception], ...] = (ProblemError, StatefulRouteError, ClusterError)


def problem_of(error: Exception) -> ProblemError:
    """What is told of an error."""
    if isinstance(error, ProblemError):
        return error
    kind = _KINDS.get(type(error))
    if kind is not None:
        return ProblemError(kind, str(error))
    if isinstance(error, APIError):
        return ProblemError(ProblemKind.REFUSED, error.message or str(error))
    return ProblemError(ProblemKind.INTERNAL, "the resolver's log says more")
