"""What happens to links, from one version to the next."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from statefulroute.cli.link_changes import LINK_STATES, LinkChange, LinkState, LinkTracker
from support.objects import condition, pod_link

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def standing(pod: int | None = None, *, observed: bool = True, **fields: Any) -> LinkState:
    """The link of alice in game; observed, the operator has named its pod."""
    known = {"name": "game.alice", "namespace": "play", "route": "game", "uid": "alice", "resource_version": 1}
    said = {"is_observed": observed, "reason": "Bound" if observed else "", "pod": pod}
    name = {"pod_name": f"game-{pod}"} if observed and pod is not None else {}
    return LinkState(**{**known, **said, **name, **fields})


def see(*versions: LinkState | None, bindings: LinkTracker | None = None) -> list[tuple[str, str, str]]:
    """What is told of these versions, one after the other, all in one moment."""
    known = bindings or LinkTracker()
    found = [known.observe(old, new, 0.0, NOW) for old, new in pairwise(versions)]
    return [told(each) for each in found if each is not None]


def told(happening: LinkChange) -> tuple[str, str, str]:
    return happening.before, happening.after, happening.reason


def test_a_binding_is_told_once_with_the_operators_word() -> None:
    assert see(None, standing(observed=False), standing(1, observed=False), standing(1), standing(1)) == [
        ("-", "game-1", "Bound")
    ]


def test_a_move_is_told_with_the_reason_that_the_status_has() -> None:
    moved = standing(2, previous=1, previous_reason="PodLost")
    assert see(standing(1), standing(2, observed=False), moved) == [("game-1", "game-2", "PodLost")]
    assert see(standing(1), moved) == [("game-1", "game-2", "PodLost")]


def test_the_reason_of_an_earlier_move_is_not_told_again() -> None:
    earlier = {"previous": 0, "previous_reason": "PodLost"}
    assert see(standing(1, **earlier), standing(2, **earlier)) == [("game-1", "game-2", "Bound")]


def test_a_binding_on_which_no_word_comes_is_told_without_one() -> None:
    bindings = LinkTracker()
    assert see(standing(1), standing(2, observed=False), bindings=bindings) == []
    assert [*bindings.take_overdue(0.9)] == []
    assert [told(each) for each in bindings.take_overdue(1.0)] == [("game-1", "#2", "Moved")]
    assert [*bindings.take_overdue(9.0)] == []


def test_a_new_link_without_an_operator_is_a_binding_and_no_move() -> None:
    bindings = LinkTracker()
    assert see(None, standing(0, observed=False), bindings=bindings) == []
    assert [told(each) for each in bindings.take_overdue(1.0)] == [("-", "#0", "Bound")]


def test_a_renewal_is_no_news() -> None:
    said = {"reason": "Bound", "pod_name": "game-1"}  # the status is still that of the spec before
    renewed = standing(1, observed=False, **said, expire_time=NOW + timedelta(seconds=9))
    assert see(standing(1), renewed, standing(1)) == []
    bindings = LinkTracker()
    see(standing(1), renewed, bindings=bindings)
    assert [*bindings.take_overdue(9.0)] == []


def test_a_pod_that_is_lost_and_a_link_that_waits_are_told() -> None:
    assert see(standing(1), standing(1, reason="PodLost"), standing(1)) == [
        ("game-1", "game-1", "PodLost"),
        ("game-1", "game-1", "Bound"),
    ]
    assert see(None, standing(reason="NoAvailablePod")) == [("-", "-", "NoAvailablePod")]


def test_a_removal_is_told_and_whether_its_time_was_over() -> None:
    assert see(standing(1), None) == [("game-1", "-", "Removed")]
    assert see(standing(1, expire_time=NOW), None) == [("game-1", "-", "Expired")]


def test_a_standing_is_read_from_the_wire() -> None:
    link = pod_link(podIndex=2, ttlSeconds=60)
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
        "previous": {"podIndex": 1, "reason": "PodLost", "time": "2026-01-01T00:00:00Z"},
        "conditions": [condition(reason="Bound")],
    }
    read = LINK_STATES.decode(msgspec.json.encode(link))
    assert (read.pod_label, read.is_observed, read.reason) == ("game-2", True, "Bound")
    assert (read.previous, read.previous_reason, read.expire_time) == (1, "PodLost", NOW + timedelta(seconds=60))
