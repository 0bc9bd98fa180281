"""What can be wrong with an operation on links, each kind with a code of its own (the server driver's kinds)."""

from enum import StrEnum
from typing import ClassVar

from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE


class ErrorCode(StrEnum):
    """What kind of error it is."""

    INTERNAL = "Internal"
    """Something that the caller can do nothing about."""
    INVALID_PARAMETER = "InvalidParameter"
    """A parameter cannot be right."""
    NOT_LOCAL_NAMESPACE = "NotLocalNamespace"
    """Another namespace was named than the driver's own."""
    DRIVER_ALREADY_RUNNING = "DriverAlreadyRunning"
    """The driver was started before and not stopped since."""
    SERVICE_NOT_FOUND = "ServiceNotFound"
    """There is no StatefulRoute of that name."""
    POD_NOT_FOUND = "PodNotFound"
    """The service has no such pod now."""
    POD_NOT_AVAILABLE = "PodNotAvailable"
    """No pod takes new users now."""
    POD_NOT_ROUTABLE = "PodNotRoutable"
    """The pod does not serve its users now."""
    TIMEOUT = "Timeout"
    """It took longer than it was given."""


class StatefulRouteError(Exception):
    """An operation was not carried out; nothing was changed unless the error's own text says otherwise.

    Attributes:
        code: what kind of error it is.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL


class InternalError(StatefulRouteError):
    """The API server answered with an error that the caller can do nothing about."""


class NotLocalNamespaceError(StatefulRouteError):
    """Another namespace was named than the driver's own."""

    code = ErrorCode.NOT_LOCAL_NAMESPACE

    def __init__(self) -> None:
        super().__init__(FOREIGN_NAMESPACE_MESSAGE)


class DriverAlreadyRunningError(StatefulRouteError):
    """The driver was started before and not stopped since."""

    code = ErrorCode.DRIVER_ALREADY_RUNNING

    def __init__(self) -> None:
        super().__init__("driver is already running")


class ServiceNotFoundError(StatefulRouteError):
    """There is no StatefulRoute of that name."""

    code = ErrorCode.SERVICE_NOT_FOUND


class PodNotFoundError(StatefulRouteError):
    """The service has no such pod now."""

    code = ErrorCode.POD_NOT_FOUND


class PodNotRoutableError(StatefulRouteError):
    """The pod does not serve its users now: it is not ready, or it is shut down."""

    code = ErrorCode.POD_NOT_ROUTABLE


class InvalidParameterError(StatefulRouteError):
    """A parameter cannot be right, whatever the cluster's state.

    Attributes:
        field: the name of the parameter, or the path of the object's field.
    """

    code = ErrorCode.INVALID_PARAMETER

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class PodNotAvailableError(StatefulRouteError):
    """No pod takes new users now."""

    code = ErrorCode.POD_NOT_AVAILABLE


class DeadlineExceededError(StatefulRouteError):
    """The operation took longer than it was given; whether it was carried out is not known."""

    code = ErrorCode.TIMEOUT


class ContendedError(StatefulRouteError):
    """Others changed the link each time before this operation could; it may be tried again."""
