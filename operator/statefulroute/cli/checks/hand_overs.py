"""Checks of hand-overs: which last too long, and which routes hand over less than they seem to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from statefulroute.api.vocabulary import PodLostAction
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.cluster import Object
from statefulroute.cli.hand_overs import hand_over_seconds
from statefulroute.cli.objects import namespaced_name, parse_zoned_time
from statefulroute.cli.output.messages import pluralize

_LINKS, _ROUTES = "links", "routes"

#: The time-out counts from when the operator sees a hand-over; it may start later, and clocks may differ.
_SLACK = timedelta(seconds=30)

_FIX = (
    "start the operator (statefulroute operator), or read its log; while losses are suspended, it moves no link: "
    "statefulroute confirm-loss ROUTE"
)


@dataclass(slots=True)
class HandOvers:
    """The hand-overs of links, by the time-outs of their routes."""

    _seconds: dict[tuple[str, str], int | None] = field(default_factory=dict)
    """By namespace and name of each route, its time-out; None if its links move at once."""
    _overdue: list[tuple[str, str]] = field(default_factory=list)
    """An example of the links that were not moved in time, and the reason for each."""
    _overdue_count: int = 0

    def record_route(self, route: Object) -> None:
        """Record the time-out of a route."""
        self._seconds[route["metadata"]["namespace"], route["metadata"]["name"]] = hand_over_seconds(route)

    def record(self, link: Object, now: datetime) -> None:
        """Record a link; a link of a route that does not exist has another problem."""
        key = link["metadata"]["namespace"], link["spec"]["routeName"]
        started = parse_zoned_time(link["spec"].get("handOver", {}).get("startTime"))
        if started is None or key not in self._seconds:
            return
        seconds = self._seconds[key]
        if now > started + timedelta(seconds=seconds or 0) + _SLACK:
            self._overdue_count += 1
            if not self._overdue:
                limit = "its route has no handOver" if seconds is None else f"the time-out is {seconds} s"
                self._overdue.append((namespaced_name(link), limit))

    def results(self) -> Iterator[CheckResult]:
        """Yields the links whose hand-over should have ended."""
        for example, limit in self._overdue:
            verb = "is" if self._overdue_count == 1 else "are"
            message = (
                f"{pluralize(self._overdue_count, 'link')} {verb} being handed over for too long, for example "
                f"{example}: {limit}, and the operator has not moved it"
            )
            yield CheckResult(_LINKS, Level.PROBLEM, message, _FIX, self._overdue_count, example)


def check_hand_over_settings(route: Object) -> Iterator[CheckResult]:
    """Yield a route with a hand-over whose closing pods and pods that are shut down hand over no users."""
    action = route["spec"].get("onPodLost", {}).get("action", PodLostAction.REBIND)
    if hand_over_seconds(route) is None or action == PodLostAction.REBIND:
        return
    name = namespaced_name(route)
    message = (
        f"{name} has handOver, and its onPodLost.action is {action}: pods that are shut down or whose deadline is over "
        "hand over no users, only a move with --hand-over does"
    )
    yield CheckResult(_ROUTES, Level.NOTICE, message, "set onPodLost.action to Rebind, or leave out handOver", 1, name)
