"""Changes of links between their versions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from statefulroute.cli.link_changes import LINK_STATES, LinkChange, LinkState, LinkTracker
from support.objects import ABSENT, condition, pod_link

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def link_state(pod: int | None = None, *, observed: bool = True, **fields: Any) -> LinkState:
    """Returns a state of the link of alice in game; if it is observed, the operator has written the pod's name."""
    identity = {"name": "game.alice", "namespace": "play", "route": "game", "subject": "alice", "resource_version": 1}
    state = {"is_observed": observed, "reason": "Bound" if observed else "", "pod": pod}
    name = {"pod_name": f"game-{pod}"} if observed and pod is not None else {}
    return LinkState(**{**identity, **state, **name, **fields})


def changes_of(*versions: LinkState | None, tracker: LinkTracker | None = None) -> list[tuple[str, str, str]]:
    """Returns the changes between these versions, which arrive at the same moment."""
    tracker = tracker or LinkTracker()
    changes = [tracker.observe(old, new, 0.0, NOW) for old, new in pairwise(versions)]
    return [fields_of(change) for change in changes if change is not None]


def fields_of(change: LinkChange) -> tuple[str, str, str]:
    return change.before, change.after, change.reason


def test_binding_is_reported_once_with_its_status() -> None:
    assert changes_of(
        None, link_state(observed=False), link_state(1, observed=False), link_state(1), link_state(1)
    ) == [("-", "game-1", "Bound")]


def test_move_is_reported_with_the_reason_in_the_status() -> None:
    moved = link_state(2, previous=1, previous_reason="PodLost")
    assert changes_of(link_state(1), link_state(2, observed=False), moved) == [("game-1", "game-2", "PodLost")]
    assert changes_of(link_state(1), moved) == [("game-1", "game-2", "PodLost")]


def test_move_from_a_lost_pod_is_reported_with_its_cause() -> None:
    moved = link_state(2, previous=1, previous_reason="PodLost", previous_cause="NodeNotReady")
    causes = [LinkTracker().observe(old, moved, 0.0, NOW) for old in (link_state(1), link_state(0), None)]
    assert [change and change.cause for change in causes] == ["NodeNotReady", None, None]


def test_reason_of_an_earlier_move_is_not_repeated() -> None:
    earlier = {"previous": 0, "previous_reason": "PodLost"}
    assert changes_of(link_state(1, **earlier), link_state(2, **earlier)) == [("game-1", "game-2", "Bound")]


def test_binding_without_a_status_is_reported_after_a_second() -> None:
    tracker = LinkTracker()
    assert changes_of(link_state(1), link_state(2, observed=False), tracker=tracker) == []
    assert [*tracker.take_overdue(0.9)] == []
    assert [fields_of(change) for change in tracker.take_overdue(1.0)] == [("game-1", "#2", "Moved")]
    assert [*tracker.take_overdue(9.0)] == []


def test_new_link_without_a_status_is_a_binding_and_not_a_move() -> None:
    tracker = LinkTracker()
    assert changes_of(None, link_state(0, observed=False), tracker=tracker) == []
    assert [fields_of(change) for change in tracker.take_overdue(1.0)] == [("-", "#0", "Bound")]


def test_renewal_is_not_a_change() -> None:
    status = {"reason": "Bound", "pod_name": "game-1"}  # of the previous spec
    renewed = link_state(1, observed=False, **status, expire_time=NOW + timedelta(seconds=9))
    assert changes_of(link_state(1), renewed, link_state(1)) == []
    tracker = LinkTracker()
    changes_of(link_state(1), renewed, tracker=tracker)
    assert [*tracker.take_overdue(9.0)] == []


def test_hand_over_is_reported_when_it_begins_and_when_the_user_has_moved() -> None:
    asked = link_state(1, observed=False, reason="Bound", pod_name="game-1", hand_over=2)
    handing_over = link_state(1, reason="HandingOver", hand_over=2)
    moved = link_state(2, previous=1, previous_reason="HandedOver", previous_cause="Shutdown")
    versions = [link_state(1), asked, handing_over, link_state(2, observed=False), moved]
    tracker = LinkTracker()
    changes = [tracker.observe(old, new, 0.0, NOW) for old, new in pairwise(versions)]
    assert [(change.before, change.after, change.reason_label) for change in changes if change is not None] == [
        ("game-1", "game-1", "HandingOver (to game-2)"),
        ("game-1", "game-2", "HandedOver (Shutdown)"),
    ]


def test_hand_over_that_was_withdrawn_is_a_change() -> None:
    handing_over = link_state(1, reason="HandingOver", hand_over="chat-x")
    assert changes_of(handing_over, link_state(1)) == [("game-1", "game-1", "HandOverWithdrawn")]
    assert handing_over.hand_over_label == "chat-x"
    assert link_state(1, observed=False, hand_over=2).hand_over_label == "#2"


def test_lost_pods_and_pending_links_are_changes() -> None:
    assert changes_of(link_state(1), link_state(1, reason="PodLost"), link_state(1)) == [
        ("game-1", "game-1", "PodLost"),
        ("game-1", "game-1", "Bound"),
    ]
    assert changes_of(None, link_state(reason="NoAvailablePod")) == [("-", "-", "NoAvailablePod")]


def test_removal_is_reported_as_removed_or_expired() -> None:
    assert changes_of(link_state(1), None) == [("game-1", "-", "Removed")]
    assert changes_of(link_state(1, expire_time=NOW), None) == [("game-1", "-", "Expired")]


def test_link_state_is_decoded_from_json() -> None:
    link = pod_link(podIndex=2, ttlSeconds=60, handOver={"podIndex": 0, "startTime": "2026-01-01T00:00:00Z"})
    link["metadata"] |= {
        "namespace": "play",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    link["status"] = {
        "podIndex": 2,
        "podName": "game-2",
        "observedGeneration": 3,
        "previous": {"podIndex": 1, "reason": "PodLost", "cause": "PodFailed", "time": "2026-01-01T00:00:00Z"},
        "conditions": [condition(reason="Bound")],
    }
    state = LINK_STATES.decode(msgspec.json.encode(link))
    assert (state.pod_label, state.is_observed, state.reason) == ("game-2", True, "Bound")
    assert (state.previous, state.previous_reason, state.previous_cause) == (1, "PodLost", "PodFailed")
    assert (state.expire_time, state.hand_over_label) == (NOW + timedelta(seconds=60), "game-0")


def test_state_of_a_slot_is_decoded_from_json() -> None:
    body = pod_link("game.x-slot-7", uid=ABSENT, slot=7)
    body["metadata"] |= {"namespace": "play", "resourceVersion": "3", "creationTimestamp": "2026-01-01T00:00:00Z"}
    assert LINK_STATES.decode(msgspec.json.encode(body)).subject == "slot/7"
