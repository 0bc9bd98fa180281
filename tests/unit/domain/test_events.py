"""The events of links and routes."""

import pytest

from statefulroute.api.route_status import LostPodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import (
    ConditionType,
    LinkPhase,
    LinkReason,
    LossCause,
    RemoveReason,
    RouteReason,
    RoutingState,
    WorkloadState,
)
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.conditions import condition
from statefulroute.domain.events import (
    hand_over_withdrawn_event,
    link_removed_event,
    link_status_event,
    lost_pods_events,
    route_status_events,
    workload_state_event,
)
from statefulroute.domain.hand_over import HandOverResult, Outcome
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import HandOver, LinkStatus
from statefulroute.domain.route import LossSuspension
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, link, pod, route, view

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2")
WAITS = LinkStatus(LinkPhase.PENDING, LinkReason.ROUTE_NOT_FOUND, "no route")
NEWER_BOUND = LinkStatus(LinkPhase.UNKNOWN, LinkReason.UNKNOWN, "", 2, "game-2")
NEWER_WAITS = LinkStatus(LinkPhase.UNKNOWN, LinkReason.UNKNOWN, "")
ON_1 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-1'", 1, "game-1")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "pod 1 is gone (PodFailed)", 1, "game-1")
LOST_BEFORE_NAMES = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "pod 1 is gone", pod_index=1)
REJECTED = LinkStatus(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported")


@pytest.mark.parametrize(
    ("previous", "status", "cause", "expected"),
    [
        (None, BOUND, None, "Normal Bound: bound to pod 'game-2'"),
        (WAITS, BOUND, None, "Normal Bound: bound to pod 'game-2'"),
        (BOUND, BOUND, None, None),
        (NEWER_BOUND, BOUND, None, None),
        (NEWER_WAITS, BOUND, None, "Normal Bound: bound to pod 'game-2'"),
        (
            ON_1,
            BOUND,
            LossCause.NODE_NOT_READY,
            "Warning PodLost: moved from pod 'game-1' to pod 'game-2': NodeNotReady",
        ),
        (LOST, BOUND, LossCause.POD_FAILED, "Warning PodLost: moved from pod 'game-1' to pod 'game-2': PodFailed"),
        (
            LOST_BEFORE_NAMES,
            BOUND,
            LossCause.SCALED_DOWN,
            "Warning PodLost: moved from pod 1 to pod 'game-2': ScaledDown",
        ),
        (LOST, BOUND, None, "Normal Moved: moved from pod 'game-1' to pod 'game-2'"),
        (BOUND, LOST, None, "Warning PodLost: pod 1 is gone (PodFailed)"),
        (LOST, LOST, None, None),
        (LOST_BEFORE_NAMES, LOST, None, None),
        (None, REJECTED, None, "Warning NotLocalNamespace: only local namespace is supported"),
        (None, WAITS, None, None),
    ],
)
def test_significant_status_changes_have_events(
    previous: LinkStatus | None, status: LinkStatus, cause: LossCause | None, expected: str | None
) -> None:
    event = link_status_event(link(2, status=previous), status, cause)
    assert (event and f"{event.type} {event.reason}: {event.note}") == expected


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        (RemoveReason.EXPIRED, BOUND, "Normal Expired: its time was over"),
        (RemoveReason.POD_LOST, BOUND, "Warning PodLost: pod 'game-2' is lost: PodEvicted"),
        (RemoveReason.POD_LOST, ON_1, "Warning PodLost: pod 2 is lost: PodEvicted"),
        (RemoveReason.POD_LOST, None, "Warning PodLost: pod 2 is lost: PodEvicted"),
    ],
)
def test_removed_link_has_an_event(reason: RemoveReason, status: LinkStatus | None, expected: str) -> None:
    cause = LossCause.POD_EVICTED if reason is RemoveReason.POD_LOST else None
    event = link_removed_event(link(2, status=status), reason, cause)
    assert f"{event.type} {event.reason}: {event.note}" == expected


HIGH, NORMAL, OVERLOADED = WorkloadState.HIGH, WorkloadState.NORMAL, WorkloadState.OVERLOADED


