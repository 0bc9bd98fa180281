"""The queue of turns: their order, their rate, and the keys in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.turn_queue import TurnQueue


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def route_of(key: object) -> RouteKey:
    """Returns the route of a key: what its name has in front of a colon, as `namespace/route`."""
    route, colon, _ = str(key).partition(":")
    return RouteKey(*route.split("/")) if colon else RouteKey("games", "game")


def call_all(queue: TurnQueue[str]) -> list[str]:
    """Calls every key whose turn has come."""
    called: list[str] = []
    while (key := queue.call_next()) is not None:
        called.append(key)
    return called


def test_first_key_has_its_turn_at_once_and_the_others_are_called_in_order() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    assert [queue.take_turn(key) for key in "abc"] == [True, False, False]
    assert call_all(queue) == []
    clock.now += 0.1
    assert call_all(queue) == ["b"]
    assert queue.take_turn("b")
    clock.now += 0.1
    assert call_all(queue) == ["c"]


def test_key_that_waits_keeps_its_place() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    for key in "abcb":
        queue.take_turn(key)
    clock.now += 0.1
    assert call_all(queue) == ["b"]


def test_new_key_does_not_overtake_waiting_ones() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    for key in "ab":
        queue.take_turn(key)
    clock.now += 60
    assert not queue.take_turn("c")
    assert call_all(queue)[0] == "b"


def test_idle_time_does_not_accumulate_turns() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    clock.now += 3600
    assert [queue.take_turn(key) for key in "abc"] == [True, False, False]
    assert queue.seconds_until_next() == pytest.approx(0.05)


def test_late_call_does_not_lower_the_rate() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 99, clock, route_of)
    for number in range(101):
        queue.take_turn(str(number))
    called = 0
    for _ in range(100):
        clock.now += (queue.seconds_until_next() or 0) + 0.04
        called += len(call_all(queue))
        if clock.now >= 105:
            break
    assert called >= 49


def test_turn_of_a_waiting_key_that_is_released_goes_to_the_next_one() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    for key in "abcd":
        queue.take_turn(key)
    queue.release("b")
    queue.release("c")
    assert len(queue) == 1
    clock.now += 0.1
    assert call_all(queue) == ["d"]


def test_called_key_that_is_released_gives_its_turn_back() -> None:
    clock = Clock()
    queue = TurnQueue[str](1, 9, clock, route_of)
    for key in "abc":
        queue.take_turn(key)
    clock.now += 1
    assert call_all(queue) == ["b"]
    assert queue.seconds_until_next() == pytest.approx(0.5)
    queue.release("b")
    assert call_all(queue) == ["c"]


def test_waiting_key_is_not_called_while_too_many_keys_are_in_flight() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 1, clock, route_of)
    queue.take_turn("a")
    clock.now += 60
    assert not queue.take_turn("b")
    assert queue.seconds_until_next() is None
    assert call_all(queue) == []
    queue.release("a")
    assert call_all(queue) == ["b"]
    assert queue.take_turn("b")


def test_called_keys_that_find_no_free_slot_wait_in_front_and_give_their_turns_back() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 1, clock, route_of)
    queue.take_turn("a")
    queue.release("a")
    for key in "bcd":
        queue.take_turn(key)
    clock.now += 0.1
    assert call_all(queue) == ["b"]
    clock.now += 0.1
    assert call_all(queue) == ["c"]
    assert [queue.take_turn("b"), queue.take_turn("c")] == [True, False]
    queue.release("b")
    assert call_all(queue) == ["c"]


def test_key_that_asks_during_its_turn_needs_another() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 1, clock, route_of)
    assert [queue.take_turn("a"), queue.take_turn("a")] == [True, False]
    clock.now += 60
    assert call_all(queue) == ["a"]


def test_key_that_is_called_and_never_asks_again_holds_up_no_other() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 1, clock, route_of)
    for key in "abc":
        queue.take_turn(key)
    queue.release("a")
    clock.now += 0.2
    assert "b" in call_all(queue)
    assert not queue.take_turn("new")
    clock.now += 0.2
    assert call_all(queue)
    assert queue.take_turn("c")


def test_namespaces_take_turns_however_many_keys_they_have() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 9, clock, route_of)
    for number in range(100):
        queue.take_turn(f"busy/{number % 5}:{number}")
    queue.take_turn("quiet/game:late")
    called = []
    for _ in range(3):
        clock.now += 0.1
        called += call_all(queue)
    assert "quiet/game:late" in called[:2]


def test_namespace_whose_turns_do_not_end_leaves_turns_to_others() -> None:
    clock = Clock()
    queue = TurnQueue[str](1000, 6, clock, route_of)
    taken = []
    for number in range(20):
        clock.now += 0.1
        taken.append(queue.take_turn(f"hanging/game:{number}"))
    assert taken.count(True) == 4
    clock.now += 0.1
    assert queue.take_turn("quiet/game:user")
    assert call_all(queue) == []


def test_few_keys_of_a_route_that_does_not_answer_are_called_and_others_have_their_turns() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 6, clock, route_of)
    for number in range(1000):
        queue.take_turn(f"slow/game:{number}")
    called = []
    for _ in range(100):
        clock.now += 0.1
        called += call_all(queue)
    assert len(called) == 64
    assert not queue.take_turn("quiet/game:user")
    clock.now += 0.1
    assert call_all(queue) == ["quiet/game:user"]
    assert queue.take_turn("quiet/game:user")
    assert queue.take_turn(called[0])


def test_calls_of_keys_that_are_gone_are_forgotten_after_a_while() -> None:
    clock = Clock()
    queue = TurnQueue[str](10, 6, clock, route_of)
    for number in range(200):
        queue.take_turn(f"slow/game:{number}")
    for _ in range(100):
        clock.now += 0.1
        call_all(queue)
    assert queue.seconds_until_next() == 30
    clock.now += 30
    assert len(call_all(queue)) == 1
    assert sum(map(len, queue._called.values())) == 64  # noqa: SLF001 - the memory for keys that do not ask again


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 20), st.floats(0, 0.3), st.booleans()), max_size=200))
def test_turns_exceed_neither_the_rate_nor_the_keys_in_flight(
    max_in_flight: int, calls: list[tuple[int, float, bool]]
) -> None:
    clock = Clock()
    queue = TurnQueue[int](10, max_in_flight, clock, route_of)
    turns: list[float] = []
    in_flight: set[int] = set()

    def take(key: int) -> None:
        in_flight.discard(key)
        if queue.take_turn(key):
            turns.append(clock.now)
            in_flight.add(key)

    for key, seconds, is_released in calls:
        clock.now += seconds
        if is_released:
            queue.release(key)
            in_flight.discard(key)
        else:
            take(key)
        if (called := queue.call_next()) is not None:
            take(called)
        assert len(in_flight) <= max_in_flight
    elapsed = clock.now - 100.0
    assert len(turns) <= elapsed * 10 + 1.5 + 1e-6


def test_turn_costs_the_same_however_many_namespaces_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, may_take = list[str](), FairSlots.namespace_may_take

    def counted(slots: FairSlots, namespace: str) -> bool:
        checks.append(namespace)
        return may_take(slots, namespace)

    monkeypatch.setattr(FairSlots, "namespace_may_take", counted)
    clock = Clock()
    queue = TurnQueue[str](10, 2, clock, route_of)
    for namespace in "ab":
        clock.now += 1
        assert queue.take_turn(f"{namespace}/x:1")
    for number in range(1_000):
        queue.take_turn(f"waiting-{number}/x:1")
    checks.clear()
    assert not queue.take_turn("another/x:1")
    assert queue.seconds_until_next() is None
    clock.now += 1
    queue.release("a/x:1")
    assert queue.call_next() == "waiting-0/x:1"
    assert len(checks) < 20
