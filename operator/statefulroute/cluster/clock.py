"""The time of day, by two clocks: the process's own, and the API servers'.

Many processes on many machines compute when a temporary link expires, and a clock that is an hour ahead would remove
users' bindings. So nothing has ended before it has ended by both clocks:

- the process's own: it reads its machine's clock once, at the start, and then counts with a monotonic clock;
- the API servers': the `Date` header of their responses.

A wrong clock of a machine, of one API server or of a proxy therefore makes links live longer, and never shorter.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf

from statefulroute.domain.times import TimeInterval

Clock = Callable[[], datetime]

IntervalClock = Callable[[], TimeInterval]

#: The tolerated difference: clocks that are synchronized by NTP differ a little.
TOLERATED_SECONDS = 5.0

#: A `Date` header has whole seconds.
_HEADER_RESOLUTION_SECONDS = 1.0

#: A slower response does not show that the clocks agree: its header may have been written at any time before.
_MAX_ROUND_TRIP_SECONDS = 2.0

#: The minimum time between two checks of the header.
_CHECK_PERIOD_SECONDS = 1.0

#: The range of years of a plausible date: every time that is computed from it exists, too.
_MIN_YEAR, _MAX_YEAR = 1970, 8999

#: The minimum time between two warnings. The clocks of the API servers behind one address may differ, too.
_WARNING_PERIOD_SECONDS = 600.0

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_seconds() -> float:
    """Returns seconds since an arbitrary moment, including the time in suspension if the system supports it."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


def _log_difference(seconds: float) -> None:
    from statefulroute.cluster.field_logger import get_logger  # noqa: PLC0415 - most commands start faster without it

    get_logger(__name__).warning(
        "the clocks of this process and of the API server differ: temporary links end when they have ended by both",
        seconds=round(seconds),
    )


class TimeOfDay:
    """A time of day by the process's own clock and the API servers'.

    Args:
        elapsed: returns monotonic seconds.
        wall: returns the machine's time of day, in seconds since 1970.

    Attributes:
        difference_seconds: by how much the API servers' clock is ahead of the process's own, by the last response
            that was checked; 0 while they differ by 5 seconds or less.
        on_difference: called with this difference when the clocks differ, at most once in ten minutes; by default, it
            logs a warning.
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed_seconds, wall: Callable[[], float] = time.time) -> None:
        self._elapsed = elapsed
        self._own_offset = wall() - elapsed()
        self._server_offset: float | None = None
        """The time of the API servers minus the elapsed seconds; None before the first response."""
        self._earliest = -inf
        self._last_checked = self._last_warned = -inf
        self.difference_seconds = 0.0
        self.on_difference: Callable[[float], None] = _log_difference

    def interval(self) -> TimeInterval:
        """Returns the time of day by both clocks."""
        elapsed = self._elapsed()
        own = elapsed + self._own_offset
        if self._server_offset is None:
            return TimeInterval.at(_utc(own))
        server = elapsed + self._server_offset
        # What has ended by both clocks stays ended if the next response shows another time.
        self._earliest = max(self._earliest, min(own, server))
        return TimeInterval(_utc(self._earliest), _utc(max(own, server)))

    def now(self) -> datetime:
        """Returns the time of day by which things end: that of the clock that is behind."""
        return self.interval().earliest

    def own(self) -> datetime:
        """Returns the time of day by the process's own clock, which never stands still: that of `now` may."""
        return _utc(self._elapsed() + self._own_offset)

    def observe(self, date: str | None, sent_at: float) -> None:
        """Takes the time of the API servers from a response.

        Args:
            date: the `Date` header; None or a malformed date is ignored.
            sent_at: when the request was sent, in elapsed seconds.
        """
        now = self._elapsed()
        if date is None or now - self._last_checked < _CHECK_PERIOD_SECONDS:
            return
        self._last_checked = now
        if (server_time := _parse_date(date)) is None:
            return
        # The API server wrote the header between the request and the response.
        lowest, highest = server_time - now, server_time + _HEADER_RESOLUTION_SECONDS - sent_at
        if lowest - TOLERATED_SECONDS <= self._own_offset <= highest + TOLERATED_SECONDS:
            if now - sent_at <= _MAX_ROUND_TRIP_SECONDS:
                self._server_offset, self.difference_seconds = self._own_offset, 0.0
            return
        self._server_offset = lowest if self._own_offset > highest else highest
        self.difference_seconds = self._server_offset - self._own_offset
        if now - self._last_warned >= _WARNING_PERIOD_SECONDS:
            self._last_warned = now
            self.on_difference(self.difference_seconds)


def _parse_date(text: str) -> float | None:
    """Parses a `Date` header to seconds since 1970; returns None if it is malformed or implausible."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date.timestamp() if _MIN_YEAR <= date.year <= _MAX_YEAR else None


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


#: The time of day of this process.
process_clock = TimeOfDay()

#: Returns the time of day by which things end in this process: that of the clock that is behind.
utc_now: Clock = process_clock.now

#: Returns the time of day by the process's own clock.
own_time: Clock = process_clock.own

#: Returns the time of day of this process by both clocks.
utc_interval: IntervalClock = process_clock.interval

#: Takes the time of the API servers from a response.
observe_server_time = process_clock.observe
