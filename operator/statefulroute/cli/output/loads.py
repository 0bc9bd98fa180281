"""Cells of loads and routing states, which `routes`, `pods` and `top` share."""

from collections.abc import Mapping

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Object
from statefulroute.cli.output.table import EMPTY

HANDING_OVER = "HandingOver"
"""What a table shows in place of the routing state of a pod that hands its users over to other pods."""

ROUTING_STATE_STYLES: Mapping[str, str] = {
    RoutingState.READY: "good",
    RoutingState.DENY_NEW_CALL: "warn",
    HANDING_OVER: "warn",
}

_DEFAULT_OVERLOADED = 5

#: The fraction of the overload threshold from which a load is high.
_HIGH_FRACTION = 0.6


def overload_threshold(route: Object) -> int:
    """Returns the load at which a service, or a pod of it, is overloaded and its bar is full."""
    thresholds: Mapping[str, int] = route["spec"].get("workloadThresholds", {})
    return max(1, thresholds.get("overloaded", _DEFAULT_OVERLOADED))


def load_style(fraction: float) -> str:
    """Returns the style of a load, from its fraction of the overload threshold."""
    return "bad" if fraction >= 1 else "warn" if fraction >= _HIGH_FRACTION else "good"


def number_label(value: object) -> str:
    """Returns the text of a number in a status, which may be absent."""
    return EMPTY if value is None else str(value)


def links_label(links: int, total: int) -> str:
    """Returns the text of a pod's number of links in a route, and in all routes to its workload if that is another."""
    return str(links) if links == total else f"{links} ({total} in all)"
