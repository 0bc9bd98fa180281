import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.controllers.links.move_limiter import MoveLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_may_go_at_once_and_the_others_one_after_another() -> None:
    pace = MoveLimiter(10, 9, Clock())
    assert [pace.delay_for(key) for key in "abc"] == [0.0, pytest.approx(0.1), pytest.approx(0.2)]


def test_who_asks_again_still_has_the_same_turn() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 9, clock)
    pace.delay_for("a")
    assert pace.delay_for("b") == pytest.approx(0.1)
    clock.now += 0.06
    assert pace.delay_for("b") == pytest.approx(0.04)
    clock.now += 0.05
    assert pace.delay_for("b") == 0.0


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 9, clock)
    clock.now += 3600
    assert [pace.delay_for(key) for key in "ab"] == [0.0, pytest.approx(0.1)]


def test_who_needs_its_turn_no_more_has_no_old_one_later() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 9, clock)
    pace.delay_for("a")
    pace.delay_for("b")
    pace.forget("b")
    clock.now += 60
    pace.delay_for("a")
    assert pace.delay_for("b") == pytest.approx(0.1)


def test_a_turn_that_comes_while_too_many_are_under_way_is_given_anew_after_all_others() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 2, clock)
    for key in "abcd":
        pace.delay_for(key)
    clock.now += 0.25
    assert pace.delay_for("b") == 0.0
    assert pace.delay_for("c") == pytest.approx(0.15), "d has the turn at 0.3, the next is at 0.4"
    pace.forget("a")
    clock.now += 0.1
    assert pace.delay_for("d") == 0.0


def test_who_comes_first_while_too_many_are_under_way_waits_for_a_turn() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 1, clock)
    pace.delay_for("a")
    clock.now += 60
    assert pace.delay_for("b") == pytest.approx(0.1)


def test_who_asks_during_its_turn_has_ended_it_and_waits_for_another() -> None:
    clock = Clock()
    pace = MoveLimiter(10, 1, clock)
    pace.delay_for("a")
    assert pace.delay_for("a") == pytest.approx(0.1)
    clock.now += 60
    assert pace.delay_for("b") == 0.0


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 20), st.floats(0, 0.3), st.booleans()), max_size=200))
def test_no_more_go_than_the_rate_allows_nor_at_the_same_time(
    at_a_time: int, asks: list[tuple[int, float, bool]]
) -> None:
    clock = Clock()
    pace = MoveLimiter(10, at_a_time, clock)
    gone: list[float] = []
    under_way: set[int] = set()
    for key, passed, ends in asks:
        clock.now += passed
        if ends:
            pace.forget(key)
            under_way.discard(key)
            continue
        under_way.discard(key)
        if pace.delay_for(key) == 0.0:
            gone.append(clock.now)
            under_way.add(key)
        assert len(under_way) <= at_a_time
    elapsed = clock.now - 100.0
    assert len(gone) <= elapsed * 10 + 1 + 1e-6
