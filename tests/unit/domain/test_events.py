import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason, MoveReason, RemoveReason, WorkloadState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.events import link_removed_event, link_status_event, workload_state_event
from statefulroute.domain.link import LinkStatus
from unit.domain.builders import link, route

BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2")
WAITS = LinkStatus(LinkPhase.PENDING, LinkReason.ROUTE_NOT_FOUND, "no route")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "pod 1 is gone", pod_index=1)
REJECTED = LinkStatus(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported")


@pytest.mark.parametrize(
    ("before", "said", "moved", "told"),
    [
        (None, BOUND, MoveReason.MOVED, "Normal Bound: bound to pod 'game-2'"),
        (WAITS, BOUND, MoveReason.MOVED, "Normal Bound: bound to pod 'game-2'"),
        (BOUND, BOUND, MoveReason.MOVED, None),
        (LOST, BOUND, MoveReason.POD_LOST, "Warning PodLost: moved from pod 1 to pod 'game-2'"),
        (LOST, BOUND, MoveReason.MOVED, "Normal Moved: moved from pod 1 to pod 'game-2'"),
        (BOUND, LOST, MoveReason.MOVED, "Warning PodLost: pod 1 is gone"),
        (LOST, LOST, MoveReason.MOVED, None),
        (None, REJECTED, MoveReason.MOVED, "Warning NotLocalNamespace: only local namespace is supported"),
        (None, WAITS, MoveReason.MOVED, None),
    ],
)
def test_a_new_status_is_told_of_where_it_is_news(
    before: LinkStatus | None, said: LinkStatus, moved: MoveReason, told: str | None
) -> None:
    event = link_status_event(link(2, status=before), said, moved)
    assert (event and f"{event.type} {event.reason}: {event.note}") == told


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (RemoveReason.EXPIRED, "Normal Expired: its time was over"),
        (RemoveReason.POD_LOST, "Warning PodLost: pod 2 is lost"),
    ],
)
def test_a_removed_link_is_told_of(reason: RemoveReason, told: str) -> None:
    event = link_removed_event(link(2), reason)
    assert f"{event.type} {event.reason}: {event.note}" == told


HIGH, NORMAL, OVERLOADED = WorkloadState.HIGH, WorkloadState.NORMAL, WorkloadState.OVERLOADED


@pytest.mark.parametrize(
    ("before", "found", "told"),
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
def test_a_service_that_has_become_busier_or_less_busy_is_told_of(
    before: WorkloadState | None, found: Assessment, told: str | None
) -> None:
    event = workload_state_event(route(), before, found)
    assert (event and f"{event.type} {event.reason}: {event.note}") == told
    if event is not None:
        assert (event.kind.kind, event.namespace, event.name, event.action) == (
            "StatefulRoute",
            "play",
            "game",
            "Assess",
        )


def test_the_events_of_links_name_their_link_and_pods_by_name_or_index() -> None:
    moved = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-b'", None, "game-b")
    was = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-a'", None, "game-a")
    event = link_status_event(link("game-b", status=was), moved, MoveReason.MOVED)
    assert event is not None
    assert (event.kind.kind, event.namespace, event.name) == ("PodLink", "play", "game.alice")
    assert event.note == "moved from pod 'game-a' to pod 'game-b'"
    assert link_status_event(link("game-b", status=moved), moved, MoveReason.MOVED) is None
