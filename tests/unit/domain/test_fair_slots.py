"""How slots are shared: by namespace, then by route, and never all of them by those that hold them for long."""

from collections import Counter

import pytest

from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey


def key(route: str) -> RouteKey:
    return RouteKey(*route.split("/"))


def take_all(slots: FairSlots, *routes: str) -> Counter[str]:
    """Lets routes take slots by turns until none may have another one; returns how many each has."""
    taken = Counter[str]()
    while gained := [route for route in routes if slots.take(key(route))]:
        taken.update(gained)
    return taken


class Waiting:
    """Requests that wait, in the order in which they have got their slots."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.served: list[str] = []

    def add(self, route: str, *, is_needed: bool = True) -> None:
        def take_slot() -> bool:
            self.served.append(route)
            return is_needed

        self.slots.wait(key(route), take_slot)


def test_single_namespace_leaves_a_part_of_the_slots_free() -> None:
    assert take_all(FairSlots(48, namespace_share=2), "a/x") == {"a/x": 32}
    assert take_all(FairSlots(64), "a/x") == {"a/x": 32}


@pytest.mark.parametrize("namespaces", [1, 2, 4, 15, 31])
def test_namespaces_share_equally_and_leave_room_for_another_one(namespaces: int) -> None:
    slots = FairSlots(64)
    taken = take_all(slots, *(f"{number}/x" for number in range(namespaces)))
    assert max(taken.values()) - min(taken.values()) <= 1
    assert slots.take(key("another/x"))


def test_routes_of_a_namespace_leave_room_for_another_one_of_it() -> None:
    slots = FairSlots(64, route_share=1)
    assert take_all(slots, "a/x") == {"a/x": 16}
    taken = take_all(slots, *(f"a/{number}" for number in range(4)))
    assert set(taken) == {"a/0", "a/1", "a/2", "a/3"}
    assert slots.take(key("a/another"))
    assert slots.take(key("another/x"))


def test_no_more_slots_are_taken_than_there_are() -> None:
    slots = FairSlots(4)
    assert take_all(slots, *(f"{number}/x" for number in range(9))).total() == 4
    assert not slots.take(key("another/x"))


def test_slot_that_is_given_back_goes_to_the_namespace_whose_turn_it_is() -> None:
    slots = FairSlots(3, namespace_share=100)
    take_all(slots, "busy/x")
    waiting = Waiting(slots)
    for route in ("busy/x", "busy/x", "busy/y", "quiet/x"):
        waiting.add(route)
    for _ in range(4):
        slots.release(key("busy/x"))
    assert waiting.served == ["busy/x", "quiet/x", "busy/y", "busy/x"]


def test_requests_of_a_namespace_that_has_its_share_do_not_keep_others_waiting() -> None:
    slots = FairSlots(8)
    take_all(slots, "hanging/x")
    waiting = Waiting(slots)
    for _ in range(100):
        waiting.add("hanging/x")
    assert slots.take(key("quiet/x"))
    slots.release(key("quiet/x"))
    assert waiting.served == []


def test_slot_that_is_not_needed_any_more_goes_to_the_next_one() -> None:
    slots = FairSlots(1)
    slots.take(key("a/x"))
    waiting = Waiting(slots)
    waiting.add("b/x", is_needed=False)
    waiting.add("c/x")
    slots.release(key("a/x"))
    assert (waiting.served, slots.used, slots.waiting) == (["b/x", "c/x"], 1, 0)


def test_wait_that_has_ended_gets_no_slot() -> None:
    slots, called = FairSlots(1), list[str]()

    def take_slot() -> bool:
        called.append("b")
        return True

    slots.take(key("a/x"))
    slots.wait(key("b/x"), take_slot)
    assert slots.cancel(key("b/x"), take_slot)
    assert not slots.cancel(key("b/x"), take_slot)
    slots.release(key("a/x"))
    assert (called, slots.used) == ([], 0)


def test_nothing_remains_of_routes_without_slots() -> None:
    slots = FairSlots(8)
    for number in range(100):
        route = RouteKey(f"{number}", "x")
        assert slots.take(route)
        slots.release(route)
    assert not slots._routes  # noqa: SLF001 - the memory of idle slots
    assert not slots._namespaces  # noqa: SLF001


def test_release_costs_the_same_however_many_namespaces_wait() -> None:
    class CountedSlots(FairSlots):
        checks = 0

        def namespace_may_take(self, namespace: str) -> bool:
            self.checks += 1
            return super().namespace_may_take(namespace)

    slots = CountedSlots(4)
    for number in range(4):
        slots.take(key(f"{number}/x"))
    waiting = Waiting(slots)
    for number in range(1_000):
        waiting.add(f"waiting-{number}/x")
    slots.checks = 0
    slots.release(key("0/x"))
    assert waiting.served == ["waiting-0/x"]
    assert slots.checks < 10


@pytest.mark.parametrize(("total", "share", "hanging"), [(48, 2, 8), (64, 1, 12), (32, 1, 6), (16, 1, 5)])
def test_namespaces_that_hang_one_after_the_other_leave_slots_for_others(
    total: int, share: float, hanging: int
) -> None:
    slots = FairSlots(total, namespace_share=share)
    for number in range(hanging):
        take_all(slots, f"{number}/x")
    assert slots.take(key("another/x"))
