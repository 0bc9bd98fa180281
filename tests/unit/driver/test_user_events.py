"""The rule that finds the arrivals and departures of users between two versions of a link."""

from datetime import UTC, datetime, timedelta

import pytest

from statefulroute import LeaveReason, SlotArrived, SlotLeft, UserArrived, UserLeft
from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.driver.user_events import ServerChange, user_changes

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ARRIVED, ARRIVED_FROM_1 = UserArrived("game", "alice", None), UserArrived("game", "alice", 1)
LEFT = {reason: UserLeft("game", "alice", reason) for reason in LeaveReason}


def link(pod: int | None, **fields: object) -> Link:
    values = {"route": RouteKey("play", "game"), "name": "game.alice", "resource_version": 1, "generation": 1}
    return Link(**{**values, "pod": pod, **fields})  # type: ignore[arg-type]


def slot(pod: int | None, **fields: object) -> Link:
    return link(pod, name="game.x-slot-7", **fields)


def bound_to(pod: int) -> LinkStatus:
    return LinkStatus(LinkPhase.BOUND, LinkReason.UNKNOWN, "", pod)


HERE = link(0, creation_timestamp=100, generation=3)

CASES: dict[str, tuple[Link | None, Link | None, list[ServerChange]]] = {
    "none": (None, None, []),
    "new": (None, HERE, [ARRIVED]),
    "new here, by its status": (None, link(0, status=bound_to(0)), [ARRIVED]),
    "moved here": (None, link(0, status=bound_to(1)), [ARRIVED_FROM_1]),
    "of another pod": (None, link(1), []),
    "slot moved here": (slot(1), slot(0, status=bound_to(1)), [SlotArrived("game", 7, 1)]),
    "slot moved away": (slot(0), slot(1), [SlotLeft("game", 7, LeaveReason.UNBOUND)]),
    "slot moved away and back, unseen": (
        slot(0),
        slot(0, generation=3),
        [SlotLeft("game", 7, LeaveReason.MISSED), SlotArrived("game", 7, None)],
    ),
    "slot of another pod": (slot(1), None, []),
    "invalid": (None, link(0, violation="no such name"), []),
    "becomes valid": (link(0, violation="no such name"), link(0), [ARRIVED]),
    "gone": (HERE, None, [LEFT[LeaveReason.UNBOUND]]),
    "moved away": (HERE, link(1), [LEFT[LeaveReason.UNBOUND]]),
    "expired": (link(0, expire_time=NOW), None, [LEFT[LeaveReason.EXPIRED]]),
    "gone before its end": (link(0, expire_time=NOW + timedelta(seconds=1)), None, [LEFT[LeaveReason.UNBOUND]]),
    "another status": (HERE, link(0, creation_timestamp=100, generation=3, status=bound_to(0)), []),
    "renewed once": (HERE, link(0, creation_timestamp=100, generation=4), []),
    "perhaps moved twice": (
        HERE,
        link(0, creation_timestamp=100, generation=5, status=bound_to(1)),
        [LEFT[LeaveReason.MISSED], ARRIVED_FROM_1],
    ),
    "created again": (HERE, link(0, creation_timestamp=101, generation=3), [LEFT[LeaveReason.MISSED], ARRIVED]),
    "created again in the same second": (
        HERE,
        link(0, creation_timestamp=100, generation=1),
        [LEFT[LeaveReason.MISSED], ARRIVED],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_changes_between_two_versions(case: str) -> None:
    old, new, changes = CASES[case]
    assert user_changes(old, new, 0, NOW) == changes
