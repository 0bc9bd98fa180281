"""The time of day is the API server's, whatever becomes of the machine's own clock."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from statefulroute.cluster.clock import TimeOfDay

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Machine:
    """A machine with a clock that somebody may set, and one that nobody can."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall = wall
        self.elapsed = 1000.0
        self.time = TimeOfDay(self._elapsed, self._wall)

    def _elapsed(self) -> float:
        return self.elapsed

    def _wall(self) -> float:
        return self.wall.timestamp()

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds

    def hears(self, told: datetime, after: float = 0.0) -> None:
        """The API server has told the time; its answer came after so many seconds."""
        self.time.observe(format_datetime(told, usegmt=True), self.elapsed - after)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_machines_clock_that_jumps_is_not_followed(hours: int) -> None:
    machine = Machine()
    machine.wall += timedelta(hours=hours)
    machine.passes(90)
    assert machine.time.now() == NOON + timedelta(seconds=90)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_machine_that_was_wrong_at_the_start_is_put_right_by_the_first_answer(hours: int) -> None:
    machine = Machine(NOON + timedelta(hours=hours))
    machine.hears(NOON)
    machine.passes(90)
    assert machine.time.now() == NOON + timedelta(seconds=90)


def test_seconds_are_no_matter() -> None:
    machine = Machine()
    machine.hears(NOON - timedelta(seconds=3))
    assert machine.time.now() == NOON


def test_an_answer_that_was_long_under_way_tells_nothing() -> None:
    machine = Machine()
    machine.hears(NOON - timedelta(seconds=30), after=30)
    assert machine.time.now() == NOON


def test_an_answer_is_looked_at_once_a_second() -> None:
    machine = Machine()
    machine.hears(NOON)
    machine.hears(NOON + timedelta(hours=1))
    assert machine.time.now() == NOON
    machine.passes(1)
    machine.hears(NOON + timedelta(hours=1))
    assert machine.time.now() == NOON + timedelta(hours=1)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_what_is_no_time_is_ignored(date: str | None) -> None:
    machine = Machine()
    machine.time.observe(date, machine.elapsed)
    assert machine.time.now() == NOON
