"""What can be wrong with an operation on links, each kind with a code of its own (the server driver's kinds)."""

from typing import ClassVar


class StatefulRouteError(Exception):
    """An operation was not carried out; nothing was changed unless the error's own text says otherwise."""

    code: ClassVar[str] = "Internal"


class InvalidParameterError(StatefulRouteError):
    """A parameter cannot be right, whatever the cluster's state.

    Attributes:
        field: the name of the parameter, or the path of the object's field.
    """

    code = "InvalidParameter"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class PodNotAvailableError(StatefulRouteError):
    """No pod takes new users now."""

    code = "PodNotAvailable"


class DeadlineExceededError(StatefulRouteError):
    """The operation took longer than it was given; whether it was carried out is not known."""

    code = "Timeout"


class ContendedError(StatefulRouteError):
    """Others changed the link each time before this operation could; it may be tried again."""

    code = "Internal"
