"""Reads from the conditions of a route how its planned disruptions go on."""

from typing import Any

from statefulroute.api.vocabulary import ConditionType, RouteReason
from statefulroute.cli.cluster import CommandError, Object
from statefulroute.cli.objects import condition

_CONDITIONS = (ConditionType.SCALED, ConditionType.ROLLED_OUT, ConditionType.EVICTIONS_GUARDED)

#: With these reasons, a planned disruption goes on by itself.
_PROGRESSES = frozenset({RouteReason.SCALING, RouteReason.ROLLING_OUT, RouteReason.WAITING_FOR_USERS})

#: A missing workload has a condition of its own.
_MISSING_WORKLOAD = frozenset(
    {
        RouteReason.WORKLOAD_NOT_FOUND,
        RouteReason.WORKLOAD_KIND_NOT_SUPPORTED,
        RouteReason.WORKLOAD_FORBIDDEN,
        RouteReason.WORKLOAD_UNREADABLE,
    }
)


#: With these reasons, it does not go on before the spec of a route or the operator is changed.
_IN_VAIN = frozenset(
    {RouteReason.ANOTHER_ROUTE_SCALES, RouteReason.SWITCHED_OFF, RouteReason.UPDATE_STRATEGY_NOT_ON_DELETE}
)

UNOBSERVED = "the operator has not seen the change (is it running? statefulroute check)"


def progresses(state: dict[str, str]) -> bool:
    """Returns whether a condition is true, or is false because a planned disruption goes on by itself."""
    return state.get("status") == "True" or state.get("reason") in _PROGRESSES


def disruption_obstacles(route: Object) -> list[dict[str, str]]:
    """Returns the conditions of planned disruptions that are false for another reason than that they wait for users."""
    states = (condition(route, each) for each in _CONDITIONS)
    return [
        state for state in states if state and not progresses(state) and state.get("reason") not in _MISSING_WORKLOAD
    ]


def is_up_to_date(state: dict[str, Any], generation: int) -> bool:
    """Returns whether a condition of a route exists and is of a generation of its spec, or of a later one."""
    return bool(state) and state.get("observedGeneration", 0) >= generation


def obstacle_message(state: dict[str, str]) -> str:
    """Returns the message of a condition that is false for another reason than that it waits for users; else empty."""
    return "" if progresses(state) else f"{state.get('reason')}: {state.get('message')}"


def raise_if_in_vain(route: str, state: dict[str, str]) -> None:
    """Raise an error if a condition of a route does not become true by itself.

    Raises:
        CommandError: it does not.
    """
    if state.get("status") == "False" and state.get("reason") in _IN_VAIN:
        raise CommandError(f"{route}: {state['message']}")
