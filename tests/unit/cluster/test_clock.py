"""The time of day: nothing has ended before it has ended by the process's own clock and the API servers'."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from statefulroute.cluster.clock import TimeOfDay
from statefulroute.domain.times import TimeInterval
from support.captured_logs import captured_logs

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


class Machine:
    """A machine with a wall clock that can be set, and a monotonic clock."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall = wall
        self.elapsed = 1000.0
        self.time = TimeOfDay(self._elapsed, self._wall)
        self.differences: list[float] = []
        self.time.on_difference = self.differences.append

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


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_jumps_of_the_machines_clock_are_ignored(jump: timedelta) -> None:
    machine = Machine()
    machine.wall += jump
    machine.advance(90)
    assert machine.time.interval() == TimeInterval.at(NOON + timedelta(seconds=90))


@pytest.mark.parametrize("error", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_the_time_is_that_of_both_clocks_if_an_api_server_is_wrong(error: timedelta) -> None:
    machine = Machine()
    machine.observe(NOON)
    machine.advance(90)
    machine.observe(NOON + timedelta(seconds=90) + error)
    machine.advance(1)
    interval, right = machine.time.interval(), NOON + timedelta(seconds=91)
    assert min(right, right + error) <= interval.earliest <= min(right, right + error) + SECOND
    assert max(right, right + error) <= interval.latest <= max(right, right + error) + SECOND


@pytest.mark.parametrize("error", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_the_time_is_that_of_both_clocks_if_the_machine_is_wrong(error: timedelta) -> None:
    machine = Machine(NOON + error)
    machine.observe(NOON)
    machine.advance(90)
    interval, right = machine.time.interval(), NOON + timedelta(seconds=90)
    assert interval.earliest == min(right, right + error)
    assert max(right, right + error) <= interval.latest <= max(right, right + error) + SECOND


def test_the_time_does_not_go_back_if_the_next_response_is_earlier() -> None:
    machine = Machine()
    machine.observe(NOON)
    assert machine.time.now() == NOON
    machine.advance(1)
    machine.observe(NOON - HOUR)
    assert machine.time.now() == NOON
    assert machine.time.interval().latest == NOON + SECOND


def test_a_wrong_clock_counts_only_until_the_first_response() -> None:
    machine = Machine(NOON + HOUR)
    assert machine.time.now() == NOON + HOUR
    machine.observe(NOON)
    assert machine.time.now() == NOON


def test_a_difference_of_seconds_is_tolerated() -> None:
    machine = Machine()
    machine.observe(NOON - timedelta(seconds=5))
    machine.advance(1)
    machine.observe(NOON + timedelta(seconds=6))
    assert machine.time.interval() == TimeInterval.at(NOON + SECOND)
    assert (machine.time.difference_seconds, machine.differences) == (0, [])


def test_a_slow_response_does_not_count_if_the_delay_explains_the_difference() -> None:
    machine = Machine()
    machine.observe(NOON - timedelta(seconds=30), after=30)
    assert machine.time.interval() == TimeInterval.at(NOON)


def test_a_slow_response_shows_a_difference_but_not_that_the_clocks_agree() -> None:
    machine = Machine(NOON + HOUR)
    machine.observe(NOON - timedelta(seconds=30), after=30)
    assert machine.time.now() == NOON - timedelta(seconds=30)
    machine.advance(1)
    machine.observe(NOON + HOUR - timedelta(seconds=30), after=30)
    assert machine.time.now() == NOON - timedelta(seconds=29)


def test_the_own_time_runs_on_while_the_time_stands_still_because_the_api_server_was_set_back() -> None:
    machine = Machine()
    machine.observe(NOON)
    machine.advance(10)
    assert machine.time.now() == machine.time.own() == NOON + timedelta(seconds=10)
    machine.observe(NOON - HOUR)
    machine.advance(60)
    assert machine.time.now() == NOON + timedelta(seconds=10)
    assert machine.time.own() == NOON + timedelta(seconds=70)


def test_responses_are_checked_once_a_second() -> None:
    machine = Machine()
    machine.observe(NOON)
    machine.observe(NOON + HOUR)
    assert machine.time.interval() == TimeInterval.at(NOON)
    machine.advance(1)
    machine.observe(NOON + HOUR)
    assert machine.time.interval().latest > NOON + HOUR


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Thu, 01 Jan 1969 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 99999999999 23:59:59 GMT",
    ],
)
def test_a_malformed_or_implausible_date_is_ignored(date: str | None) -> None:
    machine = Machine()
    machine.time.observe(date, machine.elapsed)
    machine.advance(1)
    assert machine.time.interval() == TimeInterval.at(NOON + SECOND)


def test_the_difference_is_reported_while_it_lasts() -> None:
    machine = Machine()
    machine.observe(NOON + HOUR)
    assert machine.time.difference_seconds == pytest.approx(3600, abs=1)
    machine.advance(1)
    machine.observe(NOON - timedelta(seconds=59))
    assert machine.time.difference_seconds == pytest.approx(-60, abs=1)
    machine.advance(1)
    machine.observe(NOON)
    assert machine.time.difference_seconds == 0


def test_a_warning_is_given_once_in_ten_minutes() -> None:
    machine = Machine()
    for _ in range(1200):
        machine.observe(machine.wall + HOUR)
        machine.advance(1)
    assert machine.differences == [pytest.approx(3600, abs=1)] * 2


def test_the_default_warning_is_a_line_of_the_log() -> None:
    time_of_day = TimeOfDay(lambda: 0.0, NOON.timestamp)
    with captured_logs() as lines:
        time_of_day.observe(format_datetime(NOON - HOUR, usegmt=True), 0.0)
    assert [(line["log_level"], line["seconds"]) for line in lines] == [("warning", -3600)]