@pytest.mark.parametrize(
    ("previous", "assessment", "expected"),
    [
        (
            NORMAL,
            Assessment(HIGH, 3_700),
            "Normal High: the service was Normal and is High: the mean weighted load of its pods is 3.7",
        ),
        (
            HIGH,
            Assessment(OVERLOADED, 5_000),
            "Warning Overloaded: the service was High and is Overloaded: the mean weighted load of its pods is 5",
        ),
        (
            OVERLOADED,
            Assessment(HIGH, 4_990),
            "Normal High: the service was Overloaded and is High: the mean weighted load of its pods is 4.99",
        ),
        (HIGH, Assessment(WorkloadState.SHUTDOWN), "Normal Shutdown: the service was High and is Shutdown"),
        (HIGH, Assessment(HIGH, 4_000), None),
        (None, Assessment(OVERLOADED, 9_000), None),
        (WorkloadState.UNKNOWN, Assessment(OVERLOADED, 9_000), None),
        (OVERLOADED, Assessment(), None),
    ],
)
def test_change_of_the_workload_state_has_an_event(
    previous: WorkloadState | None, assessment: Assessment, expected: str | None
) -> None:
    event = workload_state_event(route(), previous, assessment)
    assert (event and f"{event.type} {event.reason}: {event.note}") == expected
    if event is not None:
        assert (event.kind.kind, event.namespace, event.name, event.action) == (
            "StatefulRoute",
            "play",
            "game",
            "Assess",
        )


def test_events_of_links_contain_the_link_and_the_pods() -> None:
    moved = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-b'", None, "game-b")
    old_status = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-a'", None, "game-a")
    event = link_status_event(link("game-b", status=old_status), moved, None)
    assert event is not None
    assert (event.kind.kind, event.namespace, event.name) == ("PodLink", "play", "game.alice")
    assert event.note == "moved from pod 'game-a' to pod 'game-b'"
    assert link_status_event(link("game-b", status=moved), moved, None) is None


READY, DENY_NEW_CALL, SHUTDOWN = RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (READY, DENY_NEW_CALL, ["DrainStarted (generation 1): the pods keep their users and take no new ones"]),
        (READY, SHUTDOWN, ["DrainStarted (generation 1): the pods serve no users"]),
        (DENY_NEW_CALL, SHUTDOWN, ["DrainStarted (generation 1): the pods serve no users"]),
        (SHUTDOWN, READY, ["DrainEnded (generation 1): the pods take new users"]),
        (RoutingState.UNKNOWN, READY, []),
        (SHUTDOWN, SHUTDOWN, []),
        (None, SHUTDOWN, []),
        (SHUTDOWN, None, []),
    ],
)
def test_drain_of_a_route_has_an_event_when_it_begins_and_ends(
    before: RoutingState | None, after: RoutingState | None, expected: list[str]
) -> None:
    previous = route(StatefulRouteStatus(routing_state=before))
    events = list(route_status_events(previous, StatefulRouteStatus(routing_state=after)))
    change = f"routingState changed from {before} to {after} "
    assert [f"{event.reason} {event.note.removeprefix(change)}" for event in events] == expected
    assert {event.type for event in events} <= {"Normal"}
    assert {(event.kind.kind, event.name, event.action) for event in events} <= {("StatefulRoute", "game", "Observe")}


def with_ready(reason: str | None) -> StatefulRouteStatus:
    """Returns a status whose Ready condition has this reason; None is a status without conditions."""
    if reason is None:
        return StatefulRouteStatus()
    message, is_true = f"it is {reason}", reason == "Routable"
    ready = condition(
        ConditionType.READY, is_true=is_true, reason=reason, message=message, generation=1, previous=(), now=NOON
    )
    return StatefulRouteStatus(conditions=(ready,))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Routable", "NoRoutablePod", ["Warning NoRoutablePod: it is NoRoutablePod"]),
        ("Routable", "WorkloadNotFound", ["Warning WorkloadNotFound: it is WorkloadNotFound"]),
        ("Routable", "Shutdown", ["Normal Shutdown: it is Shutdown"]),
        ("NoRoutablePod", "Routable", ["Normal Routable: it is Routable"]),
        ("NoRoutablePod", "WorkloadNotFound", []),
        ("Routable", "Routable", []),
        (None, "NoRoutablePod", []),
        ("Routable", None, []),
    ],
)
def test_readiness_of_a_route_has_an_event_when_it_changes(
    before: str | None, after: str | None, expected: list[str]
) -> None:
    events = route_status_events(route(with_ready(before)), with_ready(after))
    assert [f"{event.type} {event.reason}: {event.note}" for event in events] == expected


