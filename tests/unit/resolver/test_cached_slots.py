"""Tests which cached link binds a uid of a route with slots."""

from typing import Any

import pytest

from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.resolver.answers import route_answer
from statefulroute.resolver.cache import ResolverCache
from statefulroute.rest.problems import ProblemError
from unit.domain.builders import NOON, link, route

_CLIENT: Any = None  # the watches do not run

KEY = RouteKey("play", "game")
SLOTS = 16
OF_SLOT = link(2, name=f"game.x-slot-{slot_of('alice', SLOTS)}")


@pytest.fixture
def cache() -> ResolverCache:
    cache = ResolverCache(_CLIENT, clock=lambda: NOON)
    cache.routes.cache.put(route(slots=SLOTS))
    return cache


@pytest.mark.parametrize(
    ("own", "pod"),
    [
        pytest.param(link(1), 1, id="its own"),
        pytest.param(link(None), None, id="its own that waits for a pod"),
        pytest.param(link(1, ttl_seconds=1, expire_time=NOON), 2, id="its own has expired"),
        pytest.param(link(1, violation="invalid"), 2, id="its own is invalid"),
    ],
)
def test_slot_binds_a_uid_without_an_active_link_of_its_own(cache: ResolverCache, own: Link, pod: int | None) -> None:
    cache.links.cache.put(OF_SLOT)
    assert cache.bound_link(KEY, "alice") is OF_SLOT
    cache.links.cache.put(own)
    bound = cache.bound_link(KEY, "alice")
    assert bound is not None
    assert bound.pod == pod


@pytest.mark.parametrize("fields", [{"pod": None}, {"pod": 2, "violation": "invalid"}], ids=["no pod", "invalid"])
def test_link_of_a_slot_without_a_valid_pod_binds_nobody(cache: ResolverCache, fields: dict[str, Any]) -> None:
    cache.links.cache.put(link(name=OF_SLOT.name, **fields))
    with pytest.raises(ProblemError, match="not bound to a pod yet"):
        cache.bound_link(KEY, "alice")


def test_slots_are_those_of_the_present_route(cache: ResolverCache) -> None:
    cache.links.cache.put(OF_SLOT)
    cache.routes.cache.delete(KEY.namespace, KEY.name, 2)
    assert cache.bound_link(KEY, "alice") is None
    assert cache.slot(KEY, "alice") is None


@pytest.mark.parametrize(("slots", "expected"), [(SLOTS, [SLOTS, 7, 0]), (None, [None, None, None])])
def test_state_of_a_service_has_the_numbers_of_its_slots(slots: int | None, expected: list[int | None]) -> None:
    fields: dict[str, Any] = {"serviceState": "Ready", "routingState": "Ready"}
    pods = [PodStatus(name="game-0", index=0, slots=7, **fields), PodStatus(name="game-1", index=1, **fields)]
    answer = route_answer(route(StatefulRouteStatus(pods=pods), slots=slots), {}, None)
    assert [answer.slots, *(pod.slots for pod in answer.pods)] == expected
