"""When the runs of a timer are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.controllers.routes.period import Period


class Clock:
    """A clock that a test moves, and a period by it."""

    def __init__(self, jitter: float = 0.25) -> None:
        self.now = 1000.0
        self.period = Period(lambda: self.now, lambda: jitter)

    def start_run(self, seconds: float, late: float = 0.0) -> float:
        """Starts the next run late by some seconds; returns the time since the start."""
        self.now += self.period.due_in(seconds) + late
        self.period.start(seconds)
        return self.now - 1000.0


def test_first_run_is_due_at_once() -> None:
    clock = Clock()
    clock.now += 500
    assert clock.period.due_in(30) == 0


@pytest.mark.parametrize(
    ("jitter", "runs"),
    [(0.0, [0, 30, 60, 90]), (0.25, [0, 22.5, 52.5, 82.5]), (0.999, [0, 0.03, 30.03, 60.03])],
)
def test_second_run_is_due_after_a_random_part_and_the_others_regularly(jitter: float, runs: list[float]) -> None:
    clock = Clock(jitter)
    assert [clock.start_run(30) for _ in runs] == pytest.approx(runs)


def test_time_until_the_next_run_decreases() -> None:
    clock = Clock(jitter=0.0)
    clock.start_run(30)
    clock.now += 12
    assert clock.period.due_in(30) == 18
    clock.now += 17.999
    assert clock.period.due_in(30) > 0
    clock.now += 0.001
    assert clock.period.due_in(30) == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(0, 29.9), min_size=1, max_size=50))
def test_small_delays_do_not_add_up(delays: list[float]) -> None:
    clock = Clock(jitter=0.0)
    times = [clock.start_run(30, late) for late in [0.0, *delays]]
    for run, (time, late) in enumerate(zip(times, [0.0, *delays], strict=True)):
        assert time == pytest.approx(run * 30 + late)


@pytest.mark.parametrize("late", [30, 31, 3600])
def test_missed_runs_are_not_made_up_for(late: float) -> None:
    clock = Clock(jitter=0.0)
    clock.start_run(30)
    then = clock.start_run(30, late)
    assert clock.start_run(30) == then + 30


def test_shorter_period_is_due_within_its_own_length() -> None:
    clock = Clock(jitter=0.0)
    clock.start_run(30)
    clock.now += 0.4
    assert clock.period.due_in(1) == pytest.approx(0.6)
    clock.now += 20
    assert clock.period.due_in(1) == 0
    clock.period.start(1)
    assert clock.period.due_in(1) == 1, "the runs in between are not made up for"


def test_longer_period_runs_from_the_last_run() -> None:
    clock = Clock(jitter=0.0)
    clock.start_run(1)
    clock.start_run(1)
    clock.now += 0.5
    assert clock.period.due_in(30) == 29.5
