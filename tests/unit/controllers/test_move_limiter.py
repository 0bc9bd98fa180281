"""The rate of moves and the number of moves in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.controllers.links.move_limiter import MoveLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_first_key_has_its_turn_at_once_and_the_others_one_after_another() -> None:
    limiter = MoveLimiter(10, 9, Clock())
    assert [limiter.delay_for(key) for key in "abc"] == [0.0, pytest.approx(0.1), pytest.approx(0.2)]


def test_key_keeps_its_turn() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 9, clock)
    limiter.delay_for("a")
    assert limiter.delay_for("b") == pytest.approx(0.1)
    clock.now += 0.06
    assert limiter.delay_for("b") == pytest.approx(0.04)
    clock.now += 0.05
    assert limiter.delay_for("b") == 0.0


def test_idle_time_does_not_accumulate_turns() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 9, clock)
    clock.now += 3600
    assert [limiter.delay_for(key) for key in "ab"] == [0.0, pytest.approx(0.1)]


def test_forgotten_key_gets_a_new_turn_later() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 9, clock)
    limiter.delay_for("a")
    limiter.delay_for("b")
    limiter.forget("b")
    clock.now += 60
    limiter.delay_for("a")
    assert limiter.delay_for("b") == pytest.approx(0.1)


def test_turn_that_comes_while_too_many_keys_are_in_flight_is_postponed_after_all_others() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 2, clock)
    for key in "abcd":
        limiter.delay_for(key)
    clock.now += 0.25
    assert limiter.delay_for("b") == 0.0
    assert limiter.delay_for("c") == pytest.approx(0.15), "d has the turn at 0.3, the next one is at 0.4"
    limiter.forget("a")
    clock.now += 0.1
    assert limiter.delay_for("d") == 0.0


def test_new_key_waits_for_a_turn_while_too_many_keys_are_in_flight() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 1, clock)
    limiter.delay_for("a")
    clock.now += 60
    assert limiter.delay_for("b") == pytest.approx(0.1)


def test_key_that_asks_during_its_turn_ends_it_and_waits_for_another() -> None:
    clock = Clock()
    limiter = MoveLimiter(10, 1, clock)
    limiter.delay_for("a")
    assert limiter.delay_for("a") == pytest.approx(0.1)
    clock.now += 60
    assert limiter.delay_for("b") == 0.0


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 20), st.floats(0, 0.3), st.booleans()), max_size=200))
def test_turns_exceed_neither_the_rate_nor_the_keys_in_flight(
    max_in_flight: int, calls: list[tuple[int, float, bool]]
) -> None:
    clock = Clock()
    limiter = MoveLimiter(10, max_in_flight, clock)
    turns: list[float] = []
    in_flight: set[int] = set()
    for key, seconds, is_forgotten in calls:
        clock.now += seconds
        if is_forgotten:
            limiter.forget(key)
            in_flight.discard(key)
            continue
        in_flight.discard(key)
        if limiter.delay_for(key) == 0.0:
            turns.append(clock.now)
            in_flight.add(key)
        assert len(in_flight) <= max_in_flight
    elapsed = clock.now - 100.0
    assert len(turns) <= elapsed * 10 + 1 + 1e-6
