"""The events of planned disruptions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from statefulroute.api.vocabulary import ClosingReason, RouteEventReason
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import PodFacts
from statefulroute.domain.events import Event, EventType, route_event
from statefulroute.domain.keys import PodKey
from statefulroute.domain.route import Route
from statefulroute.domain.times import format_rfc3339

#: The number of pods that an event names.
_MAX_NAMED_PODS = 3

_PURPOSES = {
    ClosingReason.SCALE_DOWN: "the workload is scaled down",
    ClosingReason.NODE_DRAIN: "its node is drained",
    ClosingReason.ROLLOUT: "of an older revision",
}


def closing_events(
    route: Route, before: Mapping[PodKey, Closing], after: Mapping[PodKey, Closing], pods: Mapping[PodKey, PodFacts]
) -> Iterator[Event]:
    """Yields the events of changed closing pods: at most one for each kind of change and reason.

    Args:
        route: the route that plans.
        before: the closing pods by the last plan.
        after: the closing pods by this plan.
        pods: the pods.
    """
    opened = [pods[key].name for key in before if key not in after and key in pods and pods[key].exists]
    if opened:
        yield _event(route, RouteEventReason.POD_REOPENED, f"{_named(opened)} not removed, and takes new users again")
    started = {key: closing for key, closing in after.items() if key not in before and key in pods}
    for reason in sorted({closing.reason for closing in started.values()}):
        keys = [key for key, closing in started.items() if closing.reason is reason]
        names, links = [pods[key].name for key in keys], _links(keys, pods)
        until = format_rfc3339(started[keys[0]].deadline)
        purpose = _PURPOSES.get(reason, reason)
        note = f"{_named(names)} about to be removed, because {purpose}: no new users; {links} until {until}"
        yield _event(route, RouteEventReason.POD_CLOSING, note)
    over = [key for key, closing in after.items() if closing.is_over and key in pods and pods[key].links]
    over = [key for key in over if key not in before or not before[key].is_over]
    if over:
        names = [pods[key].name for key in over]
        note = f"{_named(names)} removed now: the deadline is over for {_links(over, pods)}"
        yield _event(route, RouteEventReason.CLOSING_DEADLINE_OVER, note, EventType.WARNING)


def empty_event(route: Route, names: Sequence[str]) -> Event | None:
    """Returns the event of closing pods that have no links any more; None if there are none."""
    return _event(route, RouteEventReason.POD_EMPTY, f"{_named(names)} empty, and can be removed") if names else None


def scaled_event(route: Route, before: int, after: int) -> Event:
    """Returns the event of a workload whose number of pods the operator has changed."""
    workload = f"{route.spec.workload_ref.kind} {route.workload_name!r}"
    note = f"the {workload} was scaled from {before} to {after} pod{'' if after == 1 else 's'}"
    return _event(route, RouteEventReason.WORKLOAD_SCALED, note)


def replaced_event(route: Route, name: str) -> Event:
    """Returns the event of a pod of an older revision that was evicted."""
    return _event(
        route, RouteEventReason.POD_REPLACED, f"pod {name!r} was evicted: it comes back in the latest revision"
    )


def _links(keys: Iterable[PodKey], pods: Mapping[PodKey, PodFacts]) -> str:
    number = sum(pods[key].links for key in keys)
    return f"{number} link{'' if number == 1 else 's'}"


def _event(route: Route, reason: RouteEventReason, note: str, kind: EventType = EventType.NORMAL) -> Event:
    return route_event(route, kind, reason, note)


def _named(names: Sequence[str]) -> str:
    """Returns the start of a sentence about pods: their names and the verb."""
    listed = ", ".join(repr(name) for name in names[:_MAX_NAMED_PODS])
    more = f" and {len(names) - _MAX_NAMED_PODS} more" if len(names) > _MAX_NAMED_PODS else ""
    return f"pod {listed} is" if len(names) == 1 else f"pods {listed}{more} are"
