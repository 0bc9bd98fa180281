"""The errors of the HTTP APIs as problem details (RFC 9457)."""

from enum import Enum
from math import ceil

import msgspec

from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.errors import (
    ContendedError,
    DeadlineExceededError,
    DriverAlreadyRunningError,
    DriverNotOpenError,
    ForbiddenError,
    HandOverError,
    InternalError,
    InvalidParameterError,
    LinkLimitReachedError,
    PodNotAvailableError,
    PodNotFoundError,
    PodNotRoutableError,
    ServiceNotFoundError,
    StatefulRouteError,
    StateTooLargeError,
    UserNotHeldError,
)

CONTENT_TYPE = "application/problem+json"

#: The detail of an internal error: its cause is for the operator of the process, not for the caller.
INTERNAL_DETAIL = "see the log of the process"

#: The prefix of the type of each problem: a tag URI (RFC 4151).
_TYPES = "tag:statefulroute.io,2026:"

#: The default Retry-After: a restart of a pod or a move of a link takes about as long.
_RETRY_SECONDS = 1

#: The Retry-After while there are as many links as there may be: links have to expire first.
_LIMIT_RETRY_SECONDS = 30


class ProblemKind(Enum):
    """A kind of problem: its HTTP status, the end of its type, and its title."""

    MALFORMED = 400, "malformed", "The request is malformed"
    INVALID_PARAMETER = 400, "invalid-parameter", "A parameter is invalid"
    NO_UID = 400, "no-uid", "The request has no uid"
    NOT_AUTHENTICATED = 401, "not-authenticated", "The caller is not authenticated"
    NOT_ALLOWED = 403, "not-allowed", "The caller is not allowed"
    NOT_LINKED = 404, "not-linked", "The uid is not linked"
    USER_NOT_HELD = 404, "user-not-held", "The pod does not hold the user"
    ROUTE_NOT_FOUND = 404, "route-not-found", "The StatefulRoute does not exist"
    NAMESPACE_NOT_SERVED = 404, "namespace-not-served", "This resolver does not serve the namespace"
    NO_SUCH_HAND_OVER = 404, "no-such-hand-over", "The hand-over has ended"
    NO_SUCH_PATH = 404, "no-such-path", "The path does not exist"
    NO_SUCH_METHOD = 405, "no-such-method", "The path does not support the method"
    ALREADY_RUNNING = 409, "already-running", "The driver is already running"
    STATE_WAS_READ = 409, "state-was-read", "The state cannot be read or confirmed now"
    TOO_SLOW = 408, "too-slow", "The body did not arrive in time"
    LINKED_TO_OTHER_POD = 409, "linked-to-other-pod", "The uid is linked to another pod"
    TOO_LARGE = 413, "too-large", "The body is too large"
    STATE_TOO_LARGE = 413, "state-too-large", "The state of the user is too large"
    NOT_JSON = 415, "not-json", "The body is not JSON"
    TOO_MANY_REQUESTS = 429, "too-many-requests", "The caller sends too many requests"
    TOO_MANY_BINDINGS = 429, "too-many-bindings", "The service gets too many new uids"
    LINK_LIMIT_REACHED = 429, "link-limit-reached", "There are as many links as there may be"
    INTERNAL = 500, "internal", "Internal error"
    REFUSED = 502, "refused", "The API server refused the request"
    UNUSABLE_RESPONSE = 502, "unusable-response", "The response of the server names a uid that cannot be linked"
    HAND_OVER_FAILED = 502, "hand-over-failed", "The other pod has not taken or not sent the state"
    POD_NOT_FOUND = 503, "pod-not-found", "The pod does not exist at present"
    POD_NOT_ROUTABLE = 503, "pod-not-routable", "The pod does not serve its users at present"
    NO_AVAILABLE_POD = 503, "no-available-pod", "No pod accepts new users at present"
    WAITS_FOR_POD = 503, "waits-for-pod", "The link waits for a pod"
    HELD_TOO_LONG = 503, "held-too-long", "The request was held, and no pod has taken its user"
    TOO_MANY_HELD = 503, "too-many-held", "Too many requests are held"
    NO_PORT = 503, "no-port", "The service has no port"
    TOO_MANY_STREAMS = 503, "too-many-streams", "There are too many streams"
    API_SERVER_AWAY = 503, "api-server-away", "The API server does not respond"
    NOT_OPEN = 503, "not-open", "The driver is not open"
    TOO_OLD = 503, "too-old", "The resolver's cache is too old"
    CONTENDED = 503, "contended", "Other writers changed the link at each try"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]


