import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason, MoveReason, RemoveReason
from statefulroute.domain.events import acknowledged, removed
from statefulroute.domain.link import Acknowledgement
from unit.domain.builders import link

BOUND = Acknowledgement(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2")
WAITS = Acknowledgement(LinkPhase.PENDING, LinkReason.ROUTE_NOT_FOUND, "no route")
LOST = Acknowledgement(LinkPhase.LOST, LinkReason.POD_LOST, "pod 1 is gone", pod_index=1)
REJECTED = Acknowledgement(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported")


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
    before: Acknowledgement | None, said: Acknowledgement, moved: MoveReason, told: str | None
) -> None:
    event = acknowledged(link(2, acknowledged=before), said, moved)
    assert (event and f"{event.type} {event.reason}: {event.note}") == told


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (RemoveReason.EXPIRED, "Normal Expired: its time was over"),
        (RemoveReason.POD_LOST, "Warning PodLost: pod 2 is lost"),
    ],
)
def test_a_removed_link_is_told_of(reason: RemoveReason, told: str) -> None:
    event = removed(link(2), reason)
    assert f"{event.type} {event.reason}: {event.note}" == told
