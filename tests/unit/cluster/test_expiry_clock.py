"""The time by which temporary links end for one client of the API server."""

from datetime import UTC, datetime, timedelta

import pytest

from statefulroute.cluster.expiry_clock import ExpiryClock
from statefulroute.domain.times import TimeInterval

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class _Machine:
    def __init__(self) -> None:
        self.elapsed = 0.0
        self.clock = ExpiryClock(lambda: self.elapsed)
        self.clock.observe(200)
        self.interval = self.clock.following(lambda: TimeInterval.at(NOON + timedelta(seconds=self.elapsed)))


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_links_end_by_a_time_that_stands_still_and_are_renewed_at_the_present_one(status: int | None) -> None:
    machine = _Machine()
    machine.clock.observe(status)
    machine.elapsed = 45
    assert machine.interval() == TimeInterval(NOON, NOON + timedelta(seconds=45))


@pytest.mark.parametrize("status", [200, 201, 403, 404, 409, 410])
def test_any_other_status_is_contact(status: int) -> None:
    machine = _Machine()
    machine.clock.observe(None)
    machine.elapsed = 45
    machine.clock.observe(status)
    machine.elapsed = 90
    assert machine.interval() == TimeInterval.at(NOON + timedelta(seconds=90))
