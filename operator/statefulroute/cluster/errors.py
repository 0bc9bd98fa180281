"""Errors of requests to the API server."""

from http import HTTPStatus


class ClusterError(Exception):
    """A request to the API server failed.

    Attributes:
        retry_after_seconds: the pause before a retry that the API server asks for; 0 if it asks for none. It may be
            any number: `statefulroute.domain.backoff` decides how long the pause is.
    """

    retry_after_seconds: float = 0.0


class NotConnectedError(ClusterError):
    """No cluster is configured, or its configuration is not usable."""


class UnreachableError(ClusterError):
    """The API server did not respond, or the response broke off."""


class NotLeadingError(ClusterError):
    """A write was not sent, because this process does not hold the Lease."""


class APIError(ClusterError):
    """The API server responded with an error.

    Attributes:
        status: the HTTP status code.
        reason: the reason of the response's `Status`; empty if it has none.
        message: the message of the response.
        field: the path of the invalid field; empty if the response names none.
    """

    def __init__(self, status: int, reason: str, message: str, field: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.field = field


class NotFoundError(APIError):
    """404: the object does not exist."""


class KindNotInstalledError(NotFoundError):
    """404: the API server does not know a kind of this project; the message says how to install it."""


class ConflictError(APIError):
    """409: another client has changed the object in between, or the object exists already."""


class GoneError(APIError):
    """410: the resource version is too old to continue from.

    Attributes:
        continue_token: continues an expired list with the objects of the present version; empty if there is none.
    """

    continue_token: str = ""


_BY_STATUS: dict[int, type[APIError]] = {404: NotFoundError, 409: ConflictError, 410: GoneError}


def api_error(status: int, reason: str, message: str, field: str = "") -> APIError:
    """Returns the error for a response, of the class for its status code."""
    return _BY_STATUS.get(status, APIError)(status, reason, message, field)


def is_outage(error: ClusterError) -> bool:
    """Returns whether the API server failed, and not the request: the same request may succeed later."""
    if isinstance(error, APIError):
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.TOO_MANY_REQUESTS
    return isinstance(error, UnreachableError)
