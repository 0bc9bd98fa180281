"""The errors of operations on links. Each kind has a code."""

from enum import StrEnum
from typing import ClassVar

from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE


class ErrorCode(StrEnum):
    """The kind of an error."""

    INTERNAL = "Internal"
    """An error that the caller cannot fix."""
    INVALID_PARAMETER = "InvalidParameter"
    """A parameter is invalid."""
    NOT_LOCAL_NAMESPACE = "NotLocalNamespace"
    """The operation names a namespace other than that of the driver."""
    DRIVER_ALREADY_RUNNING = "DriverAlreadyRunning"
    """The driver is already running."""
    DRIVER_NOT_OPEN = "DriverNotOpen"
    """The driver is not open, or it was opened in another process or event loop."""
    SERVICE_NOT_FOUND = "ServiceNotFound"
    """The StatefulRoute does not exist."""
    POD_NOT_FOUND = "PodNotFound"
    """The service has no such pod."""
    POD_NOT_AVAILABLE = "PodNotAvailable"
    """No pod accepts new users, or the slot of the user is not bound to a pod yet."""
    LINK_LIMIT_REACHED = "LinkLimitReached"
    """The route, or its namespace, has as many links as it may have."""
    POD_NOT_ROUTABLE = "PodNotRoutable"
    """The pod does not serve its users."""
    USER_NOT_HELD = "UserNotHeld"
    """The pod of the driver does not hold the user."""
    HAND_OVER_FAILED = "HandOverFailed"
    """A user was not handed over, or the state of the user did not reach the new pod."""
    STATE_TOO_LARGE = "StateTooLarge"
    """The state of a user has more bytes than one of the pods allows."""
    FORBIDDEN = "Forbidden"
    """The API server does not permit the operation."""
    TIMEOUT = "Timeout"
    """The operation exceeded its deadline."""


class StatefulRouteError(Exception):
    """An operation failed. It changed nothing, unless the description of the error states otherwise.

    Attributes:
        code: the kind of the error.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL


class InternalError(StatefulRouteError):
    """The API server returned an error that the caller cannot fix."""


class NotLocalNamespaceError(StatefulRouteError):
    """The operation names a namespace other than that of the driver."""

    code = ErrorCode.NOT_LOCAL_NAMESPACE

    def __init__(self) -> None:
        super().__init__(FOREIGN_NAMESPACE_MESSAGE)


class DriverAlreadyRunningError(StatefulRouteError):
    """The driver is already running."""

    code = ErrorCode.DRIVER_ALREADY_RUNNING

    def __init__(self, where: str = "") -> None:
        super().__init__(f"driver is already running{where}")


class DriverNotOpenError(StatefulRouteError):
    """The driver is not open, or it was opened in another process or event loop: it would not see any changes."""

    code = ErrorCode.DRIVER_NOT_OPEN


class ServiceNotFoundError(StatefulRouteError):
    """The StatefulRoute does not exist."""

    code = ErrorCode.SERVICE_NOT_FOUND


class PodNotFoundError(StatefulRouteError):
    """The service has no such pod."""

    code = ErrorCode.POD_NOT_FOUND


class PodNotRoutableError(StatefulRouteError):
    """The pod does not serve its users: it is not ready, or it is shut down."""

    code = ErrorCode.POD_NOT_ROUTABLE


class InvalidParameterError(StatefulRouteError):
    """A parameter is invalid, whatever the state of the cluster.

    Attributes:
        field: the name of the parameter, or the path of the field of the object.
    """

    code = ErrorCode.INVALID_PARAMETER

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class PodNotAvailableError(StatefulRouteError):
    """No pod accepts new users, or the slot of the user is not bound to a pod yet."""

    code = ErrorCode.POD_NOT_AVAILABLE


class LinkLimitReachedError(StatefulRouteError):
    """The route has as many links as its `spec.links.max` allows, or the namespace as many as a ResourceQuota does."""

    code = ErrorCode.LINK_LIMIT_REACHED


class UserNotHeldError(StatefulRouteError):
    """The user is not bound to the pod of the driver, as far as the driver knows."""

    code = ErrorCode.USER_NOT_HELD


class HandOverError(StatefulRouteError):
    """A user was not handed over, or the state of the user did not reach the new pod."""

    code = ErrorCode.HAND_OVER_FAILED


class StateTooLargeError(HandOverError):
    """The state of a user has more bytes than one of the pods allows (`max_state_bytes`)."""

    code = ErrorCode.STATE_TOO_LARGE


class ForbiddenError(StatefulRouteError):
    """The API server does not permit the operation: the account lacks a Role."""

    code = ErrorCode.FORBIDDEN


class DeadlineExceededError(StatefulRouteError):
    """The operation exceeded its deadline. It may have taken effect."""

    code = ErrorCode.TIMEOUT


class ContendedError(StatefulRouteError):
    """Other clients changed the link at each attempt, or `read_token` came just after it expired. Retry."""
