"""The events of links and routes."""

import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason, LossCause, RemoveReason, WorkloadState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.events import link_removed_event, link_status_event, workload_state_event
from statefulroute.domain.link import LinkStatus
from unit.domain.builders import link, route

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
