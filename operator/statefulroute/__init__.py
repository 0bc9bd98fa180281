"""Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects.

The public API for applications. Each name is loaded at its first use, so `import statefulroute` alone is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statefulroute.api.vocabulary import BoundBy, RoutingState, ServiceState, WorkloadState
    from statefulroute.domain.address import Address
    from statefulroute.domain.errors import (
        ContendedError,
        DeadlineExceededError,
        DriverAlreadyRunningError,
        DriverNotOpenError,
        ErrorCode,
        ForbiddenError,
        HandOverError,
        InternalError,
        InvalidParameterError,
        LinkLimitReachedError,
        NotLocalNamespaceError,
        PodNotAvailableError,
        PodNotFoundError,
        PodNotRoutableError,
        ServiceNotFoundError,
        StatefulRouteError,
        StateTooLargeError,
        UserNotHeldError,
    )
    from statefulroute.domain.keys import PodKey
    from statefulroute.domain.operations import Attempt
    from statefulroute.driver.arriving import ArrivingUser
    from statefulroute.driver.client import ClientDriver
    from statefulroute.driver.events import (
        Event,
        EventsLost,
        LinkChanged,
        LinksFollowed,
        LinksNotFollowed,
        RoutingStateChanged,
        SlotChanged,
    )
    from statefulroute.driver.hand_over_configuration import HandOverConfiguration, TLSFiles
    from statefulroute.driver.leaving_user import LeavingSlot, LeavingUser
    from statefulroute.driver.metrics import DriverMetrics
    from statefulroute.driver.parts import Configuration, ServerInformation, ServerParts
    from statefulroute.driver.server import ServerDriver
    from statefulroute.driver.tracing import DriverTracing
    from statefulroute.driver.user_events import (
        ArrivalCancelled,
        CutOff,
        LeaveReason,
        Reconnected,
        ServerEvent,
        SlotArrived,
        SlotLeaving,
        SlotLeft,
        SlotStaying,
        UserArrived,
        UserLeaving,
        UserLeft,
        UserStaying,
    )

__all__ = [
    "Address",
    "ArrivalCancelled",
    "ArrivingUser",
    "Attempt",
    "BoundBy",
    "ClientDriver",
    "Configuration",
    "ContendedError",
    "CutOff",
    "DeadlineExceededError",
    "DriverAlreadyRunningError",
    "DriverMetrics",
    "DriverNotOpenError",
    "DriverTracing",
    "ErrorCode",
    "Event",
    "EventsLost",
    "ForbiddenError",
    "HandOverConfiguration",
    "HandOverError",
    "InternalError",
    "InvalidParameterError",
    "LeaveReason",
    "LeavingSlot",
    "LeavingUser",
    "LinkChanged",
    "LinkLimitReachedError",
    "LinksFollowed",
    "LinksNotFollowed",
    "NotLocalNamespaceError",
    "PodKey",
    "PodNotAvailableError",
    "PodNotFoundError",
    "PodNotRoutableError",
    "Reconnected",
    "RoutingState",
    "RoutingStateChanged",
    "ServerDriver",
    "ServerEvent",
    "ServerInformation",
    "ServerParts",
    "ServiceNotFoundError",
    "ServiceState",
    "SlotArrived",
    "SlotChanged",
    "SlotLeaving",
    "SlotLeft",
    "SlotStaying",
    "StateTooLargeError",
    "StatefulRouteError",
    "TLSFiles",
    "UserArrived",
    "UserLeaving",
    "UserLeft",
    "UserNotHeldError",
    "UserStaying",
    "WorkloadState",
]

_NAMES_BY_MODULE = {
    "statefulroute.api.vocabulary": ("BoundBy", "RoutingState", "ServiceState", "WorkloadState"),
    "statefulroute.domain.address": ("Address",),
    "statefulroute.domain.keys": ("PodKey",),
    "statefulroute.domain.operations": ("Attempt",),
    "statefulroute.driver.arriving": ("ArrivingUser",),
    "statefulroute.driver.client": ("ClientDriver",),
    "statefulroute.driver.events": (
        "Event",
        "EventsLost",
        "LinkChanged",
        "LinksFollowed",
        "LinksNotFollowed",
        "RoutingStateChanged",
        "SlotChanged",
    ),
    "statefulroute.driver.hand_over_configuration": ("HandOverConfiguration", "TLSFiles"),
    "statefulroute.driver.leaving_user": ("LeavingSlot", "LeavingUser"),
    "statefulroute.driver.metrics": ("DriverMetrics",),
    "statefulroute.driver.parts": ("Configuration", "ServerInformation", "ServerParts"),
    "statefulroute.driver.server": ("ServerDriver",),
    "statefulroute.driver.tracing": ("DriverTracing",),
    "statefulroute.driver.user_events": (
        "ArrivalCancelled",
        "CutOff",
        "LeaveReason",
        "Reconnected",
        "ServerEvent",
        "SlotArrived",
        "SlotLeaving",
        "SlotLeft",
        "SlotStaying",
        "UserArrived",
        "UserLeaving",
        "UserLeft",
        "UserStaying",
    ),
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type depends on the name
    """Loads a public name. All names that `_NAMES_BY_MODULE` does not list are errors, which share one module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_BY_NAME.get(name, "statefulroute.domain.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