def with_suspension(*, lost: int) -> StatefulRouteStatus:
    """Returns the status of a route; its losses are suspended if there are lost pods."""
    suspension = LossSuspension(RouteReason.PODS_LOST, lost, 5, 50) if lost else None
    return route_status(view(pod(0), loss_suspension=suspension), Assessment(), NOON)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (with_suspension(lost=0), with_suspension(lost=3), [("Warning", "LossSuspended", "3 of 5 pods look lost")]),
        (
            with_suspension(lost=3),
            with_suspension(lost=0),
            [("Normal", "LossResumed", "the operator acts on lost pods")],
        ),
        (StatefulRouteStatus(), with_suspension(lost=3), [("Warning", "LossSuspended", "3 of 5 pods look lost")]),
        (StatefulRouteStatus(), with_suspension(lost=0), []),
        (with_suspension(lost=3), with_suspension(lost=4), []),
        (with_suspension(lost=0), with_suspension(lost=0), []),
    ],
    ids=["begins", "ends", "is the first status", "is not in the first status", "goes on", "is none"],
)
def test_suspension_of_losses_has_an_event_when_it(
    before: StatefulRouteStatus, after: StatefulRouteStatus, expected: list[tuple[str, str, str]]
) -> None:
    events = [
        (event.type, event.reason, event.note.partition(",")[0]) for event in route_status_events(route(before), after)
    ]
    assert events == expected


def lost_pods(*names: str, cause: LossCause = LossCause.NODE_NOT_READY, links: int = 4) -> dict[PodKey, LostPodStatus]:
    return {name: LostPodStatus(name=name, cause=cause, links=links, lost_time=NOON) for name in names}


MANY = lost_pods("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("before", "after", "link_counts", "expected"),
    [
        ({}, lost_pods("a", links=1), {"a": 1}, ["Warning LossStarted: pod 'a' is lost with 1 link: NodeNotReady"]),
        (
            lost_pods("b"),
            MANY,
            {},
            ["Warning LossStarted: pods 'a', 'c', 'd' and 1 more are lost with 16 links: NodeNotReady"],
        ),
        (
            {},
            {**lost_pods("a"), **lost_pods("b", cause=LossCause.SHUTDOWN), **lost_pods("c")},
            {},
            [
                "Warning LossStarted: pods 'a', 'c' are lost with 8 links: NodeNotReady",
                "Warning LossStarted: pod 'b' is lost with 4 links: Shutdown",
            ],
        ),
        (
            MANY,
            lost_pods("e"),
            {"a": 4, "b": 2},
            [
                "Normal LossEnded: pods 'a', 'b' are back, and users are served again",
                "Normal LossEnded: pods 'c', 'd' are without links: all have moved or were deleted",
            ],
        ),
        (MANY, MANY, {}, []),
    ],
)
def test_losses_of_pods_have_an_event_when_they_begin_and_end(
    before: dict[PodKey, LostPodStatus],
    after: dict[PodKey, LostPodStatus],
    link_counts: dict[PodKey, int],
    expected: list[str],
) -> None:
    events = lost_pods_events(view(link_counts=link_counts), before, after)
    assert [f"{event.type} {event.reason}: {event.note}" for event in events] == expected


def test_event_of_many_lost_pods_fits_into_the_note_of_an_event() -> None:
    names = [f"{'a' * 250}-{number:02}" for number in range(50)]
    (event,) = lost_pods_events(view(), {}, lost_pods(*names))
    assert len(event.note) <= 1024


@pytest.mark.parametrize(
    ("outcome", "cause", "kind", "note"),
    [
        (Outcome(HandOverResult.COMMITTED), None, "Normal", "handed over from pod 'game-1' to pod 'game-2'"),
        (
            Outcome(HandOverResult.COMMITTED),
            LossCause.SHUTDOWN,
            "Normal",
            "handed over from pod 'game-1' to pod 'game-2': Shutdown",
        ),
        (
            Outcome(HandOverResult.TIMED_OUT, "it takes longer than 10 s"),
            LossCause.SHUTDOWN,
            "Warning",
            "moved from pod 'game-1' to pod 'game-2' without a hand-over: it takes longer than 10 s",
        ),
    ],
)
def test_event_of_a_user_who_was_handed_over(outcome: Outcome, cause: LossCause | None, kind: str, note: str) -> None:
    event = link_status_event(link(2, status=ON_1), BOUND, cause, outcome)
    assert event is not None
    assert (event.type, event.reason, event.note) == (kind, "HandedOver", note)


def test_event_of_a_hand_over_that_is_withdrawn() -> None:
    event = hand_over_withdrawn_event(link(1, hand_over=HandOver(2, "now")), "pod 'game-2' is not Ready")
    assert (event.type, event.reason) == ("Normal", "HandOverWithdrawn")
    assert event.note == "the hand-over to pod 2 is withdrawn: pod 'game-2' is not Ready"


def test_link_that_begins_to_be_handed_over_has_no_event() -> None:
    handing_over = LinkStatus(LinkPhase.HANDING_OVER, LinkReason.HANDING_OVER, "to 'game-2'", 1, "game-1")
    assert link_status_event(link(1, status=ON_1), handing_over, None) is None
    assert link_status_event(link(1, status=handing_over), ON_1, None) is None
