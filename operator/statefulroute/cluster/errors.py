"""What can go wrong between this program and the API server."""

from http import HTTPStatus


class ClusterError(Exception):
    """The API server did not do what it was asked for."""


class NotConnectedError(ClusterError):
    """No cluster is configured, or its configuration cannot be used."""


class UnreachableError(ClusterError):
    """No answer came, or it was cut off."""


class NotLeadingError(ClusterError):
    """Nothing was sent: this process does not hold the Lease, and has never held it."""


class APIError(ClusterError):
    """The API server answered with an error.

    Attributes:
        status: the HTTP status code.
        reason: the one-word reason of the answer's `Status`; empty where it had none.
        message: the answer's sentence.
        field: the path of the field that it complains of; empty where it names none.
    """

    def __init__(self, status: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.field = field


class NotFoundError(APIError):
    """404: the object does not exist (any more)."""


class ConflictError(APIError):
    """409: the object was changed by somebody else in between, or exists already."""


class GoneError(APIError):
    """410: the resource version is too old to go on from."""


_BY_STATUS: dict[int, type[APIError]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}


def api_error(status: int, reason: str, message: str, field: str = "") -> APIError:
    """The error for an answer, of the class of its status code."""
    return _BY_STATUS.get(status, APIError)(status, reason, message, field)


def is_outage(error: ClusterError) -> bool:
    """Whether it is the API server that failed, and not what it was asked for: the same may succeed soon."""
    if isinstance(error, APIError):
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.TOO_MANY_REQUESTS
    return isinstance(error, UnreachableError)