class Problem(msgspec.Struct, frozen=True):
    """The body of a problem response (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class ProblemError(Exception):
    """A request failed.

    Attributes:
        kind: the kind of problem.
        detail: a message about this occurrence.
        retry_seconds: the value of Retry-After; None omits it.
        age_seconds: the value of Age for a problem from the cache; None omits it.
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
        """The body as a struct."""
        status, name, title = self.kind.value
        return Problem(_TYPES + name, title, status, self.detail)

    @property
    def body(self) -> bytes:
        """The body as JSON."""
        return msgspec.json.encode(self.problem)

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers."""
        retry = {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        challenge = {"WWW-Authenticate": "Bearer"} if self.kind is ProblemKind.NOT_AUTHENTICATED else {}
        age = {} if self.age_seconds is None else {"Age": str(self.age_seconds)}
        return {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **retry, **challenge, **age}


_WORTH_RETRYING = (429, 503)


def not_linked(route: str, uid: str, age_seconds: int | None = None) -> ProblemError:
    """Returns the problem that a uid has no link in a route, as known `age_seconds` ago."""
    detail = f"{uid!r} is not linked in StatefulRoute {route!r}"
    return ProblemError(ProblemKind.NOT_LINKED, detail, age_seconds=age_seconds)


_KINDS: dict[type[Exception], ProblemKind] = {
    InvalidParameterError: ProblemKind.INVALID_PARAMETER,
    ServiceNotFoundError: ProblemKind.ROUTE_NOT_FOUND,
    PodNotFoundError: ProblemKind.POD_NOT_FOUND,
    PodNotRoutableError: ProblemKind.POD_NOT_ROUTABLE,
    PodNotAvailableError: ProblemKind.NO_AVAILABLE_POD,
    LinkLimitReachedError: ProblemKind.LINK_LIMIT_REACHED,
    DeadlineExceededError: ProblemKind.API_SERVER_AWAY,
    ContendedError: ProblemKind.CONTENDED,
    UnreachableError: ProblemKind.API_SERVER_AWAY,
    UserNotHeldError: ProblemKind.USER_NOT_HELD,
    DriverAlreadyRunningError: ProblemKind.ALREADY_RUNNING,
    DriverNotOpenError: ProblemKind.NOT_OPEN,
    ForbiddenError: ProblemKind.REFUSED,
    HandOverError: ProblemKind.HAND_OVER_FAILED,
    StateTooLargeError: ProblemKind.STATE_TOO_LARGE,
}

#: The errors that `problem_of` converts to a specific problem.
EXPECTED_ERRORS: tuple[type[Exception], ...] = (ProblemError, StatefulRouteError, ClusterError)


def problem_of(error: Exception) -> ProblemError:
    """Converts an error to a problem."""
    if isinstance(error, ProblemError):
        return error
    if type(error) is InternalError and isinstance(error.__cause__, ClusterError):  # a driver raises it
        error = error.__cause__
    kind = _KINDS.get(type(error))
    if kind is not None:
        is_limit = kind is ProblemKind.LINK_LIMIT_REACHED
        return ProblemError(kind, str(error), _LIMIT_RETRY_SECONDS if is_limit else None)
    if isinstance(error, APIError) and error.retry_after_seconds:
        seconds = retry_pause(0.0, error.retry_after_seconds)
        return ProblemError(ProblemKind.API_SERVER_AWAY, error.message or str(error), ceil(seconds))
    if isinstance(error, APIError):
        return ProblemError(ProblemKind.REFUSED, error.message or str(error))
    return ProblemError(ProblemKind.INTERNAL, INTERNAL_DETAIL)
