"""The time by which temporary links end: it stands still while the API server is away, and no link can be renewed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus

from statefulroute.cluster.clock import IntervalClock, elapsed_seconds, utc_interval
from statefulroute.domain.expiry_pause import ExpiryPause
from statefulroute.domain.times import TimeInterval


class ExpiryClock:
    """The time by which temporary links end for the users of one client of the API server.

    Args:
        elapsed: returns monotonic seconds.
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed_seconds) -> None:
        self._elapsed = elapsed
        self._pause = ExpiryPause()
        self._interval = self.following(utc_interval)

    def observe(self, status: int | None) -> None:
        """Takes the HTTP status of a response, or None if there was none.

        The API server is away if it does not answer, fails, or is too busy for the request.
        """
        if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            self._pause.lose(self._elapsed())
        else:
            self._pause.regain(self._elapsed())

    def following(self, clock: IntervalClock) -> IntervalClock:
        """Returns a clock whose earliest time, by which links end, stands still as this one does."""

        def interval() -> TimeInterval:
            now = clock()
            seconds = self._pause.seconds(self._elapsed())
            return TimeInterval(now.earliest - timedelta(seconds=seconds), now.latest) if seconds else now

        return interval

    def interval(self) -> TimeInterval:
        """Returns the time of day by both clocks, the earliest of which is that by which links end."""
        return self._interval()

    def now(self) -> datetime:
        """Returns the time by which links end."""
        return self.interval().earliest
