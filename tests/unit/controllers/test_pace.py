import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.controllers.links.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_may_go_at_once_and_the_others_one_after_another() -> None:
    pace = Pace(10, Clock())
    assert [pace.wait_for(key) for key in "abc"] == [0.0, pytest.approx(0.1), pytest.approx(0.2)]


def test_who_asks_again_still_has_the_same_turn() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    pace.wait_for("a")
    assert pace.wait_for("b") == pytest.approx(0.1)
    clock.now += 0.06
    assert pace.wait_for("b") == pytest.approx(0.04)
    clock.now += 0.05
    assert pace.wait_for("b") == 0.0


def test_idle_time_is_not_saved_up() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    clock.now += 3600
    assert [pace.wait_for(key) for key in "ab"] == [0.0, pytest.approx(0.1)]


def test_who_needs_its_turn_no_more_has_no_old_one_later() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    pace.wait_for("a")
    pace.wait_for("b")
    pace.forget("b")
    clock.now += 60
    pace.wait_for("a")
    assert pace.wait_for("b") == pytest.approx(0.1)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 0.3)), max_size=200))
def test_no_more_go_than_the_rate_allows(asks: list[tuple[int, float]]) -> None:
    clock = Clock()
    pace = Pace(10, clock)
    gone: list[float] = []
    for key, passed in asks:
        clock.now += passed
        if pace.wait_for(key) == 0.0:
            gone.append(clock.now)
    elapsed = clock.now - 100.0
    assert len(gone) <= elapsed * 10 + 1 + 1e-6
