"""The time of day follows the API server's clock and not the machine's."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from statefulroute.cluster.clock import TimeOfDay

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Machine:
    """A machine with a wall clock that can be set, and a monotonic clock."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall = wall
        self.elapsed = 1000.0
        self.time = TimeOfDay(self._elapsed, self._wall)

    def _elapsed(self) -> float:
        return self.elapsed

    def _wall(self) -> float:
        return self.wall.timestamp()

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds

    def observe(self, server_time: datetime, after: float = 0.0) -> None:
        """Observes the time of a response that arrives after a number of seconds."""
        self.time.observe(format_datetime(server_time, usegmt=True), self.elapsed - after)


@pytest.mark.parametrize("hours", [1, -1])
def test_jumps_of_the_machines_clock_are_ignored(hours: int) -> None:
    machine = Machine()
    machine.wall += timedelta(hours=hours)
    machine.advance(90)
    assert machine.time.now() == NOON + timedelta(seconds=90)


@pytest.mark.parametrize("hours", [1, -1])
def test_the_first_response_corrects_a_wrong_clock(hours: int) -> None:
    machine = Machine(NOON + timedelta(hours=hours))
    machine.observe(NOON)
    machine.advance(90)
    assert machine.time.now() == NOON + timedelta(seconds=90)


def test_a_difference_of_seconds_is_tolerated() -> None:
    machine = Machine()
    machine.observe(NOON - timedelta(seconds=3))
    assert machine.time.now() == NOON


def test_a_slow_response_is_ignored() -> None:
    machine = Machine()
    machine.observe(NOON - timedelta(seconds=30), after=30)
    assert machine.time.now() == NOON


def test_responses_are_checked_once_a_second() -> None:
    machine = Machine()
    machine.observe(NOON)
    machine.observe(NOON + timedelta(hours=1))
    assert machine.time.now() == NOON
    machine.advance(1)
    machine.observe(NOON + timedelta(hours=1))
    assert machine.time.now() == NOON + timedelta(hours=1)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_malformed_date_is_ignored(date: str | None) -> None:
    machine = Machine()
    machine.time.observe(date, machine.elapsed)
    assert machine.time.now() == NOON
